# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is done to a NanoVDB file, the reader answers with a FluidError that says what is wrong, or reads it."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.grid import Grid, Tiles
from fluid_addon.volumes.grid_file import MAX_GRIDS
from fluid_addon.volumes.nanovdb_layout import (
    FILE_GRID,
    FILE_HEADER,
    GRID,
    LAYOUTS,
    TREE,
    checksums,
    version_word,
)
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from fluid_addon.volumes.nanovdb_writer import write_nvdb

START = FILE_HEADER.itemsize + FILE_GRID.itemsize + len(b"density\0")  # where the grid starts in a plain file
LAYOUT = LAYOUTS[1]


def small_grid() -> Grid:
    random = np.random.default_rng(7)
    masks = random.random((3, 8, 8, 8)) < 0.5
    tiles = Tiles(
        np.array([[64, 0, 0], [128, 0, 0]], np.int32),
        np.array([8, 128], np.int32),
        np.array([0.5, 0.25], np.float32),
        np.array([True, False]),
    )
    origins = np.array([[0, 0, 0], [8, 0, -8], [136, 136, 136]], np.int32)
    values = random.random(masks.shape).astype(np.float32) * masks
    return Grid("density", "float", "fog volume", np.eye(4), 0.0, origins, values, masks, tiles)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The bytes of a small file by its compression."""
    folder = tmp_path_factory.mktemp("nvdb")
    for compression in ("zip", "none"):
        write_nvdb(folder / f"{compression}.nvdb", [small_grid()], compression)
    return {compression: (folder / f"{compression}.nvdb").read_bytes() for compression in ("zip", "none")}


@pytest.fixture
def read(tmp_path):
    """Read these bytes as a file: the grids, or the FluidError."""
    path = tmp_path / "damaged.nvdb"

    def reading(data: bytes):
        path.write_bytes(data)
        try:
            return read_nvdb(path)
        except FluidError as error:
            assert error.diagnostics[0].hint
            return error

    return reading


def patched(data: bytes, offset: int, form: str, *values: int) -> bytearray:
    """`data` with numbers written over it and the checksum taken out, so that what is behind it gets read."""
    result = bytearray(data)
    struct.pack_into("<II", result, START + 8, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<" + form, result, offset, *values)
    return result


def member(form: np.dtype, name: str, base: int) -> int:
    return base + form.fields[name][1]


ROOT = START + GRID.itemsize + TREE.itemsize
TILE = ROOT + LAYOUT.root.itemsize
UPPER = START + GRID.itemsize + TREE.itemsize + LAYOUT.root.itemsize + 2 * LAYOUT.root_tile.itemsize


def test_the_small_file_is_fine(read, files):
    for data in files.values():
        (grid,) = read(data)
        np.testing.assert_array_equal(grid.leaf_masks.sum(axis=(1, 2, 3)).sum(), small_grid().leaf_masks.sum())


def test_a_zipped_file_cut_anywhere_is_damaged(read, files):
    data = files["zip"]
    for length in [*range(250), *range(250, len(data) - 20, 61), *range(len(data) - 20, len(data))]:
        assert read(data[:length]).code == "grid-file-corrupt", length


def test_a_plain_file_cut_anywhere_is_damaged(read, files):
    data = files["none"]
    for length in [*range(0, 1400, 17), *range(1400, len(data), 9973)]:
        assert read(data[:length]).code == "grid-file-corrupt", length


def test_bytes_behind_the_end_are_damage(read, files):
    assert read(files["zip"] + b"\0").code == "grid-file-corrupt"


@pytest.mark.parametrize("seed", range(6))
def test_any_bytes_may_change(read, files, seed):
    """60 files per seed, most of the changes where the structure lies."""
    random = np.random.default_rng(seed)
    data = patched(files["none"], 0, "8s", b"NanoVDB0")
    hot = np.flatnonzero(np.frombuffer(data, np.uint8))  # the rest of an upper node is mostly zero
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(int(random.integers(1, 9))):
            place = int(
                random.choice([random.choice(hot), random.integers(0, UPPER + 64), random.integers(0, len(data))])
            )
            changed[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(0, 256)]))
        found = read(bytes(changed))
        if isinstance(found, FluidError):
            assert found.code in ("grid-file-corrupt", "grid-file-kind")


@pytest.mark.parametrize("seed", range(3))
def test_any_bytes_of_a_zipped_file_may_change(read, files, seed):
    random = np.random.default_rng(seed)
    for _ in range(60):
        changed = bytearray(files["zip"])
        changed[int(random.integers(0, len(changed)))] ^= int(random.integers(1, 256))
        found = read(bytes(changed))
        if isinstance(found, FluidError):
            assert found.code in ("grid-file-corrupt", "grid-file-kind")


HOSTILE = {
    "grid size of the directory": (FILE_HEADER.itemsize, "Q", 2**63),
    "grid size of the grid": (START + GRID.fields["grid_size"][1], "Q", 2**63),
    "grid size, a little more": (FILE_HEADER.itemsize, "Q", 2**40),
    "stored size": (FILE_HEADER.itemsize + 8, "Q", 2**64 - 8),
    "name size": (member(FILE_GRID, "name_size", FILE_HEADER.itemsize), "I", 2**32 - 1),
    "number of grids": (member(FILE_HEADER, "grid_count", 0), "H", 65535),
    "no grids": (member(FILE_HEADER, "grid_count", 0), "H", 0),
    "codec": (member(FILE_HEADER, "codec", 0), "H", 77),
    "number of leaves": (START + GRID.itemsize + 32, "I", 2**32 - 1),
    "number of lower nodes": (START + GRID.itemsize + 36, "I", 2**32 - 1),
    "number of upper nodes": (START + GRID.itemsize + 40, "I", 0),
    "leaves before the file": (START + GRID.itemsize, "q", -(2**63)),
    "leaves behind the file": (START + GRID.itemsize, "q", 2**63 - 1),
    "leaves out of step": (START + GRID.itemsize, "q", 333),
    "root before the file": (START + GRID.itemsize + 24, "q", -1000),
    "root behind the file": (START + GRID.itemsize + 24, "q", 2**62),
    "size of the root": (member(LAYOUT.root, "table_size", ROOT), "I", 2**32 - 1),
    "child of the root behind the file": (TILE + 8, "q", 2**63 - 1),
    "child of the root is the root": (TILE + 8, "q", 64),
    "key of the root twice": (TILE + LAYOUT.root_tile.itemsize, "q", 0xFFFFF),
    "transform": (START + GRID.fields["map"][1] + 88, "d", float("nan")),
    "transform without volume": (START + GRID.fields["map"][1] + 88, "d", 0.0),
    "background": (member(LAYOUT.root, "background", ROOT), "f", float("inf")),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_N02_N03_hostile_numbers_are_found_before_anything_is_allocated(read, files, what):
    data = patched(files["none"], *HOSTILE[what])
    tracemalloc.start()
    try:
        found = read(bytes(data))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(found, FluidError), what
    assert found.code in ("grid-file-corrupt", "grid-file-kind")
    assert peak < 4 * len(data)


def test_N03_a_child_that_points_to_its_own_parent_is_found(read, files):
    table = UPPER + LAYOUT.upper.fields["table"][1]
    entries = np.frombuffer(files["none"], "<i8", 32**3, table)
    slot = int(np.flatnonzero(entries > 1000)[0])  # a link, not a tile
    found = read(bytes(patched(files["none"], table + 8 * slot, "q", 0)))
    assert found.code == "grid-file-corrupt"
    assert "points to lower nodes that are not there" in str(found)


def test_N03_a_child_that_two_parents_share_is_found(read, files):
    data = files["none"]
    table = UPPER + LAYOUT.upper.itemsize + LAYOUT.upper.fields["table"][1]  # of the second upper node
    links = np.flatnonzero(np.frombuffer(data, "<i8", 32**3, table) > 1000)
    assert links.tolist() == [0, 1024, 1057]  # the one in the middle is the tile
    first = struct.unpack_from("<q", data, table + 8 * int(links[0]))[0]
    assert read(bytes(patched(data, table + 8 * int(links[2]), "q", first))).code == "grid-file-corrupt"


def test_D16_a_zip_bomb_is_stopped_at_the_size_that_the_file_claims(read, files):
    bomb = zlib.compress(bytes(64 << 20), 9)
    head = bytearray(files["zip"][:START])
    struct.pack_into("<Q", head, FILE_HEADER.itemsize + 8, len(bomb) + 8)
    data = bytes(head) + struct.pack("<Q", len(bomb)) + bomb
    tracemalloc.start()
    try:
        found = read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.code == "grid-file-corrupt"
    assert "does not decompress to the" in str(found)
    assert peak < 4 << 20


def test_blosc_is_refused_by_name(read, files):
    found = read(bytes(patched(files["none"], member(FILE_HEADER, "codec", 0), "H", 2)))
    assert found.code == "grid-file-kind"
    assert "BLOSC" in str(found)
    assert "nanovdb_convert" in found.diagnostics[0].hint


@pytest.mark.parametrize("number", [8, 9, 13, 16, 17, 19, 20, 23, 26, 99])
def test_D17_types_that_no_field_can_hold_are_named(read, files, number):
    found = read(bytes(patched(files["none"], START + GRID.fields["grid_type"][1], "I", number)))
    assert found.code == "grid-file-kind"
    assert {8: "Mask", 9: "Half", 20: "OnIndex", 99: "number 99"}.get(number, '"density" is') in str(found)


def test_a_grid_of_another_type_is_passed_over_unless_it_is_asked_for(tmp_path, files):
    odd = patched(files["none"], START + GRID.fields["grid_type"][1], "I", 20)
    odd[START + 40 : START + 47] = b"indices"
    odd[START - 8 : START - 1] = b"indices"
    (tmp_path / "two.nvdb").write_bytes(bytes(odd) + files["zip"])
    (grid,) = read_nvdb(tmp_path / "two.nvdb")
    assert grid.name == "density"
    with pytest.raises(FluidError, match='its grid "indices" is of the type OnIndex') as caught:
        read_nvdb(tmp_path / "two.nvdb", only=["indices"])
    assert caught.value.code == "grid-file-kind"


@pytest.mark.parametrize("version", [(31, 9, 0), (33, 0, 0)])
def test_N01_other_versions_are_refused_with_both_numbers(read, files, version):
    found = read(bytes(patched(files["none"], 8, "I", version_word(*version))))
    assert found.code == "grid-file-kind"
    assert ".".join(map(str, version)) in str(found)
    assert "format 32 " in str(found)


@pytest.mark.parametrize(
    ("magic", "says"),
    [
        (b"0BDVonaN", "big-endian"),
        (b"2BDVonaN", "big-endian"),
        (b" BDV\0\0\0\0", "OpenVDB file"),
        (b"NanoVDB7", "NanoVDB7"),
        (b"GIF89a\0\0", "GIF89a"),
    ],
)
def test_N01_other_files_are_recognised(read, files, magic, says):
    found = read(magic + files["none"][8:])
    assert found.code in ("grid-file-kind", "grid-file-corrupt")
    assert says in str(found)


@pytest.mark.parametrize("magic", [b"NanoVDB0", b"NanoVDB1"])
def test_N01_D17_bare_grids_without_segments_are_read_also_of_equal_names(read, files, magic):
    block = bytearray(files["none"][START:])
    block[:8] = magic
    grids = read(bytes(block) * 2)
    assert [grid.name for grid in grids] == ["density", "density"]
    np.testing.assert_array_equal(grids[1].leaf_values, grids[0].leaf_values)


def test_the_newer_magic_of_segments_is_read(read, files):
    assert read(b"NanoVDB2" + files["zip"][8:])[0].name == "density"


def test_N04_a_wrong_checksum_is_damage_in_old_files_and_in_new_ones(read, files):
    data = bytearray(files["none"])
    data[ROOT + 40] ^= 1  # the average; nothing else would notice
    assert "checksum" in str(read(bytes(data)))

    block = bytearray(files["none"][START:])
    struct.pack_into("<I", block, 16, version_word(32, 8, 0))
    struct.pack_into("<II", block, 8, *checksums(memoryview(block)))
    data = files["none"][:START] + bytes(block)
    assert read(data)[0].name == "density"
    broken = bytearray(data)
    broken[-1] ^= 1
    assert "checksum" in str(read(bytes(broken)))


def test_N04_no_checksum_is_fine(read, files):
    assert read(bytes(patched(files["none"], START + 8, "Q", 2**64 - 1)))[0].name == "density"


def test_what_is_no_file_is_missing(tmp_path):
    (tmp_path / "folder.nvdb").mkdir()
    for path in (tmp_path / "no.nvdb", tmp_path / "folder.nvdb", tmp_path / "no.nvdb" / "x.nvdb", "nul\0.nvdb"):
        with pytest.raises(FluidError) as caught:
            read_nvdb(path)
        assert caught.value.code == "grid-file-missing"


def test_an_empty_file_is_damaged(read):
    found = read(b"")
    assert found.code == "grid-file-corrupt"
    assert str(found) == 'The grid file "damaged.nvdb" is damaged: it has 0 bytes, too few for a NanoVDB file.'


def test_long_names_are_cut(read, files):
    block = bytearray(files["none"][START:])
    block[40 : 40 + 256] = b"x" * 256
    struct.pack_into("<II", block, 8, 0xFFFFFFFF, 0xFFFFFFFF)
    assert read(bytes(block))[0].name == "x" * 256
    entry = bytearray(files["none"][: START - 8])
    struct.pack_into("<I", entry, member(FILE_GRID, "name_size", FILE_HEADER.itemsize), 5000)
    assert read(bytes(entry) + b"y" * 5000 + files["none"][START:])[0].name == "y" * 1024


def test_N02_a_zipped_grid_gets_memory_for_what_its_bytes_can_become(read, files):
    """2^33 bytes are promised, within the limit; a thousand times what is stored is more than zlib can do."""
    found, peak = measured(read, bytes(put_size(files["zip"], 2**33)))
    assert found.code == "grid-file-corrupt" and "8,589,934,592 bytes that the file claims" in str(found)
    assert peak < 4 << 20


def put_size(data: bytes, size: int) -> bytearray:
    result = bytearray(data)
    struct.pack_into("<Q", result, FILE_HEADER.itemsize, size)
    return result


def measured(read, data: bytes):
    """What reading gives, and the most memory that it took."""
    tracemalloc.start()
    try:
        return read(data), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_N02_more_tiles_than_are_read_are_refused_before_they_are_collected(read, files, monkeypatch):
    data = patched(files["none"], member(LAYOUT.root, "background", ROOT), "f", 0)
    struct.pack_into("<f", data, member(LAYOUT.root, "background", ROOT), 0.125)  # now every tile differs from it
    assert len(read(bytes(data))[0].tiles) > 60_000
    monkeypatch.setattr("fluid_addon.volumes.grid_file.MAX_TILES", 1000)
    found, peak = measured(read, bytes(data))
    assert found.code == "grid-file-kind" and "tiles or more, and 1,000 is the most" in str(found)
    assert peak < 2 * len(data) + (4 << 20)


def test_D17_more_grids_than_anyone_has_are_refused(read, files):
    block = bytearray(files["none"][START : START + GRID.itemsize])
    struct.pack_into("<Q", block, GRID.fields["grid_size"][1], len(block))
    struct.pack_into("<I", block, GRID.fields["grid_type"][1], 20)  # one that is passed over
    found = read(bytes(block) * (MAX_GRIDS + 1))
    assert found.code == "grid-file-kind" and f"more than {MAX_GRIDS:,} grids" in str(found)
    found = read(bytes(block) * 20)
    assert "none of its grids" in str(found) and len(str(found)) < 400


def test_the_names_and_texts_of_a_file_are_cut_and_made_printable(read, files):
    block = bytearray(files["none"][START:])
    block[40 : 40 + 256] = b"a\n\x1b[2J\xe2\x80\xae\xff".ljust(256, b"z")
    struct.pack_into("<II", block, 8, 0xFFFFFFFF, 0xFFFFFFFF)
    (grid,) = read(bytes(block))
    assert grid.name.startswith("a\\n\\x1b[2J\\u202e\ufffdzzz") and grid.name.isprintable()
    block[40 : 40 + 256] = b"\x01" * 256
    (grid,) = read(bytes(block))
    assert len(grid.name) <= 1024 and grid.name.startswith("\\x01\\x01")


def test_a_transform_that_nothing_could_be_computed_with_is_damage(read, files):
    place = START + GRID.fields["map"][1] + 88
    for number in (1e-300, 1e300, 1e16, 1e-16, float("inf")):
        found = read(bytes(patched(files["none"], place, "d", number)))
        assert found.code == "grid-file-corrupt" and "cannot be inverted" in str(found)
    assert read(bytes(patched(files["none"], place, "d", 1e-9)))[0].name == "density"
