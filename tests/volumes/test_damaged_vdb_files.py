# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage in the skeleton of a VDB file is found by us, before OpenVDB, which believes every length, gets to see it."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes import grid_file, openvdb_files
from fluid_addon.volumes.grid_file import MAX_GRIDS, GridFile
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, read_vdb, write_vdb
from fluid_addon.volumes.vdb_structure import read_structure
from fluid_addon.volumes.vdb_tree import VALUE_TYPES, read_tree
from fluid_addon.volumes.vdb_values import check_values


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


def test_D15_a_file_cut_anywhere_is_damaged(tmp_path, data):
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
        ("number of grids below zero", lambda d: (_at(d, b"density", -15), b"\xff\xff\xff\xff")),
        ("a grid that starts at itself", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 4), b"\x00" * 8)),
        ("length of the first name", lambda d: (_at(d, b"density", -11), b"\xff\xff\xff\xff")),
        ("start of the first grid", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 4), b"\xff" * 8)),
        ("start of its values", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 12), b"\x00" * 7 + b"\x40")),
        ("end of the first grid", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 20), b"\x00" * 7 + b"\x80")),
        ("number of metadata", lambda d: (_at(d, b"Tree_float_5_4_3_HalfFloat", 32), b"\xff\xff\xff\xff")),
    ],
)
def test_D15_hostile_lengths_are_found_before_anything_is_allocated(skeleton, data, what, patch):
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
        (lambda d: d[:8] + (0).to_bytes(4, "little") + d[12:], "grid-file-kind", "format 0, and 222 is the oldest"),
        (lambda d: d[:8] + (221).to_bytes(4, "little") + d[12:], "grid-file-kind", "221, and 222 is the oldest"),
        (lambda d: d[:8] + (999).to_bytes(4, "little") + d[12:], "grid-file-kind", "999, and 225 is the newest"),
        (lambda d: d[:20] + b"\0" + d[21:], "grid-file-kind", "stream"),
        (lambda d: d + b"\0", "grid-file-corrupt", "end at byte"),
        (lambda _: b"", "grid-file-corrupt", "head of a VDB file"),
    ],
)
def test_D15_other_files_are_recognised(skeleton, data, change, code, says):
    found = skeleton(change(data))
    assert found.code == code
    assert says in str(found)


def test_what_is_no_file_is_missing(tmp_path):
    (tmp_path / "folder.vdb").mkdir()
    for path in (tmp_path / "no.vdb", tmp_path / "folder.vdb", "nul\0.vdb"):
        with pytest.raises(FluidError) as caught:
            read_vdb(path)
        assert caught.value.code == "grid-file-missing"


# ----- what OpenVDB would believe


@pytest.fixture(scope="module")
def leaves(library, tmp_path_factory):
    """A file with one grid of three leaves of noise, its bytes, and where the values of its leaves begin and end."""
    path = tmp_path_factory.mktemp("vdb") / "leaves.vdb"
    random = np.random.default_rng(5)
    write_vdb(path, VdbFrame([VdbGrid("density", random.random((24, 8, 8)).astype(np.float32) + 1, (0, 0, 0))]))
    (stored,) = read_structure(GridFile(path))
    return path.read_bytes(), stored.values_at


def refusal(folder, content: bytes) -> FluidError:
    (folder / "damaged.vdb").write_bytes(content)
    with pytest.raises(FluidError) as caught:
        read_vdb(folder / "damaged.vdb")
    return caught.value


def put(data: bytes, place: int, content: bytes) -> bytes:
    return data[:place] + content + data[place + len(content) :]


PACKED = 64 + 1  # of a full leaf: its mask and the byte that says how the rest is stored


@pytest.mark.parametrize("length", [2**62, -(2**63), -1, 2**31, 0, 17])
def test_D15_the_length_of_a_leaf_is_checked_before_openvdb_sees_it(tmp_path, leaves, length):
    data, (start, _) = leaves
    error = refusal(tmp_path, put(data, start + PACKED, struct.pack("<q", length)))
    assert error.code == "grid-file-corrupt"
    assert str(error).endswith('the values of the grid "density" do not fit its tree.')


@pytest.mark.parametrize(
    ("place", "form", "number"),
    [(0, "B", 1), (4, "i", 4096), (4, "i", 2**31 - 1), (8, "i", 0), (8, "i", 2**31 - 1), (12, "i", 2**31 - 1)],
    ids=["version", "twice as much", "gigabytes", "no blocks", "one large block", "longer than it is"],
)
def test_D16_what_blosc_would_believe_is_checked_before_openvdb_sees_it(tmp_path, leaves, place, form, number):
    data, (start, _) = leaves
    chunk = start + PACKED + 8
    assert data[chunk] == 2, "Blosc's format"
    error = refusal(tmp_path, put(data, chunk + place, struct.pack("<" + form, number)))
    assert error.code == "grid-file-corrupt"
    assert 'a leaf of the grid "density" is packed as' in str(error) and "cannot become 2,048" in str(error)


@pytest.fixture(scope="module")
def thin(library, tmp_path_factory):
    """Files of two leaves with some voxels each, by their type, and where the values of their leaves begin."""
    folder, found = tmp_path_factory.mktemp("vdb"), {}
    for name in ("half", "FloatGrid", "BoolGrid"):
        grid = library.FloatGrid() if name == "half" else getattr(library, name)()
        for low, high in (((2, 0, 0), (2, 3, 4)), ((9, 0, 0), (9, 3, 3))):
            grid.fill(low, high, True if name == "BoolGrid" else 1.5, active=True)
        grid.name, grid.saveFloatAsHalf = "a", name == "half"
        library.write(str(folder / f"{name}.vdb"), [grid])
        (stored,) = read_structure(GridFile(folder / f"{name}.vdb"))
        found[name] = (folder / f"{name}.vdb").read_bytes(), stored.values_at[0]
    return found


@pytest.mark.parametrize("name", ["half", "FloatGrid", "BoolGrid"])
@pytest.mark.parametrize("change", ["more", "others", "all"])
def test_D16_the_masks_among_the_values_are_those_of_the_tree(tmp_path, thin, name, change):
    """OpenVDB goes by those of the tree alone: it would look for the next length where we have not."""
    data, start = thin[name]
    mask = data[start : start + 64]
    other = {"more": b"\xff" + mask[1:], "others": mask[1:] + mask[:1], "all": b"\xff" * 64}[change]
    assert other != mask
    content = put(data, start, other)
    assert "do not fit its tree" in str(refusal(tmp_path, content))


def test_D16_a_chunk_that_only_openvdb_would_look_at_never_reaches_it(tmp_path, thin):
    """Among the values of the first leaf lies what OpenVDB takes for the next one: by its own count there are fewer."""
    data, start = thin["half"]
    hostile = struct.pack("<4B3i", 2, 1, 0x21, 2, 16, 16, 2**31 - 1) + struct.pack("<i", 0x60000000) + bytes(20)
    content = (bytes(40) + b"\0" + struct.pack("<q", len(hostile)) + hostile).ljust(1024, b"\0")
    leaf = b"\xff" * 64 + b"\0" + struct.pack("<q", 1040) + struct.pack("<4B3i", 2, 1, 2, 2, 1024, 1024, 1040) + content
    made = bytearray(data[:start] + leaf + data[-(len(data) - start) // 2 :])
    end = _at(made, b"Tree_float_5_4_3_HalfFloat", 4 + 16)
    made[end : end + 8] = struct.pack("<q", len(made))
    assert refusal(tmp_path, bytes(made)).code == "grid-file-corrupt"


@pytest.mark.parametrize("said", [b"is_saved_as_half_floaX\x04\0\0\0bool\x01\0\0\0\x01", None])
def test_D15_whether_values_have_16_bits_is_said_once(tmp_path, thin, said):
    """The type of the tree and the metadata both say it, and OpenVDB goes by the metadata."""
    data, _ = thin["half"]
    true = b"is_saved_as_half_float\x04\0\0\0bool\x01\0\0\0\x01"
    assert true in data
    error = refusal(tmp_path, data.replace(true, said or true[:-1] + b"\0"))
    assert str(error).endswith('the grid "a" does not say clearly whether its values have 16 bits.')
    number = true.replace(b"bool\x01\0\0\0\x01", b"int32"[:4] + b"\x01\0\0\0\x01")
    assert 'the metadata "is_saved_as_half_float"' in str(refusal(tmp_path, data.replace(true, number)))


def test_D15_metadata_are_said_once(tmp_path, leaves):
    data, _ = leaves
    name = b"file_bbox_min"
    assert data.count(name) == data.count(b"file_bbox_max") == 1
    error = refusal(tmp_path, data.replace(b"file_bbox_max", name))
    assert str(error).endswith('the grid "density" has the metadata "file_bbox_min" twice.')


def test_D16_a_zip_bomb_in_a_leaf_is_refused_without_its_size(library, tmp_path, leaves):
    """OpenVDB unzips into as many bytes as a leaf has; that it says so is what is tested here."""
    data, (start, end) = leaves
    (tmp_path / "f.vdb").write_bytes(data)
    (stored,) = read_structure(GridFile(tmp_path / "f.vdb"))
    assert stored.compression == 6, "Blosc, and active values alone"
    mask = data[start : start + 64]
    bomb = zlib.compress(bytes(64 << 20), 9)
    leaf = mask + b"\0" + struct.pack("<q", len(bomb)) + bomb
    head = bytearray(data[:start].replace(struct.pack("<I", 6), struct.pack("<I", 3), 1))  # zip instead of Blosc
    at = head.index(struct.pack("<q", end))
    head[at : at + 8] = struct.pack("<q", start + 3 * len(leaf))
    tracemalloc.start()
    try:
        error = refusal(tmp_path, bytes(head) + 3 * leaf)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == "grid-file-corrupt" and peak < 4 << 20


def test_D16_metadata_that_are_as_long_as_their_type_does_not_allow_are_refused(tmp_path, leaves):
    data, _ = leaves
    for name, size in ((b"file_bbox_min", 12), (b"file_mem_bytes", 8), (b"frame", 4), (b"time", 8)):
        at = data.index(struct.pack("<I", size), data.index(name) + len(name) + 4)
        error = refusal(tmp_path, put(data, at, struct.pack("<I", size + 1)))
        assert error.code == "grid-file-corrupt"
        assert f'the metadata "{name.decode()}" of' in str(error) and f"has {size + 1} bytes" in str(error)


@pytest.mark.parametrize("number", [0, 2, 4, 2**20, 2**32 - 1])
def test_D16_sizes_of_leaves_that_are_told_beside_them_must_be_as_many(tmp_path, leaves, number):
    data, _ = leaves
    at = data.index(b"__delayedload") + len(b"__delayedload") + 4
    assert struct.unpack_from("<I", data, at) == (3,)
    error = refusal(tmp_path, put(data, at, struct.pack("<I", number)))
    assert error.code == "grid-file-corrupt"
    assert any(why in str(error) for why in ('"file_delayed_load"', f"count {number} leaves"))


def test_D17_more_grids_than_anyone_has_are_refused(tmp_path, data):
    """A million grids that are all the same bytes, as far as the file goes."""
    place = _at(data, b"density", -15)
    error = refusal(tmp_path, put(data, place, struct.pack("<i", 1_000_000)))
    assert error.code == "grid-file-corrupt" and "the descriptor of grid 3 of 1,000,000" in str(error)
    (tmp_path / "f.vdb").write_bytes(data)
    end = read_structure(GridFile(tmp_path / "f.vdb"))[0].values_at[1]
    descriptor = place + 4
    empty = b"".join(_empty_grid(descriptor, number) for number in range(MAX_GRIDS + 2))
    assert end > descriptor
    error = refusal(tmp_path, put(data[:descriptor], place, struct.pack("<i", 1_000_000)) + empty)
    assert error.code == "grid-file-kind" and f"more than {MAX_GRIDS:,} grids" in str(error)


def _empty_grid(first: int, number: int) -> bytes:
    """A grid of a fixed length, of a type that is not read, which fits where the file's first one was."""
    unique, kind = f"g{number:07d}".encode(), b"none"
    head = struct.pack("<I", len(unique)) + unique + struct.pack("<I", len(kind)) + kind + struct.pack("<I", 0)
    body = struct.pack("<II", 0, 0) + struct.pack("<I", 14) + b"TranslationMap" + struct.pack("<3d", 0, 0, 0)
    start = first + number * (len(head) + 24 + len(body)) + len(head) + 24
    return head + struct.pack("<3q", start, start + len(body), start + len(body)) + body


def test_D17_two_grids_that_are_stored_as_one_are_refused(library, tmp_path):
    grids = [library.FloatGrid(1.0), library.FloatGrid(2.0)]
    for grid, name in zip(grids, ("one", "two"), strict=True):
        grid.name = name
    library.write(str(tmp_path / "f.vdb"), grids)
    content = (tmp_path / "f.vdb").read_bytes()
    assert content.count(b"\3\0\0\0two") >= 1
    error = refusal(tmp_path, content.replace(b"\3\0\0\0two", b"\3\0\0\0one", 1))
    assert 'two of its grids are stored as "one"' in str(error)


def test_D17_equal_names_beside_a_type_that_is_not_read_never_reach_openvdb(library, tmp_path):
    one, other, points = library.FloatGrid(), library.FloatGrid(), library.PointDataGrid()
    one.name = other.name = "a"
    points.name = "points"
    library.write(str(tmp_path / "f.vdb"), [one, other, points])
    with pytest.raises(FluidError, match='several grids like "a" beside one of the type ptdataidx32') as caught:
        read_vdb(tmp_path / "f.vdb")
    assert caught.value.code == "grid-file-kind"


def test_D17_grids_of_one_name_are_read_once_and_counted_once(library, tmp_path, monkeypatch):
    count = 150
    grids = [library.FloatGrid() for _ in range(count)]
    for number, grid in enumerate(grids):
        grid.fill((0, 0, 0), (1, 1, 1), number + 1.0)
        grid.name = "a"
    library.write(str(tmp_path / "f.vdb"), grids)
    monkeypatch.setattr(grid_file, "MAX_VOXELS", count * 512)
    looked = []
    monkeypatch.setattr(openvdb_files, "check_values", lambda *it: looked.append(it) or check_values(*it))
    found = read_vdb(tmp_path / "f.vdb")
    assert [grid.dense((0, 0, 0), (1, 1, 1)).item() for grid in found] == [number + 1.0 for number in range(count)]
    assert len(looked) == count


def test_a_frame_of_our_own_may_hold_more_than_a_file_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(grid_file, "MAX_VOXELS", 512)
    noise = np.random.default_rng(5).random((16, 16, 8)).astype(np.float32)
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("a", noise), VdbGrid("b", noise)]))
    with pytest.raises(FluidError, match="and 512 is the most that is read"):
        read_vdb(tmp_path / "f.vdb")


def test_D17_a_tree_that_is_shared_is_of_one_type(library, tmp_path):
    grid = library.FloatGrid(0.0)
    grid.fill((0, 0, 0), (3, 3, 3), 2.0)
    grid.name = "one"
    twin = grid.copy()
    twin.name = "two"
    library.write(str(tmp_path / "f.vdb"), [grid, twin])
    content = (tmp_path / "f.vdb").read_bytes()
    assert [grid.dense((0, 0, 0), (1, 1, 1)).item() for grid in read_vdb(tmp_path / "f.vdb")] == [2, 2]
    at = content.rindex(b"Tree_float_5_4_3")
    error = refusal(tmp_path, put(content, at, b"Tree_int32_5_4_3"))
    assert 'the grid "two" shares the tree of a grid that is not there' in str(error)


def test_the_names_and_texts_of_a_file_are_cut_and_made_printable(library, tmp_path):
    grid = library.FloatGrid(0.0)
    grid.fill((0, 0, 0), (3, 3, 3), 2.0)
    grid.name = "smoke\n\x1b[31m\u202etxt"
    library.write(str(tmp_path / "f.vdb"), [grid])
    (found,) = read_vdb(tmp_path / "f.vdb")
    assert found.name == "smoke\\n\\x1b[31m\\u202etxt"
    assert found.dense((0, 0, 0), (1, 1, 1)).item() == 2
    with pytest.raises(FluidError) as caught:
        read_vdb(tmp_path / "f.vdb", only=["other"])
    assert all(c.isprintable() for c in str(caught.value) + str(caught.value.diagnostics[0].hint))


def test_what_openvdb_itself_refuses_is_said_in_one_line(tmp_path, leaves):
    """The packed bytes themselves are OpenVDB's: it must find that they are wrong."""
    data, (start, _) = leaves
    error = refusal(tmp_path, put(data, start + PACKED + 8 + 16, bytes(range(200))))
    assert error.code == "grid-file-corrupt"
    assert str(error).startswith('The grid file "damaged.vdb" is damaged: OpenVDB cannot read the grid "density" (')
    assert "\n" not in str(error)
