# SPDX-License-Identifier: GPL-3.0-or-later
"""NanoVDB files that NVIDIA's tools wrote are read voxel by voxel, and written again byte by byte."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from fluid_addon.volumes.nanovdb_layout import FILE_GRID, FILE_HEADER, GRID, LAYOUTS, TREE
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from fluid_addon.volumes.nanovdb_writer import write_nvdb

FILES = ("torus", "test_vec_grid")


@pytest.mark.parametrize("name", FILES)
def test_every_voxel_is_what_warp_reads(shared_data, name):
    expected = np.load(shared_data / "expected.npz")
    index, values = expected[f"{name}_ijk"].astype(np.int64), expected[f"{name}_val"]
    (grid,) = read_nvdb(shared_data / f"{name}.nvdb")
    low, high = grid.leaf_box()
    found = grid.dense(low, high - low)[tuple((index - low).T)]
    assert len(index) == 512 * len(grid.leaf_origins)
    np.testing.assert_array_equal(found, values)


def test_what_the_files_say_about_themselves(shared_data):
    (torus,) = read_nvdb(shared_data / "torus.nvdb")
    assert (torus.name, torus.kind, torus.grid_class) == ("surface", "float", "level set")
    assert torus.active_count == 3001
    assert torus.background == pytest.approx(0.3)
    low, high = torus.active_box()
    assert (low.tolist(), high.tolist()) == ([-10, -5, -10], [11, 6, 11])
    (vectors,) = read_nvdb(shared_data / "test_vec_grid.nvdb")
    assert (vectors.name, vectors.kind, vectors.grid_class) == ("", "vec3f", "unknown")
    assert vectors.active_count == 9261
    assert vectors.background == pytest.approx((10.8, -4.13, 10.26))


def test_the_transform_turns_the_torus_about_the_x_axis(shared_data):
    (torus,) = read_nvdb(shared_data / "torus.nvdb")
    expected = [[0.1, 0, 0, 1], [0, 0, 0.1, 2], [0, -0.1, 0, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(torus.transform, expected, atol=1e-15)
    (vectors,) = read_nvdb(shared_data / "test_vec_grid.nvdb")
    np.testing.assert_allclose(vectors.transform, np.diag([0.25, 0.25, 0.25, 1]), atol=1e-15)


@pytest.mark.parametrize("name", FILES)
def test_the_transform_maps_the_index_box_to_the_world_box_of_the_file(shared_data, name):
    path = shared_data / f"{name}.nvdb"
    entry = np.frombuffer(path.read_bytes(), FILE_GRID, 1, FILE_HEADER.itemsize)[0]
    (grid,) = read_nvdb(path)
    low, high = grid.active_box()
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(8, 3)
    world = corners @ grid.transform[:3, :3].T + grid.transform[:3, 3]
    np.testing.assert_allclose([world.min(axis=0), world.max(axis=0)], entry["world_box"], atol=1e-6)


@pytest.mark.parametrize("name", FILES)
def test_N06_a_file_written_again_has_the_same_tree_byte_by_byte(shared_data, tmp_path, name):
    """Order of nodes, masks, offsets, boxes, extremes, averages, deviations: all as NanoVDB itself writes them."""
    path = shared_data / f"{name}.nvdb"
    write_nvdb(tmp_path / "again.nvdb", read_nvdb(path))
    theirs, ours = _grid_bytes(path), _grid_bytes(tmp_path / "again.nvdb")
    assert theirs[GRID.itemsize :] == ours[GRID.itemsize :]
    one, other = (np.frombuffer(data, GRID, 1)[0] for data in (theirs, ours))
    for member in ("flags", "grid_index", "grid_count", "grid_size", "name", "grid_class", "grid_type", "blind_count"):
        assert one[member] == other[member], member
    np.testing.assert_allclose(one["world_box"], other["world_box"], atol=1e-12)
    np.testing.assert_array_equal(one["voxel_size"], other["voxel_size"])
    for member in GRID["map"].names:
        np.testing.assert_array_equal(one["map"][member], other["map"][member])


@pytest.mark.parametrize("name", FILES)
def test_the_directory_of_a_file_written_again_says_the_same(shared_data, tmp_path, name):
    path = shared_data / f"{name}.nvdb"
    write_nvdb(tmp_path / "again.nvdb", read_nvdb(path))
    entries = [
        np.frombuffer(file.read_bytes(), FILE_GRID, 1, FILE_HEADER.itemsize)[0]
        for file in (path, tmp_path / "again.nvdb")
    ]
    for member in set(FILE_GRID.names) - {"file_size", "version", "world_box"}:
        np.testing.assert_array_equal(entries[0][member], entries[1][member], err_msg=member)


def test_nodes_have_the_sizes_that_nanovdb_documents():
    sizes = {
        1: (64, 32, 270400, 33856, 2144),
        2: (96, 32, 270400, 33856, 4224),
        4: (64, 32, 270400, 33856, 2144),
        6: (96, 32, 532544, 66624, 6272),
        7: (128, 64, 794720, 99424, 12448),
        15: (64, 32, 270400, 33856, 1120),
    }
    for number, layout in LAYOUTS.items():
        forms = (layout.root, layout.root_tile, layout.upper, layout.lower, layout.leaf)
        assert tuple(form.itemsize for form in forms) == sizes[number]
    assert (GRID.itemsize, TREE.itemsize, FILE_HEADER.itemsize, FILE_GRID.itemsize) == (672, 64, 16, 176)


def _grid_bytes(path):
    data = path.read_bytes()
    entry = np.frombuffer(data, FILE_GRID, 1, FILE_HEADER.itemsize)[0]
    start = FILE_HEADER.itemsize + FILE_GRID.itemsize + int(entry["name_size"]) + 8
    return zlib.decompress(data[start:])
