# SPDX-License-Identifier: GPL-3.0-or-later
"""How NanoVDB 32.x lays its nodes out in memory and on disk, as numpy structures.

Source: the public documentation and structure sizes of NanoVDB (AcademySoftwareFoundation/openvdb, nanovdb/NanoVDB.h,
PNanoVDB.h, io/IO.h, tools/GridChecksum.h). Everything is little endian; nodes are multiples of 32 bytes.

A grid is one block of bytes: GRID, TREE, root, root tiles, upper nodes (32³ children, 4096 voxels wide), lower nodes
(16³ children, 128 voxels wide), leaves (8³ voxels). Nodes of one level lie next to each other; a parent names a child
by its distance in bytes. A file is a row of segments: FILE_HEADER, then FILE_GRID and a name for every grid, then the
grids, each perhaps compressed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .grid import GridClass, GridKind

__all__ = [
    "BLOSC",
    "FILE_GRID",
    "FILE_HEADER",
    "GRID",
    "GRID_CLASSES",
    "GRID_TYPES",
    "LAYOUTS",
    "LOWER_EDGE",
    "MAGIC_EITHER",
    "MAGIC_FILE",
    "MAGIC_GRID",
    "NONE",
    "NO_CHECKSUM",
    "NodeLayout",
    "TREE",
    "UPPER_EDGE",
    "ZIP",
    "checksums",
    "name_key",
    "old_checksum",
    "version_of",
    "version_word",
]

MAGIC_EITHER, MAGIC_GRID, MAGIC_FILE = b"NanoVDB0", b"NanoVDB1", b"NanoVDB2"
NONE, ZIP, BLOSC = 0, 1, 2  # codecs
NO_CHECKSUM = 0xFFFFFFFF
UPPER_EDGE, LOWER_EDGE = 4096, 128  # voxels along the edge of a node

#: Names of NanoVDB's grid types by their number, for messages about those that are not read.
GRID_TYPES = (
    *("Unknown", "Float", "Double", "Int16", "Int32", "Int64", "Vec3f", "Vec3d", "Mask", "Half", "UInt32", "Bool"),
    *("RGBA8", "Fp4", "Fp8", "Fp16", "FpN", "Vec4f", "Vec4d", "Index", "OnIndex", "IndexMask", "OnIndexMask"),
    *("PointIndex", "Vec3u8", "Vec3u16", "UInt8"),
)
GRID_CLASSES: tuple[GridClass, ...] = ("unknown", "level set", "fog volume", "staggered")

FILE_HEADER = np.dtype([("magic", "S8"), ("version", "<u4"), ("grid_count", "<u2"), ("codec", "<u2")])
FILE_GRID = np.dtype(
    [
        ("grid_size", "<u8"),
        ("file_size", "<u8"),
        ("name_key", "<u8"),
        ("voxel_count", "<u8"),
        ("grid_type", "<u4"),
        ("grid_class", "<u4"),
        ("world_box", "<f8", (2, 3)),
        ("index_box", "<i4", (2, 3)),
        ("voxel_size", "<f8", 3),
        ("name_size", "<u4"),
        ("node_count", "<u4", 4),
        ("tile_count", "<u4", 3),
        ("codec", "<u2"),
        ("padding", "<u2"),
        ("version", "<u4"),
    ]
)
_MAP = np.dtype(
    [
        ("matrix_f", "<f4", (3, 3)),
        ("inverse_f", "<f4", (3, 3)),
        ("translation_f", "<f4", 3),
        ("taper_f", "<f4"),
        ("matrix", "<f8", (3, 3)),
        ("inverse", "<f8", (3, 3)),
        ("translation", "<f8", 3),
        ("taper", "<f8"),
    ]
)
GRID = np.dtype(
    [
        ("magic", "S8"),
        ("checksum", "<u4", 2),
        ("version", "<u4"),
        ("flags", "<u4"),
        ("grid_index", "<u4"),
        ("grid_count", "<u4"),
        ("grid_size", "<u8"),
        ("name", "V256"),
        ("map", _MAP),
        ("world_box", "<f8", (2, 3)),
        ("voxel_size", "<f8", 3),
        ("grid_class", "<u4"),
        ("grid_type", "<u4"),
        ("blind_offset", "<i8"),
        ("blind_count", "<u4"),
        ("unused_0", "<u4"),
        ("unused_1", "<u8"),
        ("unused_2", "S8"),
    ]
)
#: Node offsets count from the tree; levels are leaf, lower, upper, root.
TREE = np.dtype([("node_offset", "<i8", 4), ("node_count", "<u4", 3), ("tile_count", "<u4", 3), ("voxel_count", "<u8")])


_Field = tuple[str, Any, int]  # name, format, offset


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _structure(fields: list[_Field], size: int) -> np.dtype[Any]:
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype(
        {"names": list(names), "formats": list(formats), "offsets": list(offsets), "itemsize": _aligned(size, 32)}
    )


def _statistics(start: int, value: np.dtype[Any]) -> tuple[list[_Field], int]:
    """Extremes, average and deviation from byte `start` on, and where they end."""
    # averages and deviations are real numbers; those of vectors are of their lengths
    measure = np.dtype("<f8" if value.base.itemsize == 8 else "<f4")
    fields: list[_Field] = []
    for name, form in (("minimum", value), ("maximum", value), ("average", measure), ("deviation", measure)):
        start = _aligned(start, form.base.itemsize)
        fields.append((name, form, start))
        start += form.itemsize
    return fields, start


def _internal_node(children: int, value: np.dtype[Any]) -> np.dtype[Any]:
    """An upper or lower node. An entry of its table is a child's distance or a tile's value, at the same place."""
    stride = _aligned(max(8, value.itemsize), 8)
    entry = np.dtype({"names": ["child", "value"], "formats": ["<i8", value], "offsets": [0, 0], "itemsize": stride})
    mask = children // 8
    statistics, end = _statistics(32 + 2 * mask, value)
    table = _aligned(end, 32)
    fields: list[_Field] = [
        ("box", ("<i4", (2, 3)), 0),
        ("flags", "<u8", 24),
        ("value_mask", ("u1", mask), 32),
        ("child_mask", ("u1", mask), 32 + mask),
        *statistics,
        ("table", (entry, children), table),
    ]
    return _structure(fields, table + children * stride)


@dataclass(frozen=True)
class NodeLayout:
    """The structures of one grid type. `value` is the type of a voxel, `kind` what the rest of the house calls it."""

    grid_type: int
    kind: GridKind
    value: np.dtype[Any]
    root: np.dtype[Any]
    root_tile: np.dtype[Any]
    upper: np.dtype[Any]
    lower: np.dtype[Any]
    leaf: np.dtype[Any]

    @property
    def quantised(self) -> bool:
        """Leaf values are 16 bit codes: value = minimum + code * quantum (Fp16)."""
        return "codes" in (self.leaf.names or ())


def _layout(grid_type: int, kind: GridKind, scalar: str, components: int = 1, quantised: bool = False) -> NodeLayout:
    value = np.dtype((scalar, (components,))) if components > 1 else np.dtype(scalar)
    step = value.base.itemsize
    background = _aligned(28, step)
    statistics, root_end = _statistics(background + value.itemsize, value)
    root = [("box", ("<i4", (2, 3)), 0), ("table_size", "<u4", 24), ("background", value, background), *statistics]
    tile_value = _aligned(20, step)
    tile = [("key", "<u8", 0), ("child", "<i8", 8), ("state", "<u4", 16), ("value", value, tile_value)]
    leaf: list[_Field] = [
        ("box_low", ("<i4", 3), 0),
        ("box_size", ("u1", 3), 12),
        ("flags", "u1", 15),
        ("value_mask", ("u1", 64), 16),
    ]
    if quantised:
        leaf += [("minimum", "<f4", 80), ("quantum", "<f4", 84), ("statistics", ("<u2", 4), 88)]
        values, field = 96, ("codes", np.dtype(("<u2", (512,))))
    else:
        statistics, leaf_end = _statistics(80, value)
        leaf += statistics
        values, field = _aligned(leaf_end, 32), ("values", np.dtype((value, (512,))))
    return NodeLayout(
        grid_type,
        kind,
        value,
        _structure(root, root_end),
        _structure(tile, tile_value + value.itemsize),
        _internal_node(32**3, value),
        _internal_node(16**3, value),
        _structure([*leaf, (*field, values)], values + field[1].itemsize),
    )


#: The grid types that are read, by their number. Type 9 (Half) is missing on purpose: in NanoVDB it only names a type,
#: its C++ classes cannot hold values of it. What converters write for "half" is Fp16.
LAYOUTS = {
    layout.grid_type: layout
    for layout in (
        _layout(1, "float", "<f4"),
        _layout(2, "float", "<f8"),
        _layout(4, "int32", "<i4"),
        _layout(6, "vec3f", "<f4", 3),
        _layout(7, "vec3f", "<f8", 3),
        _layout(15, "half", "<f4", quantised=True),
    )
}


def version_word(major: int, minor: int, patch: int) -> int:
    return major << 21 | minor << 10 | patch


def version_of(word: int) -> tuple[int, int, int]:
    return word >> 21, word >> 10 & 0x7FF, word & 0x3FF


def name_key(name: bytes) -> int:
    """NanoVDB's hash of a grid's name, by which its reader finds a grid in a file."""
    key = 0
    for byte in name:
        key = (key * 67 + byte + (key >> 56)) & 0xFFFFFFFFFFFFFFFF
    return key


def old_checksum(grid: memoryview, upper_nodes_at: int) -> int:
    """The first CRC32 of a grid's bytes as NanoVDB computes it until 32.6.0: of everything between the checksum and the
    upper nodes. The second one, of the nodes, came out differently on different machines; hardly a file has it."""
    return zlib.crc32(grid[16:upper_nodes_at])


def checksums(grid: memoryview) -> tuple[int, int]:
    """The two CRC32 of a grid's bytes as NanoVDB computes them since 32.6.1: of grid and tree behind the checksum, and
    of the CRC32 of every 4 KiB of all that follows (the last block takes the rest)."""
    start = GRID.itemsize + TREE.itemsize
    count = (len(grid) - start) >> 12
    edges = [start + 4096 * block for block in range(count)] + [len(grid)]
    blocks = [zlib.crc32(grid[low:high]) for low, high in pairwise(edges)]
    return zlib.crc32(grid[16:start]), zlib.crc32(np.array(blocks, "<u4").tobytes())
