# SPDX-License-Identifier: GPL-3.0-or-later
"""A grid keeps what an array holds, and gives any box of it back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluid_addon.volumes.grid import Grid, Tiles, voxel_size

SMALL = st.integers(-20, 20)


@given(
    st.tuples(SMALL, SMALL, SMALL),
    st.tuples(st.integers(0, 19), st.integers(0, 19), st.integers(0, 19)),
    st.sampled_from(["float32", "float16", "int32", "vector"]),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_any_box_of_a_grid_equals_the_same_box_of_the_array(low, size, kind, seed):
    random = np.random.default_rng(seed)
    shape = (*size, 3) if kind == "vector" else size
    background = (1.0, 2.0, 3.0) if kind == "vector" else 2
    array = random.integers(0, 4, shape).astype("float32" if kind == "vector" else kind)
    array[random.random(size) < 0.7] = background
    grid = Grid.from_dense("g", array, low, np.eye(4), background)

    assert grid.kind == {"float32": "float", "float16": "half", "int32": "int32", "vector": "vec3f"}[kind]
    np.testing.assert_array_equal(grid.dense(low, size), array)
    # a box around it, cut out of a larger array that is the background elsewhere
    around = np.full((70, 70, 70, *shape[3:]), background, grid.dtype)
    around[tuple(slice(at + 25, at + 25 + length) for at, length in zip(low, size, strict=True))] = array
    corner, extent = random.integers(-25, 20, 3), random.integers(0, 25, 3)
    cut = tuple(slice(at + 25, at + 25 + length) for at, length in zip(corner, extent, strict=True))
    np.testing.assert_array_equal(grid.dense(corner, extent), around[cut])


@given(st.integers(0, 1000), st.tuples(SMALL, SMALL, SMALL))
@settings(max_examples=40, deadline=None)
def test_active_box_is_the_box_of_voxels_that_differ_from_the_background(seed, low):
    random = np.random.default_rng(seed)
    array = np.where(random.random((9, 21, 5)) < 0.02, 1.0, 0.0)
    grid = Grid.from_dense("g", array, low, np.eye(4))
    where = np.argwhere(array)
    assert grid.active_count == len(where)
    if len(where) == 0:
        assert grid.active_box() is None
        assert grid.leaf_box() is None
        return
    first, last = grid.active_box()
    np.testing.assert_array_equal(first, where.min(axis=0) + low)
    np.testing.assert_array_equal(last, where.max(axis=0) + low + 1)
    first, last = grid.leaf_box()
    assert not (first % 8).any() and not (last % 8).any()
    np.testing.assert_array_equal(first, (where.min(axis=0) + low) // 8 * 8)


def test_tiles_of_all_sizes_fill_their_cubes_and_leaves_lie_over_the_background():
    tiles = Tiles(
        np.array([[8, 0, 0], [-128, 0, 0], [-4096, -4096, -4096]], np.int32),
        np.array([8, 128, 4096], np.int32),
        np.array([1, 2, 3], np.float32),
        np.array([False, True, False]),
    )
    one = np.ones((1, 8, 8, 8), np.bool_)
    grid = Grid("g", "float", "unknown", np.eye(4), 9.0, np.zeros((1, 3), np.int32), one * np.float32(5), one, tiles)
    dense = grid.dense((-130, -2, -1), (150, 4, 3), outside=7.0)
    expected = np.full((150, 4, 3), 7, np.float32)
    expected[130:138, 2:, 1:] = 5
    expected[138:146, 2:, 1:] = 1
    expected[2:130, 2:, 1:] = 2
    expected[:130, :2, :1] = 3  # x, y, z all below 0
    np.testing.assert_array_equal(dense, expected)
    assert grid.active_count == 512 + 128**3
    first, last = grid.active_box()
    assert first.tolist() == [-128, 0, 0]
    assert last.tolist() == [8, 128, 128]


def test_dense_takes_the_background_where_nothing_is_stored_unless_told_otherwise():
    grid = Grid.from_dense("g", np.array([[[1.0]]]), (0, 0, 0), np.eye(4), 0.25)
    assert grid.dense((100, 0, 0), (1, 1, 1)).item() == 0.25
    assert grid.dense((100, 0, 0), (1, 1, 1), outside=-1).item() == -1


def test_voxel_size_is_the_length_of_the_axes(rotated):
    np.testing.assert_allclose(voxel_size(rotated), [0.1, 0.2, 0.4])


def test_arrays_that_do_not_fit_together_are_refused():
    masks = np.ones((1, 8, 8, 8), np.bool_)
    values = masks.astype(np.float32)
    with pytest.raises(ValueError, match="leaf_masks"):
        Grid("g", "float", "unknown", np.eye(4), 0.0, np.zeros((2, 3), np.int32), values.repeat(2, 0), masks)
    with pytest.raises(ValueError, match="multiples of 8"):
        Grid("g", "float", "unknown", np.eye(4), 0.0, np.ones((1, 3), np.int32), values, masks)
    with pytest.raises(ValueError, match="kind int32"):
        Grid("g", "int32", "unknown", np.eye(4), 0, np.zeros((1, 3), np.int32), values, masks)
    with pytest.raises(ValueError, match="no grid holds"):
        Grid.from_dense("g", np.zeros((2, 2, 2, 2), np.float32), (0, 0, 0), np.eye(4))
