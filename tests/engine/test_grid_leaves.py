# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves from files: a grid wakes the leaves that it reaches, and they hold what the whole box would hold there."""

from __future__ import annotations

import dataclasses
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import Format
from fluid_addon.engine.domain import Domain, parse_boundary
from fluid_addon.engine.faces import at_centres, at_centres_of_leaves
from fluid_addon.engine.field import RESOLUTIONS, Field
from fluid_addon.engine.grid_leaves import leaves_of_grid, resampled_leaves
from fluid_addon.engine.grid_values import leaf_values_of, values_of
from fluid_addon.volumes.grid import Grid, Tiles
from fluid_addon.volumes.leaf_array import LeafArray
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from tests.volumes.conftest import SHARED
from tests.volumes.leaf_cubes import all_coords, as_leaf_array, cut

#: From the domain's voxels to the world, that is, to the grid's index coordinates.
LATTICES = {
    "the same": (1.0, 1.0, 1.0),
    "finer": (0.37, 0.5, 0.9),
    "coarser": (3.1, 2.0, 1.3),
    "mirrored": (-0.7, 1.0, -2.0),
}


def random_grid(seed: int, kind: str, grid_class: str = "unknown") -> Grid:
    """Leaves with holes around the origin, and tiles of both small sizes between them."""
    random = np.random.default_rng(seed)
    trailing, dtype = ((3,) if kind == "vec3f" else ()), np.int32 if kind == "int32" else np.float32
    places = np.unique(random.integers(-2, 3, (9, 3)), axis=0) * 8
    origins, small = places[:5].astype(np.int32), places[5:].astype(np.int32)
    masks = random.random((5, 8, 8, 8)) < np.array([0.002, 0.01, 0.5, 1.0, 0.0])[:, None, None, None]
    values = random.integers(-40, 40, (*masks.shape, *trailing)).astype(dtype)
    count = len(small) + 1
    tiles = Tiles(
        np.concatenate([small, [[-128, 0, 128]]]).astype(np.int32),
        np.array([8] * len(small) + [128], np.int32),
        random.integers(-9, 9, (count, *trailing)).astype(dtype),
        random.random(count) < 0.6,
    )
    background = (1.0, 2.0, 3.0) if trailing else 3 if kind == "int32" else 3.0
    if grid_class == "level set":  # whose outside, and only that, is not stored
        masks |= values >= 0
    return Grid("f", kind, grid_class, np.eye(4), background, origins, values, masks, tiles)


def field_for(kind: str, resolution: Fraction = Fraction(1), staggered: bool = False) -> Field:
    formats = {"float": Format.R32F, "vec3f": Format.R32G32B32F, "int32": Format.R32I}
    background = (7.5, -8.0, 9.0) if kind == "vec3f" else (7,)
    return Field("f", formats[kind], background, staggered=staggered, resolution=resolution)


def domain_on(lattice: str, low=(-13, -9, -20), size=(37, 29, 26)) -> Domain:
    transform = np.diag([*LATTICES[lattice], 1.0])
    if lattice != "the same":
        transform[:3, 3] = 0.3, -1.7, 2.0
    return Domain(size, low, transform, parse_boundary("open"))


def assert_like_the_box(grid: Grid, field: Field, domain: Domain) -> None:
    """Every leaf's values, and which leaves are named."""
    edge = int(8 * field.resolution)
    box = values_of(grid, field, domain, "a.vdb")
    outside = field.background if grid.components else field.background[0]
    every = all_coords(domain.size, edge)
    expected = cut(box, edge, outside)
    found = leaf_values_of(grid, field, domain, "a.vdb", every)
    assert found.dtype == box.dtype
    np.testing.assert_array_equal(found.view(np.uint32), expected[tuple(every.T)].copy().view(np.uint32))

    active = leaves_of_grid(grid, domain, edge, on_faces=field.staggered)
    assert active.dtype == np.int32
    np.testing.assert_array_equal(active, np.unique(active, axis=0))
    background = np.asarray(grid.background if grid.grid_class == "level set" else outside, box.dtype)
    differs = ~np.isclose(cut(box, edge, background), background, rtol=1e-6, atol=0)
    named = np.zeros(differs.shape[:3], np.bool_)
    named[tuple(active.T)] = True
    assert not (differs.any(axis=tuple(range(3, differs.ndim))) & ~named).any()
    assert 0 < len(active) < named.size
    np.testing.assert_array_equal(leaf_values_of(grid, field, domain, "a.vdb", active), expected[tuple(active.T)])


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("kind", ["float", "vec3f", "int32"])
def test_leaves_hold_what_the_box_holds(lattice, kind):
    assert_like_the_box(random_grid(len(lattice), kind), field_for(kind), domain_on(lattice))


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_fields_of_every_resolution(resolution):
    domain = domain_on("the same", (-11, -5, -13), (27, 21, 22))
    assert_like_the_box(random_grid(1, "float"), field_for("float", resolution), domain.at(resolution))


@pytest.mark.parametrize("lattice", ["the same", "finer"])
@pytest.mark.parametrize(("grid_class", "staggered"), [("staggered", True), ("staggered", False), ("unknown", True)])
def test_vectors_between_centres_and_faces(lattice, grid_class, staggered):
    grid = random_grid(2, "vec3f", grid_class)
    assert_like_the_box(grid, field_for("vec3f", staggered=staggered), domain_on(lattice))


@pytest.mark.parametrize("lattice", ["the same", "coarser"])
def test_the_inside_of_a_level_set_counts(lattice):
    grid, field, domain = random_grid(3, "float", "level set"), field_for("float"), domain_on(lattice)
    grid.leaf_values[:] = np.abs(grid.leaf_values)
    grid.leaf_values[0] = -3.0  # and no voxel of it is active
    grid.leaf_masks[0] = False
    grid.tiles.active[:] = False
    grid.tiles.values[:] = np.where(np.arange(len(grid.tiles)) % 2, -3.0, 3.0)
    assert_like_the_box(grid, field, domain)
    assert field.grid_class == "level set"
    where = [grid.leaf_origins[0], *grid.tiles.origins[grid.tiles.values < 0]]
    named = set(map(tuple, leaves_of_grid(grid, domain_on("the same", (-16, -16, -16), (32, 32, 32))).tolist()))
    for origin in where:
        place = tuple(((origin + 16) // 8).tolist())
        assert place in named or min(place) < 0 or max(place) > 3


def test_a_single_voxel_wakes_the_leaves_that_look_at_it():
    values = np.zeros((8, 8, 8), np.float32)
    values[7, 0, 0] = 1
    grid = Grid.from_dense("f", values, (0, 0, 0), np.eye(4))
    leaves = leaves_of_grid(grid, Domain((32, 32, 32), (-9, -16, -3), np.eye(4), parse_boundary("open")))
    assert leaves.tolist() == [[2, 2, 0]]
    half = np.eye(4)
    half[0, 3] = 0.5  # between two voxels, and here these lie in two leaves
    leaves = leaves_of_grid(grid, Domain((32, 32, 32), (-9, -16, -3), half, parse_boundary("open")))
    assert leaves.tolist() == [[1, 2, 0], [2, 2, 0]]
    vectors = Grid.from_dense("f", np.repeat(values[..., None], 3, axis=3), (0, 0, 0), np.eye(4), (0.0, 0.0, 0.0))
    domain = Domain((16, 16, 16), (0, 0, 0), np.eye(4), parse_boundary("open"))
    assert leaves_of_grid(vectors, domain, on_faces=True).tolist() == [[0, 0, 0], [1, 0, 0]]


def test_grids_beside_the_domain_and_empty_ones_wake_nothing():
    empty = Grid.from_dense("f", np.zeros((8, 8, 8), np.float32), (0, 0, 0), np.eye(4))
    beside = Grid.from_dense("f", np.ones((8, 8, 8), np.float32), (400, 0, 0), np.eye(4))
    domain, field = domain_on("the same"), field_for("float")
    for grid in (empty, beside):
        assert leaves_of_grid(grid, domain).shape == (0, 3)
        every = all_coords(domain.size)
        values = leaf_values_of(grid, field, domain, "a.vdb", every)
        assert values.shape == (len(every), 8, 8, 8) and (values == 7).all()
        assert leaf_values_of(grid, field, domain, "a.vdb", every[:0]).shape == (0, 8, 8, 8)


def test_leaves_that_lie_very_far_apart_are_told_apart():
    places = np.array([[2**30, -(2**30), 0], [-(2**30), 0, 2**30], [0, 2**30, -(2**30)], [0, 0, 0]], np.int32)
    values = np.ones((4, 8, 8, 8), np.float32) * np.arange(1, 5, dtype=np.float32)[:, None, None, None]
    grid = Grid("f", "float", "unknown", np.eye(4), 0.0, places, values, values > 0)
    for number, low in enumerate(places.tolist()):
        domain = Domain((8, 8, 8), tuple(low), np.eye(4), parse_boundary("open"))
        assert leaves_of_grid(grid, domain).tolist() == [[0, 0, 0]]
        assert (resampled_leaves(grid, domain, all_coords((8, 8, 8))).values == number + 1).all()


def test_a_number_that_is_none_is_refused_with_its_voxel():
    grid = random_grid(4, "float")
    grid.leaf_masks[0, 3, 4, 5] = grid.leaf_masks[1, 1, 1, 1] = True
    grid.leaf_values[0, 3, 4, 5] = grid.leaf_values[1, 1, 1, 1] = np.nan
    domain, said = domain_on("the same", (-30, -30, -30), (60, 60, 60)), []
    for leaves in (None, leaves_of_grid(grid, domain)):
        with pytest.raises(FluidError) as caught:
            if leaves is None:
                values_of(grid, field_for("float"), domain, "a.vdb")
            else:
                leaf_values_of(grid, field_for("float"), domain, "a.vdb", leaves)
        said.append((caught.value.code, str(caught.value)))
    assert said[0] == said[1]
    assert said[0][0] == "not-a-number"


@pytest.mark.parametrize("name", ["torus", "test_vec_grid"])
@pytest.mark.skipif(not SHARED.exists(), reason=f"there is no test data in {SHARED}")
def test_files_of_others(name):
    (grid,) = read_nvdb(SHARED / f"{name}.nvdb")
    low, high = grid.active_box()
    size = tuple((high - low + 20).tolist())
    domain = Domain(size, tuple((low - 11).tolist()), grid.transform, parse_boundary("open"))
    assert_like_the_box(grid, field_for(grid.kind), domain)


@pytest.mark.parametrize("lattice", ["the same", "finer"])
def test_a_large_box_costs_what_its_leaves_cost(lattice):
    grid, domain = random_grid(6, "float"), domain_on(lattice, (-500, -511, -513), (1024, 1024, 1024))
    grid.tiles = Tiles.none()
    tracemalloc.start()
    leaves = leaves_of_grid(grid, domain)
    values = leaf_values_of(grid, field_for("float"), domain, "a.vdb", leaves)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(leaves) > 8
    assert peak < values.nbytes + (32 << 20)  # the box would take 4 GiB
    box = dataclasses.replace(domain, size=(160, 160, 160), low=(-68, -79, -81))  # 432 voxels further
    np.testing.assert_array_equal(leaves - 54, leaves_of_grid(grid, box))


# ===== Faces


@pytest.mark.parametrize("edge", [2, 8, 16])
@pytest.mark.parametrize("rules", [("open", "clamp", "periodic"), ("periodic", "open", "clamp")])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_leaves_of_faces_have_the_centres_of_the_box(edge, rules, dtype):
    boundary, background = parse_boundary(rules), (0.3, -1.7, 2.5)
    faces = (np.random.default_rng(edge).integers(-99, 99, (21, 16, 13, 3)) * 0.37).astype(dtype)
    faces[:, 8:, :8] = np.asarray(background, dtype)
    expected = at_centres(faces, background, boundary)
    for leaves in (as_leaf_array(faces, edge, 99), as_leaf_array(faces, edge, 99, np.asarray(background, dtype))):
        found = at_centres_of_leaves(leaves, background, boundary)
        assert found.values.dtype == np.float32
        wanted = LeafArray(leaves.coords, cut(expected, edge)[tuple(leaves.coords.T)], leaves.size)
        np.testing.assert_array_equal(found.trimmed(0).values, wanted.values)
