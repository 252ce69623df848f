# SPDX-License-Identifier: GPL-3.0-or-later
"""A sparse grid comes out of a file as it went in: leaves, masks, tiles, transform, background, name and class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.grid import Grid, Tiles
from fluid_addon.volumes.leaf_array import LeafArray
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, read_vdb, write_vdb

ONE_FOLDER = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = ("float", "vec3f", "int32", "half")


def sparse_grid(seed: int, kind: str, leaves: int, spread: int, tiles: bool, name: str = "density") -> Grid:
    """A grid with `leaves` leaves up to `spread` leaves away from the origin, each with at least one active voxel."""
    random = np.random.default_rng(seed)
    vector = (3,) if kind == "vec3f" else ()
    origins = np.unique(random.integers(-spread, spread + 1, (leaves, 3)), axis=0) * 8
    masks = random.random((len(origins), 8, 8, 8)) < random.choice([0.01, 0.5, 1.0])
    masks[:, 3, 5, 7] = True
    values = random.integers(-50, 50, (*masks.shape, *vector)).astype(np.int32 if kind == "int32" else np.float32)
    background = tuple(random.integers(50, 60, 3).astype(float).tolist()) if vector else int(random.integers(50, 60))
    background = background if vector or kind == "int32" else background + 0.25
    values[~masks] = background
    constant = Tiles.none()
    if tiles:
        taken = set(map(tuple, origins.tolist()))
        small = [at for at in (random.integers(-40, 40, (9, 3)) * 8).tolist() if tuple(at) not in taken]
        constant = Tiles(
            np.unique(np.array(small, np.int32), axis=0), np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.bool_)
        )
        count = len(constant.origins)
        constant.edges = np.full(count, 8, np.int32)
        constant.values = random.integers(1, 9, (count, *vector)).astype(values.dtype)
        constant.active = random.random(count) < 0.5
    transform = np.eye(4)
    transform[:3] += random.normal(size=(3, 4))
    return Grid(
        name,
        kind,
        "unknown",
        transform,
        background,
        origins.astype(np.int32),
        values,
        masks,
        constant,  # type: ignore[arg-type]
    )


def assert_same(found: Grid, grid: Grid, quantum: float = 0.0) -> None:
    assert (found.name, found.kind, found.grid_class) == (grid.name, grid.kind, grid.grid_class)
    assert found.background == grid.background
    np.testing.assert_array_equal(found.transform, grid.transform)
    one, other = (np.lexsort(part.leaf_origins.T) for part in (found, grid))
    np.testing.assert_array_equal(found.leaf_origins[one], grid.leaf_origins[other])
    np.testing.assert_array_equal(found.leaf_masks[one], grid.leaf_masks[other])
    if quantum:
        np.testing.assert_allclose(found.leaf_values[one], grid.leaf_values[other], rtol=0, atol=quantum)
    else:
        np.testing.assert_array_equal(found.leaf_values[one], grid.leaf_values[other])
    one, other = (np.lexsort(part.tiles.origins.T) for part in (found, grid))
    for member in ("origins", "edges", "values", "active"):
        np.testing.assert_array_equal(getattr(found.tiles, member)[one], getattr(grid.tiles, member)[other], member)


@given(
    st.integers(0, 10_000),
    st.sampled_from(KINDS),
    st.integers(0, 6),
    st.sampled_from([1, 30, 1000, 200_000]),
    st.booleans(),
    st.sampled_from(["zip", "none"]),
)
@ONE_FOLDER
def test_N06_nanovdb(tmp_path, seed, kind, leaves, spread, tiles, compression):
    grid = sparse_grid(seed, kind, leaves, spread, tiles)
    write_nvdb(tmp_path / "g.nvdb", [grid], compression)
    (found,) = read_nvdb(tmp_path / "g.nvdb")
    # Fp16 stores a leaf in 65,535 steps; values lie between -50 and 60
    assert_same(found, grid, quantum=110 / 65535 * 0.51 if kind == "half" else 0.0)


@given(
    st.integers(0, 10_000),
    st.sampled_from(["float", "vec3f", "int32"]),
    st.tuples(st.integers(1, 19), st.integers(1, 9), st.integers(1, 17)),
    st.tuples(st.integers(-99, 99), st.integers(-99, 99), st.integers(-99, 99)),
)
@ONE_FOLDER
def test_arrays_of_any_size_and_place_through_nanovdb(tmp_path, seed, kind, size, low):
    random = np.random.default_rng(seed)
    array = random.integers(0, 3, (*size, 3) if kind == "vec3f" else size).astype(
        "int32" if kind == "int32" else "float32"
    )
    grid = Grid.from_dense("g", array, low, np.eye(4), (0.0, 0.0, 0.0) if kind == "vec3f" else 0)
    write_nvdb(tmp_path / "g.nvdb", [grid], "none")
    (found,) = read_nvdb(tmp_path / "g.nvdb")
    np.testing.assert_array_equal(found.dense(low, size), array)
    assert_same(found, grid)


def from_low_corner(grid: Grid) -> tuple[LeafArray, tuple[int, ...]]:
    """The leaves of a grid, in the smallest box that holds them, and where that box lies."""
    low = grid.leaf_origins.min(axis=0, initial=2**30)
    size = grid.leaf_origins.max(axis=0, initial=-(2**30)) + 8 - low
    return LeafArray((grid.leaf_origins - low) // 8, grid.leaf_values, tuple(size.tolist())), tuple(low.tolist())


@given(st.integers(0, 10_000), st.sampled_from(KINDS), st.integers(0, 6), st.sampled_from([1, 30, 1000, 200_000]))
@ONE_FOLDER
@pytest.mark.usefixtures("library")
def test_openvdb(tmp_path, seed, kind, leaves, spread):
    grid = sparse_grid(seed, kind, leaves, spread, tiles=False)
    # leaves full of one active value would become tiles, which is as good
    grid.leaf_values[:, 0, 0, 0] = grid.background
    grid.leaf_masks[:, 0, 0, 0] = False
    leaves, low = from_low_corner(grid)
    stored = VdbGrid(grid.name, leaves, low, grid.transform, grid.background, half=kind == "half")
    assert write_vdb(tmp_path / "g.vdb", VdbFrame([stored])) == {"density": kind}
    (found,) = read_vdb(tmp_path / "g.vdb")
    assert_same(found, grid)  # whole numbers up to 60 are exact in 16 bits


def test_tiles_of_all_sizes_through_nanovdb(tmp_path, rotated):
    tiles = Tiles(
        np.array([[8, 0, 0], [-128, 0, 0], [-4096, 4096, -8192], [16, 0, 0]], np.int32),
        np.array([8, 128, 4096, 8], np.int32),
        np.array([1, 2, 3, 4], np.float32),
        np.array([True, False, True, False]),
    )
    masks = np.zeros((1, 8, 8, 8), np.bool_)
    masks[0, 1, 2, 3] = True
    leaf = np.array([[-8, -8, -8]], np.int32)
    grid = Grid("g", "float", "fog volume", rotated, 0.0, leaf, masks * np.float32(2.5), masks, tiles)
    write_nvdb(tmp_path / "g.nvdb", [grid])
    (found,) = read_nvdb(tmp_path / "g.nvdb")
    assert_same(found, grid)
    assert found.active_count == 1 + 8**3 + 4096**3


def test_D17_several_grids_share_a_file_and_can_be_picked(tmp_path):
    grids = [sparse_grid(number, kind, 3, 9, True, f"grid{number}") for number, kind in enumerate(KINDS[:3])]
    write_nvdb(tmp_path / "g.nvdb", grids)
    for found, grid in zip(read_nvdb(tmp_path / "g.nvdb"), grids, strict=True):
        assert_same(found, grid)
    (found,) = read_nvdb(tmp_path / "g.nvdb", only=["grid1"])
    assert_same(found, grids[1])
    with pytest.raises(FluidError, match='has no grid "gird1"') as caught:
        read_nvdb(tmp_path / "g.nvdb", only=["gird1"])
    assert caught.value.code == "grid-file-kind"
    assert '"grid1"' in caught.value.diagnostics[0].hint


def test_a_grid_without_voxels(tmp_path):
    grid = sparse_grid(0, "float", 0, 1, tiles=False)
    write_nvdb(tmp_path / "g.nvdb", [grid])
    (found,) = read_nvdb(tmp_path / "g.nvdb")
    assert_same(found, grid)
    assert found.active_box() is None


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [
        ("float", "level set", "level set"),
        ("float", "fog volume", "fog volume"),
        ("vec3f", "staggered", "staggered"),
        ("vec3f", "fog volume", "unknown"),
        ("int32", "level set", "unknown"),
    ],
)
def test_nanovdb_gets_the_class_only_where_it_allows_it(tmp_path, kind, given, stored):
    grid = sparse_grid(1, kind, 2, 2, tiles=False)
    grid.grid_class = given
    write_nvdb(tmp_path / "g.nvdb", [grid])
    assert read_nvdb(tmp_path / "g.nvdb")[0].grid_class == stored


def test_a_name_that_is_too_long_for_nanovdb_is_refused(tmp_path):
    with pytest.raises(FluidError, match="does not fit") as caught:
        write_nvdb(tmp_path / "g.nvdb", [sparse_grid(0, "float", 1, 1, tiles=False, name="ü" * 128)])
    assert caught.value.code == "export-field"
    assert list(tmp_path.iterdir()) == []


def test_parts_that_share_a_place_are_refused(tmp_path):
    grid = sparse_grid(0, "float", 1, 1, tiles=False)
    grid.tiles = Tiles(grid.leaf_origins, np.array([8], np.int32), np.ones(1, np.float32), np.ones(1, np.bool_))
    with pytest.raises(ValueError, match="share a place"):
        write_nvdb(tmp_path / "g.nvdb", [grid])


@pytest.mark.usefixtures("library")
def test_files_with_more_voxels_than_the_limit_are_refused_with_both_numbers(tmp_path, monkeypatch):
    grid = sparse_grid(0, "float", 3, 9, tiles=False)
    write_nvdb(tmp_path / "g.nvdb", [grid])
    write_vdb(tmp_path / "g.vdb", VdbFrame([VdbGrid("g", *from_low_corner(grid))]))
    monkeypatch.setattr("fluid_addon.volumes.grid_file.MAX_VOXELS", 1535)
    for read, name in ((read_nvdb, "g.nvdb"), (read_vdb, "g.vdb")):
        with pytest.raises(FluidError, match=r"1,536 voxels, and 1,535 is the most") as caught:
            read(tmp_path / name)
        assert caught.value.code == "grid-file-kind"
