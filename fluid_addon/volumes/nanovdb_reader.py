# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads NanoVDB files (.nvdb), version 32: float, double, vec3f, vec3d, int32 and Fp16 grids, not compressed or zipped.

A file is a row of segments, or the bare bytes of grids. Nothing in it is believed: every offset and length is checked
against the bytes that are there before it is used, and every node is reached once. Raises grid-file-missing,
grid-file-corrupt (what exactly is wrong) and grid-file-kind (a file or grid that is fine but cannot be used).
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import Any

from .grid import Grid
from .grid_file import LONGEST_TEXT, MAX_FILE_BYTES, Bytes, GridFile, file_text
from .nanovdb_layout import (
    BLOSC,
    FILE_GRID,
    FILE_HEADER,
    GRID,
    GRID_TYPES,
    LAYOUTS,
    MAGIC_EITHER,
    MAGIC_FILE,
    MAGIC_GRID,
    ZIP,
    version_of,
)
from .nanovdb_tree import parse_grid

__all__ = ["read_nvdb"]

_MAJOR = 32


def read_nvdb(path: str | Path, only: Collection[str] | None = None) -> list[Grid]:
    """The grids of a NanoVDB file in its order, or those whose names are in `only`.

    Grids of types that no field can hold (index, mask, point grids…) are passed over, unless they are asked for or the
    file holds nothing else; then grid-file-kind names them.
    """
    source = GridFile(Path(path))
    grids: list[Grid] = []
    try:
        for name, block in _blocks(source, source.read(), only):
            grid = _grid(source, name, block)
            if grid is not None:
                grids.append(grid)
    except MemoryError as error:
        raise source.too_large("it needs more memory than this machine has") from error
    source.check_found([grid.name for grid in grids], only)
    return grids


def _grid(source: GridFile, name: str, block: Bytes) -> Grid | None:
    header = block.record(GRID, 0, "the head of a grid")
    grid_type = int(header["grid_type"])
    if grid_type not in LAYOUTS:
        source.unread[name] = _type_name(grid_type)
        return None
    return parse_grid(name, LAYOUTS[grid_type], header, block)


def _blocks(source: GridFile, data: memoryview, only: Collection[str] | None) -> Iterator[tuple[str, Bytes]]:
    """Name and bytes, decompressed, of each grid that is wanted."""
    file = Bytes(data, source)
    if len(data) < FILE_HEADER.itemsize:
        raise source.corrupt(f"it has {len(data)} bytes, too few for a NanoVDB file")
    position = 0
    while position < len(data):
        header = file.record(FILE_HEADER, position, "the head of a segment")
        if _is_bare_grid(file, position, header):
            grid = file.record(GRID, position, "the head of a grid")
            _check_version(source, int(grid["version"]))
            size = int(grid["grid_size"])
            if size < GRID.itemsize:
                raise source.corrupt(f"a grid claims to be {size} bytes long")
            name = _text(grid["name"].tobytes())
            if source.wanted(name, only):
                yield name, Bytes(file.part(position, size, f'the grid "{name}"'), source)
            position += size
        else:
            _check_magic(source, header["magic"])
            _check_version(source, int(header["version"]))
            position = yield from _segment(file, position, header, only)


def _segment(
    file: Bytes, position: int, header: Any, only: Collection[str] | None
) -> Generator[tuple[str, Bytes], None, int]:
    """The grids of the segment at `position`; returns where it ends."""
    source, count, codec = file.source, int(header["grid_count"]), int(header["codec"])
    if codec == BLOSC:
        raise source.unreadable(
            "it is compressed with BLOSC, which is not read here",
            "Convert it: nanovdb_convert smoke.nvdb smoke.vdb gives a VDB file, which can be used; "
            "or save it with ZIP or without compression.",
        )
    if codec > BLOSC:
        raise source.corrupt(f"it names the compression {codec}, which does not exist")
    if count == 0:
        raise source.corrupt("a segment holds no grid")
    position += FILE_HEADER.itemsize
    entries: list[tuple[str, Any]] = []
    for _ in range(count):
        entry = file.record(FILE_GRID, position, f"the list of {count} grids")
        position += FILE_GRID.itemsize
        name_size = int(entry["name_size"])
        raw = file.part(position, name_size, "the name of a grid")[:LONGEST_TEXT]
        entries.append((_text(bytes(raw)), entry))
        position += name_size
    for name, entry in entries:
        stored = file.part(position, int(entry["file_size"]), f'the grid "{name}"')
        position += len(stored)
        if source.wanted(name, only):
            yield name, _unpacked(source, name, stored, int(entry["grid_size"]), codec)
    return position


def _unpacked(source: GridFile, name: str, stored: memoryview, size: int, codec: int) -> Bytes:
    """The bytes of a grid: `size` of them, no matter what the compressed data would like to become."""
    if size > MAX_FILE_BYTES:
        raise source.too_large(f'its grid "{name}" claims {size:,} bytes')
    if codec != ZIP:
        if len(stored) != size:
            raise source.corrupt(f'the grid "{name}" has {len(stored):,} bytes and claims {size:,}')
        return Bytes(stored, source)
    packed_size = int.from_bytes(stored[:8], "little")
    if len(stored) < 8 or packed_size != len(stored) - 8:
        raise source.corrupt(f'the compressed grid "{name}" has a wrong length')
    return Bytes(memoryview(source.unzipped(stored[8:], size, f'the grid "{name}"')).toreadonly(), source)


def _is_bare_grid(file: Bytes, position: int, header: Any) -> bool:
    """Whether the bytes at `position` are a grid without a segment around it (either may start with NanoVDB0)."""
    if header["magic"] == MAGIC_GRID:
        return True
    if header["magic"] != MAGIC_EITHER or version_of(int(header["version"]))[0] == _MAJOR:
        return False
    if len(file) - position < GRID.itemsize:
        return False
    # in a grid, the place of a segment's version holds a checksum, and the version follows it
    return version_of(int(file.record(GRID, position, "the head of a grid")["version"]))[0] == _MAJOR


def _check_magic(source: GridFile, magic: bytes) -> None:
    if magic in (MAGIC_EITHER, MAGIC_FILE):
        return
    if magic[::-1] in (MAGIC_EITHER, MAGIC_FILE, MAGIC_GRID):
        raise source.unreadable("it was written on a big-endian machine", "Write it again on a common PC.")
    if magic.startswith(b" BDV"):
        raise source.unreadable("it is an OpenVDB file", 'Give it the suffix ".vdb".')
    raise source.corrupt(f"a NanoVDB segment starts with {MAGIC_FILE.decode()}, not with {bytes(magic)!r}")


def _check_version(source: GridFile, word: int) -> None:
    version = version_of(word)
    if version[0] != _MAJOR:
        written = ".".join(map(str, version))
        raise source.unreadable(
            f"it has the NanoVDB format {written}, and format {_MAJOR} is read",
            f"Write it again with a NanoVDB library of version {_MAJOR}, or save it as a VDB file.",
        )


def _type_name(grid_type: int) -> str:
    return GRID_TYPES[grid_type] if grid_type < len(GRID_TYPES) else f"number {grid_type}"


def _text(raw: bytes) -> str:
    return file_text(raw.split(b"\0", 1)[0])
