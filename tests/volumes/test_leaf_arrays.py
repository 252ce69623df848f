# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves of a sparse field become the very files that the dense field becomes, and need memory as leaves do."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.grid import Grid
from fluid_addon.volumes.leaf_array import LeafArray
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, read_vdb, write_vdb
from tests.volumes.leaf_cubes import as_leaf_array

EDGES = (1, 2, 4, 8, 16, 24, 32)
LOWS = ((0, 0, 0), (-8, 64, 0), (-5, 3, 16), (-3, -9, 1))
SIZE = (29, 18, 37)


def smoke(seed: int, background: object = 0, shape: tuple[int, ...] = SIZE, dtype: type = np.float32) -> np.ndarray:
    """Leaves that are full, empty, of one value, and in between."""
    random = np.random.default_rng(seed)
    array = (random.integers(0, 3, shape) * 1.25).astype(dtype)
    array[12:] = background
    array[20, 10, 20] = 7
    array[:, :8, :8] = 2
    return array


def assert_same(found: Grid, expected: Grid) -> None:
    for part, other in ((found, expected), (found.tiles, expected.tiles)):
        for member in dataclasses.fields(part):
            if member.name != "tiles":
                np.testing.assert_array_equal(getattr(part, member.name), getattr(other, member.name), member.name)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("low", LOWS)
@pytest.mark.parametrize(
    ("shape", "dtype", "background"),
    [(SIZE, np.float32, 0.0), (SIZE, np.int32, 2), ((*SIZE, 3), np.float32, (0.0, 1.25, 2.5))],
)
def test_a_grid_of_leaves_is_the_grid_of_the_box(edge, low, shape, dtype, background):
    array = smoke(edge, background, shape, dtype)
    expected = Grid.from_dense("g", array, low, np.eye(4), background, "fog volume")
    for only in (None, background):
        leaves = as_leaf_array(array, edge, 77, only)
        assert_same(Grid.from_leaves("g", leaves, low, np.eye(4), background, "fog volume"), expected)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("half", [False, True])
def test_files_of_leaves_say_what_files_of_the_box_say(library, tmp_path, rotated, edge, half):
    low = LOWS[edge % 4]
    density, velocity = smoke(0) * np.float32(1e-8), smoke(1, shape=(*SIZE, 3))  # 1e-8 is 0 in 16 bits
    density[3:9] += smoke(2)[3:9]
    fields = [("density", density, 0.0, "fog volume"), ("velocity", velocity, (0.0, 0.0, 0.0), "unknown")]
    fields += [("pair", velocity[..., :2], (0.0, 0.0), "unknown"), ("id", smoke(3, 2, dtype=np.int32), 2, "unknown")]
    found = {}
    for name in ("dense", "sparse"):
        grids = [
            VdbGrid(field, as_leaf_array(values, edge, np.nan if values.dtype != np.int32 else 9, background))
            if name == "sparse"
            else VdbGrid(field, values)
            for field, values, background, _ in fields
        ]
        grids = [
            dataclasses.replace(grid, low=low, transform=rotated, background=field[2], grid_class=field[3], half=half)
            for grid, field in zip(grids, fields, strict=True)
        ]
        kinds = write_vdb(tmp_path / f"{name}.vdb", VdbFrame(grids, 7, 0.25, {"solver": "smoke"}))
        raw, metadata = library.readAll(str(tmp_path / f"{name}.vdb"))
        found[name] = kinds, metadata, [grid.metadata for grid in raw], read_vdb(tmp_path / f"{name}.vdb")
    assert found["dense"][:3] == found["sparse"][:3]
    assert found["dense"][0]["density"] == ("half" if half else "float")
    for dense, sparse in zip(found["dense"][3], found["sparse"][3], strict=True):
        assert dense.active_count > 0
        assert_same(sparse, dense)


@pytest.mark.parametrize("edge", (2, 8, 24))
def test_the_same_for_nanovdb(tmp_path, rotated, edge):
    for number, (array, background) in enumerate([(smoke(1), 0.0), (smoke(2, shape=(*SIZE, 3)), (0.0, 0.0, 0.0))]):
        path = tmp_path / f"{number}.nvdb"
        grids = [
            Grid.from_leaves("leaves", as_leaf_array(array, edge, 77), (-5, 3, 17), rotated, background, "fog volume"),
            Grid.from_dense("box", array, (-5, 3, 17), rotated, background, "fog volume"),
        ]
        write_nvdb(path, grids)
        leaves, box = read_nvdb(path)
        assert_same(dataclasses.replace(leaves, name="box"), box)
        np.testing.assert_array_equal(leaves.dense((-5, 3, 17), SIZE), array)


@pytest.mark.usefixtures("library")
def test_no_leaves_make_an_empty_grid(tmp_path):
    leaves = LeafArray(np.zeros((0, 3), np.int32), np.zeros((0, 16, 16, 16), np.float32), (1024, 1024, 1024))
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", leaves, (-3, 0, 0), background=1.5)]))
    write_nvdb(tmp_path / "f.nvdb", [Grid.from_leaves("density", leaves, (-3, 0, 0), np.eye(4), 1.5)])
    for (grid,) in (read_vdb(tmp_path / "f.vdb"), read_nvdb(tmp_path / "f.nvdb")):
        assert grid.active_count == 0 and grid.background == 1.5
    assert leaves.peak(1.5) == 1.5


@pytest.mark.usefixtures("library")
def test_a_number_that_is_none_counts_where_it_is_a_voxel(tmp_path):
    leaves = as_leaf_array(smoke(0), 8, np.nan)
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", leaves)]))
    assert np.isnan(leaves.values).any()  # what it was given stays as it is
    bad = smoke(0)
    bad[28, 17, 36] = np.nan
    with pytest.raises(FluidError, match=r"\(25, 8, 37\)") as caught:
        write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", as_leaf_array(bad, 8, 0.0), (-3, -9, 1))]))
    assert caught.value.code == "not-finite"


def test_the_peak_counts_voxels_and_the_background_where_it_shows():
    array = -smoke(0) - 1
    whole, some = as_leaf_array(array, 16, 9.0), as_leaf_array(array, 16, 9.0, -1.0)
    assert (whole.peak(5.0), some.peak(5.0)) == (-1.0, 5.0)
    array[0, 0, 0] = np.inf
    assert as_leaf_array(array, 16, 9.0).peak(5.0) == -1.0
    assert as_leaf_array(np.full_like(array, np.nan)).peak(5.0) is None


@pytest.mark.parametrize(
    ("coords", "values", "size", "says"),
    [
        ([[0, 0, 0]], np.zeros((2, 8, 8, 8)), (8, 8, 8), "cannot have values"),
        ([[0, 0, 0]], np.zeros((1, 8, 8, 4)), (8, 8, 8), "cannot have values"),
        ([[0, 0, 0]], np.zeros((1, 6, 6, 6)), (8, 8, 8), "edge of 6"),
        ([[0, 1, 0]], np.zeros((1, 8, 8, 8)), (9, 8, 8), "not in the domain"),
        ([[0, 0, -1]], np.zeros((1, 8, 8, 8)), (8, 8, 8), "not in the domain"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(coords, values, size, says):
    with pytest.raises(ValueError, match=says):
        LeafArray(np.array(coords, np.int32), values, size)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", ["f.vdb", "f.nvdb"])
def test_memory_follows_the_leaves_and_not_the_box(tmp_path, name):
    random = np.random.default_rng(0)
    coords = np.unique(random.integers(0, 128, (300, 3)), axis=0).astype(np.int32)  # far from each other
    values = random.random((len(coords), 8, 8, 8), np.float32)
    leaves = LeafArray(coords, values, (1024, 1024, 1024))
    tracemalloc.start()
    if name == "f.vdb":
        write_vdb(tmp_path / name, VdbFrame([VdbGrid("density", leaves, (-511, 3, 9))]))
    else:
        write_nvdb(tmp_path / name, [Grid.from_leaves("density", leaves, (-511, 3, 9), np.eye(4))], "none")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # such leaves lie in eight of the file's each; the box would take 4 GiB
    assert peak < 12 * 8 * values.nbytes + (tmp_path / name).stat().st_size
    (grid,) = read_vdb(tmp_path / name) if name == "f.vdb" else read_nvdb(tmp_path / name)
    at = coords[200] * 8 + (-511, 3, 9)
    np.testing.assert_array_equal(grid.dense(at, (8, 8, 8)), values[200])
