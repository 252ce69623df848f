# SPDX-License-Identifier: GPL-3.0-or-later
"""The skeleton of an OpenVDB file (.vdb): which grids it has, and where the tree of each grid lies.

Blender's OpenVDB module reads and writes values, but it cannot tell where the leaves are, believes every length, and
says nothing when a disk is full. All of that can be learnt from the file itself, whose trees are stored apart from the
values. Every offset and length is checked against the bytes that are there. Format versions 222 (of 2013) to 225.

Source: the public OpenVDB sources (io/Archive.cc, io/GridDescriptor.cc, math/Maps.h). Everything is little endian. A
header and metadata come first, then for every grid a descriptor that says where the grid starts, where its values start
and where it ends. A grid is its metadata, its transform, its tree (see vdb_tree) and its values.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .grid import GridClass
from .grid_file import LONGEST_TEXT, MAX_FILE_BYTES, MAX_GRIDS, Bytes, GridFile, file_text, usable_transform
from .vdb_metadata import HALF, read_metadata

__all__ = ["Cursor", "StoredGrid", "read_structure"]

_MAGIC = b" BDV\0\0\0\0"
_OLDEST, _NEWEST = 222, 225
_HEADER_BYTES = 1 << 20  # the header with the file's metadata fits into this,
_DESCRIPTOR_BYTES = 1 << 12  # and the descriptor of a grid into this
_HALF_TYPE = "_HalfFloat"
_SEPARATOR = b"\x1e"  # between a grid's name and the number that tells equal names apart
_CLASSES: dict[str, GridClass] = {"level set": "level set", "fog volume": "fog volume", "staggered": "staggered"}
#: Linear maps: how many doubles each stores.
_MAPS = {
    "TranslationMap": 3,
    "ScaleMap": 15,
    "UniformScaleMap": 15,
    "ScaleTranslateMap": 18,
    "UniformScaleTranslateMap": 18,
    "AffineMap": 16,
    "UnitaryMap": 16,
}


class Cursor:
    """Reads one thing after the other; `what` names each for the message if the bytes end."""

    def __init__(self, data: Bytes, start: int = 0) -> None:
        self.data = data
        self.position = start

    def take(self, size: int, what: str) -> memoryview:
        part = self.data.part(self.position, size, what)
        self.position += size
        return part

    def number(self, form: str, what: str) -> int:
        """One integer in struct's notation."""
        value: int = struct.unpack("<" + form, self.take(struct.calcsize(form), what))[0]
        return value

    def bytes(self, what: str) -> bytes:
        """A text as it stands."""
        length = self.number("I", what)
        if length > LONGEST_TEXT:
            raise self.data.source.corrupt(f"{what} claims {length:,} bytes")
        return bytes(self.take(length, what))

    def text(self, what: str) -> str:
        """A text as it may be shown."""
        return file_text(self.bytes(what))


@dataclass(eq=False)
class StoredGrid:
    """A grid as its file describes it. `type_name` is that of OpenVDB ("float", "vec3s"…), or something longer where
    the tree or the transform is none of the common kind. `tree` starts at the tree's first byte, `values_at` is where
    the file has the values: from, to. `leaves_said` is what the metadata say how many leaves there are. `name` may be
    shown, `raw_name` is what the file calls it."""

    name: str
    raw_name: str
    type_name: str
    half: bool
    grid_class: GridClass
    transform: NDArray[np.float64]
    compression: int
    tree: Cursor
    values_at: tuple[int, int] = (0, 0)
    leaves_said: int | None = field(default=None, kw_only=True)


def read_structure(source: GridFile) -> list[StoredGrid]:
    """The grids of the file in its order. Raises grid-file-missing, grid-file-corrupt and grid-file-kind."""
    size = source.size()
    try:
        with source.path.open("rb") as file:
            return _grids(source, file, size)
    except OSError as error:
        raise source.missing(error) from error


def _grids(source: GridFile, file: BinaryIO, size: int) -> list[StoredGrid]:
    def window(start: int, length: int) -> Bytes:
        if length > MAX_FILE_BYTES:
            raise source.too_large(f"the tree of one of its grids takes {length:,} bytes")
        file.seek(start)
        return Bytes(memoryview(file.read(length)), source)

    header = Cursor(window(0, min(_HEADER_BYTES, size)))
    _check_header(source, header)
    read_metadata(header, "the file", size)
    count = header.number("i", "the number of grids")
    if count < 0:
        raise source.corrupt(f"it claims to hold {count} grids")
    grids: list[StoredGrid] = []
    parents: dict[bytes, StoredGrid] = {}
    position = header.position
    for index in range(count):
        what = f"the descriptor of grid {index + 1} of {count:,}"
        if index == MAX_GRIDS:
            raise source.too_large(f"it has more than {MAX_GRIDS:,} grids")
        if position >= size:
            raise source.corrupt(f"{what} would lie behind the end of the file")
        descriptor = Cursor(window(position, min(_DESCRIPTOR_BYTES, size - position)))
        unique_name, tree_type, parent = (descriptor.bytes(what) for _ in range(3))
        start, values, end = (descriptor.number("q", what) for _ in range(3))
        if not position + descriptor.position <= start <= end <= size or not (parent or start <= values <= end):
            raise source.corrupt(f"{what} points out of the file; it was not written to its end")
        body = Cursor(window(start, (end if parent else values) - start))
        grid = _grid(unique_name, file_text(tree_type), body, size)
        grid.values_at = values, end
        if unique_name in parents:
            raise source.corrupt(f'two of its grids are stored as "{file_text(unique_name)}"')
        if parent:
            shared = parents.get(parent)
            if shared is None or (shared.type_name, shared.half) != (grid.type_name, grid.half):
                raise source.corrupt(f'the grid "{grid.name}" shares the tree of a grid that is not there')
            grid.tree, grid.compression, grid.values_at = shared.tree, shared.compression, shared.values_at
            grid.leaves_said = shared.leaves_said
        grids.append(grid)
        parents[unique_name] = grid
        position = end
    if position != size:
        raise source.corrupt(f"its grids end at byte {position:,} of {size:,}")
    return grids


def _check_header(source: GridFile, header: Cursor) -> None:
    magic = bytes(header.take(8, "the head of a VDB file"))
    if magic.startswith(b"NanoVDB"):
        raise source.unreadable("it is a NanoVDB file", 'Give it the suffix ".nvdb".')
    if magic != _MAGIC:
        raise source.corrupt(f"a VDB file starts with {_MAGIC!r}, not with {bytes(magic)!r}")
    version = header.number("I", "the version")
    header.take(8, "the library's version")
    if not _OLDEST <= version <= _NEWEST:
        which = f"{_OLDEST} is the oldest" if version < _OLDEST else f"{_NEWEST} is the newest"
        raise source.unreadable(f"it has the VDB format {version}, and {which} that is read", "Save it again.")
    if header.number("B", "a flag") != 1:
        raise source.unreadable("it is a stream without a directory", "Save it again with OpenVDB, as a file.")
    header.take(36, "the file's identifier")


def _grid(unique_name: bytes, tree_type: str, body: Cursor, file_size: int) -> StoredGrid:
    half = tree_type.endswith(_HALF_TYPE)
    parts = tree_type.removesuffix(_HALF_TYPE).split("_", 2)
    common = len(parts) == 3 and parts[0] == "Tree" and parts[2] == "5_4_3"
    raw_name = unique_name.split(_SEPARATOR, 1)[0]
    name = file_text(raw_name)
    compression = body.number("I", f'the compression of the grid "{name}"')
    metadata, leaves_said = read_metadata(body, f'the grid "{name}"', file_size)
    if half != any(metadata.get(HALF, b"")):
        raise body.data.source.corrupt(f'the grid "{name}" does not say clearly whether its values have 16 bits')
    class_name = metadata.get("class", b"")[:LONGEST_TEXT].decode("utf-8", "replace")
    map_type = body.text(f'the transform of the grid "{name}"')
    bent = map_type == "NonlinearFrustumMap"
    return StoredGrid(
        name,
        raw_name.decode("utf-8", "replace"),
        "a camera frustum" if bent else parts[1] if common else tree_type,
        half,
        _CLASSES.get(class_name, "unknown"),
        np.eye(4) if bent else _transform(name, map_type, body),
        compression,
        body,
        leaves_said=leaves_said,
    )


def _transform(name: str, kind: str, body: Cursor) -> NDArray[np.float64]:
    """The 4x4 matrix of a linear map. OpenVDB multiplies rows by matrices, this house matrices by columns."""
    source = body.data.source
    if kind not in _MAPS:
        raise source.corrupt(f'the transform of the grid "{name}" is of the unknown type {kind[:40]!r}')
    values = np.frombuffer(body.take(8 * _MAPS[kind], f'the transform of the grid "{name}"'), "<f8")
    transform = np.eye(4)
    if len(values) == 16:
        transform = values.reshape(4, 4).T.copy()
    else:
        if kind.endswith("TranslateMap") or kind == "TranslationMap":
            transform[:3, 3], values = values[:3], values[3:]
        if len(values):
            transform[:3, :3] = np.diag(values[:3])
    with np.errstate(all="ignore"):
        usable = usable_transform(transform)
    if not usable:
        raise source.corrupt(f'the transform of the grid "{name}" cannot be inverted')
    return transform
