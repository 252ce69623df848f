# SPDX-License-Identifier: GPL-3.0-or-later
"""A VDB tree is understood in every form that OpenVDB's format allows, those too that Blender's build never writes."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.grid_file import Bytes, GridFile
from fluid_addon.volumes.vdb_structure import Cursor, StoredGrid
from fluid_addon.volumes.vdb_tree import read_tree

NONE, ZIP, MASKED, BLOSC = 0, 1, 2, 4
BACKGROUND, OTHER, SECOND, ACTIVE = 1.5, 2.0, -3.0, 7.0
SLOTS = 32**3


def mask(*on: int, slots: int = SLOTS) -> bytes:
    bits = np.zeros(slots, np.bool_)
    bits[list(on)] = True
    return np.packbits(bits, bitorder="little").tobytes()


def blosc_of(raw: bytes) -> bytes:
    """Blosc's format for what it could not make smaller."""
    return struct.pack("<4B3i", 2, 1, 2, 4, len(raw), max(1, len(raw)), len(raw) + 16) + raw


def packed(values: np.ndarray, compression: int, squeeze: bool) -> bytes:
    raw = values.tobytes()
    if not compression & (ZIP | BLOSC):
        return raw
    if squeeze:
        content = zlib.compress(raw) if compression & ZIP else blosc_of(raw)
        return struct.pack("<q", len(content)) + content
    return struct.pack("<q", -len(raw)) + raw


def tree(rule: int, compression: int, half: bool = False, squeeze: bool = False) -> StoredGrid:
    """One upper node without children: slot 0 is an active tile, slot 1 an inactive one that the mask chooses."""
    real = "<f2" if half else "<f4"
    content = struct.pack("<ifII", 1, BACKGROUND, 0, 1) + struct.pack("<3i", 0, -4096, 4096)
    content += mask() + mask(0) + bytes([rule])
    content += struct.pack("<f", OTHER) if rule in (2, 4, 5) else b""
    content += struct.pack("<f", SECOND) if rule == 5 else b""
    content += mask(1) if rule in (3, 4, 5) else b""
    table = np.full(SLOTS, OTHER, real)
    table[:3] = ACTIVE, SECOND, BACKGROUND
    whole = rule == 6 or not compression & MASKED
    content += packed(table if whole else np.array([ACTIVE], real), compression, squeeze)
    data = Bytes(memoryview(content), GridFile(Path("made.vdb")))
    return StoredGrid("g", "g", "float", half, "unknown", np.eye(4), compression, Cursor(data))


#: What an inactive tile is by rule: one that the mask does not choose, and one that it does.
INACTIVE = {
    0: (BACKGROUND, BACKGROUND),
    1: (-BACKGROUND, -BACKGROUND),
    2: (OTHER, OTHER),
    3: (-BACKGROUND, BACKGROUND),
    4: (OTHER, BACKGROUND),
    5: (OTHER, SECOND),
}


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("compression", [MASKED, MASKED | ZIP, MASKED | BLOSC])
@pytest.mark.parametrize("rule", INACTIVE)
def test_inactive_tiles_follow_the_rule_of_their_node(rule, compression, half):
    squeeze = compression == MASKED | ZIP
    found = read_tree(tree(rule, compression, half, squeeze))
    table = np.full(SLOTS, BACKGROUND)
    places = (found.tile_origins - (0, -4096, 4096)) // 128
    table[places[:, 0] * 1024 + places[:, 1] * 32 + places[:, 2]] = found.tile_values
    left, chosen = INACTIVE[rule]
    assert table[0] == ACTIVE
    assert table[1] == chosen
    assert (table[2:] == left).all()
    assert found.tile_known.all()
    assert found.active_count == 128**3
    assert set(found.tile_edges.tolist()) <= {128}


@pytest.mark.parametrize(
    ("compression", "rule", "squeeze"),
    [(NONE, 6, False), (ZIP, 6, True), (ZIP, 6, False), (MASKED | ZIP, 6, True), (BLOSC, 6, False), (NONE, 0, False)],
)
@pytest.mark.parametrize("half", [False, True])
def test_a_whole_table_is_read_as_it_stands(compression, rule, squeeze, half):
    found = read_tree(tree(rule, compression, half, squeeze))
    assert found.tile_known.all()
    assert len(found.tile_values) == SLOTS - 1  # slot 2 is the background
    assert found.tile_values[:3].tolist() == [ACTIVE, SECOND, OTHER]
    assert np.count_nonzero(found.tile_active) == 1


def test_what_blosc_packed_is_left_to_openvdb():
    found = read_tree(tree(6, BLOSC, squeeze=True))
    assert not found.tile_known.any()
    assert len(found.tile_known) == SLOTS
    found = read_tree(tree(2, BLOSC | MASKED, squeeze=True))
    assert np.flatnonzero(~found.tile_known).tolist() == [0]
    assert (found.tile_values[1:] == OTHER).all()


def test_D16_a_zip_bomb_in_a_tree_is_stopped():
    stored = tree(6, ZIP, squeeze=True)
    whole = bytes(stored.tree.data.data)
    bomb = zlib.compress(bytes(1 << 24))
    start = whole.index(b"\x06", 4 + 12 + 12 + 2 * SLOTS // 8) + 1
    stored.tree = Cursor(
        Bytes(memoryview(whole[:start] + struct.pack("<q", len(bomb)) + bomb), GridFile(Path("made.vdb")))
    )
    tracemalloc.start()
    try:
        with pytest.raises(FluidError, match="does not decompress to the 131,072 bytes") as caught:
            read_tree(stored)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "grid-file-corrupt"
    assert peak < 4 << 20


def test_D16_what_blosc_packed_must_say_of_itself_what_it_has_to_become():
    stored = tree(6, BLOSC, squeeze=True)
    whole = bytes(stored.tree.data.data)
    at = whole.index(struct.pack("<2i", SLOTS * 4, SLOTS * 4))
    for place, number in ((0, 2**31 - 1), (4, 0), (8, 16)):
        changed = whole[: at + place] + struct.pack("<i", number) + whole[at + place + 4 :]
        stored.tree = Cursor(Bytes(memoryview(changed), GridFile(Path("made.vdb"))))
        with pytest.raises(FluidError, match="32,768 values of a node that are packed wrongly") as caught:
            read_tree(stored)
        assert caught.value.code == "grid-file-corrupt"


def root_of(*uppers: tuple[int, int, int], tiles: tuple[tuple[int, int, int], ...] = ()) -> StoredGrid:
    content = struct.pack("<ifII", 1, BACKGROUND, len(tiles), len(uppers))
    content += b"".join(struct.pack("<3ifB", *place, OTHER, 1) for place in tiles)
    for place in uppers:
        content += struct.pack("<3i", *place) + mask() + mask() + b"\0"
    data = Bytes(memoryview(content), GridFile(Path("made.vdb")))
    return StoredGrid("g", "g", "float", False, "unknown", np.eye(4), MASKED, Cursor(data))


def test_D15_a_root_that_openvdb_would_read_in_another_order_is_damage():
    assert read_tree(root_of((0, 0, -4096), (0, 0, 0), tiles=((4096, 0, 0),))).active_count == 4096**3
    for stored, says in (
        (root_of((0, 0, 0), (0, 0, -4096)), "out of order"),
        (root_of((0, 0, 0), (0, 0, 0)), "names a place twice"),
        (root_of((0, 0, 0), tiles=((0, 0, 0),)), "names a place twice"),
        (root_of(tiles=((8, 0, 0),)), "a tile in a wrong place"),
    ):
        with pytest.raises(FluidError, match=says) as caught:
            read_tree(stored)
        assert caught.value.code == "grid-file-corrupt"


def test_D15_a_place_is_a_tile_or_a_node():
    stored = tree(0, MASKED)
    whole = bytearray(stored.tree.data.data)
    whole[16 + 12] |= 1  # the first slot is a child, too
    stored.tree = Cursor(Bytes(memoryview(bytes(whole)), GridFile(Path("made.vdb"))))
    with pytest.raises(FluidError, match="a tile where there is a node"):
        read_tree(stored)


def test_D15_nodes_for_which_openvdb_would_take_gigabytes_are_refused(monkeypatch):
    monkeypatch.setattr("fluid_addon.volumes.vdb_tree._MOST_NODE_BYTES", SLOTS * 4)
    read_tree(root_of((0, 0, 0)))
    with pytest.raises(FluidError, match="too many nodes for its leaves") as caught:
        read_tree(root_of((0, 0, 0), (0, 0, 4096)))
    assert caught.value.code == "grid-file-kind"
