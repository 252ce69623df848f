# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage in the skeleton of a VDB file is found by us, before OpenVDB, which believes every length, gets to see it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.grid_file import GridFile
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, read_vdb, write_vdb
from fluid_addon.volumes.vdb_structure import read_structure
from fluid_addon.volumes.vdb_tree import VALUE_TYPES, read_tree


@pytest.fixture(scope="module")
def data(library, tmp_path_factory):
    """A small file with leaves, tiles of two sizes, a half grid and a vector grid."""
    path = tmp_path_factory.mktemp("vdb") / "f.vdb"
    random = np.random.default_rng(5)
    array = random.random((20, 20, 20)).astype(np.float32) * (random.random((20, 20, 20)) < 0.5)
    write_vdb(
        path,
        VdbFrame(
            [VdbGrid("density", array, (-4, -4, -4), half=True), VdbGrid("velocity", np.stack([array] * 3, axis=-1))],
        ),
    )
    grids, _ = library.readAll(str(path))
    grids[0].fill((128, 0, 0), (255, 127, 127), 4.0, active=True)
    grids[0].fill((64, 0, 0), (71, 7, 7), 5.0, active=False)
    library.write(str(path), grids)
    return path.read_bytes()


@pytest.fixture
def skeleton(tmp_path):
    """Read the skeleton of a file with these bytes: the trees, or the FluidError."""
    path = tmp_path / "damaged.vdb"

    def reading(content: bytes):
        path.write_bytes(content)
        try:
            return [read_tree(stored) for stored in read_structure(GridFile(path)) if stored.type_name in VALUE_TYPES]
        except FluidError as error:
            assert error.diagnostics[0].hint
            return error

    return reading


def test_the_small_file_is_fine(skeleton, data):
    density, velocity = skeleton(data)
    assert density.active_count == 128**3 + velocity.active_count


def test_a_file_cut_anywhere_is_damaged(tmp_path, data):
    path = tmp_path / "cut.vdb"
    for length in [*range(0, 1000, 9), *range(1000, len(data), 1999), *range(len(data) - 9, len(data))]:
        path.write_bytes(data[:length])
        with pytest.raises(FluidError) as caught:  # all the way to read_vdb: OpenVDB never sees such a file
            read_vdb(path)
        assert caught.value.code == "grid-file-corrupt", length


@pytest.mark.parametrize("seed", range(4))
def test_any_bytes_of_the_skeleton_may_change(skeleton, data, seed):
    random = np.random.default_rng(seed)
    hot = np.flatnonzero(np.frombuffer(data, np.uint8))
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(int(random.integers(1, 6))):
            place = int(random.choice([random.choice(hot), random.integers(0, 1500)]))
            changed[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(0, 256)]))
        found = skeleton(bytes(changed))
        if isinstance(found, FluidError):
            assert found.code in ("grid-file-corrupt", "grid-file-kind")


def _at(data: bytes, mark: bytes, skip: int = 0) -> int:
    return data.index(mark) + len(mark) + skip


@pytest.mark.parametrize(
    ("what", "patch"),
    [
        ("number of grids", lambda d: (_at(d, b"density", -15), b"\xff\xff\xff\x7f")),
        ("length of the first name", lambda d: (_at(d, b"density", -11), b"\xff\xff\xff\xff")),
        ("start of the first grid", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 4), b"\xff" * 8)),
        ("start of its values", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 12), b"\x00" * 7 + b"\x40")),
        ("end of the first grid", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 20), b"\x00" * 7 + b"\x80")),
        ("number of metadata", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 32), b"\xff\xff\xff\xff")),
    ],
)
def test_hostile_lengths_are_found_before_anything_is_allocated(skeleton, data, what, patch):
    place, content = patch(data)
    changed = bytearray(data)
    changed[place : place + len(content)] = content
    tracemalloc.start()
    try:
        found = skeleton(bytes(changed))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(found, FluidError), what
    assert found.code == "grid-file-corrupt"
    assert peak < 4 * len(data)


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda d: b"NanoVDB0" + d[8:], "grid-file-kind", "NanoVDB file"),
        (lambda d: b"\x89PNG\r\n\x1a\n" + d[8:], "grid-file-corrupt", "PNG"),
        (lambda d: d[:8] + (221).to_bytes(4, "little") + d[12:], "grid-file-kind", "221"),
        (lambda d: d[:20] + b"\0" + d[21:], "grid-file-kind", "stream"),
        (lambda d: d + b"\0", "grid-file-corrupt", "end at byte"),
        (lambda _: b"", "grid-file-corrupt", "head of a VDB file"),
    ],
)
def test_other_files_are_recognised(skeleton, data, change, code, says):
    found = skeleton(change(data))
    assert found.code == code
    assert says in str(found)


def test_what_is_no_file_is_missing(tmp_path):
    (tmp_path / "folder.vdb").mkdir()
    for path in (tmp_path / "no.vdb", tmp_path / "folder.vdb", "nul\0.vdb"):
        with pytest.raises(FluidError) as caught:
            read_vdb(path)
        assert caught.value.code == "grid-file-missing"
