# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of a grid in an OpenVDB file: where its leaves are, which of their voxels are active, and its tiles.

Source: the public OpenVDB sources (tree/RootNode.h, InternalNode.h, io/Compression.h). The root holds tiles and upper
nodes (32³ children of 128 voxels), those lower nodes (16³ children of 8 voxels), those leaves, depth first. Of a leaf,
the tree has the mask only. Upper and lower nodes have the values of their tiles, often packed with Blosc, which is not
undone here: such tiles are listed as unknown.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blosc_chunks import chunk_problem
from .grid import LEAF
from .grid_file import GridFile
from .vdb_structure import Cursor, StoredGrid

__all__ = ["BLOSC", "MASKED", "VALUE_TYPES", "ZIP", "VdbTree", "read_tree"]

ZIP, MASKED, BLOSC = 1, 2, 4  # compression flags
_MASK_BYTES = LEAF**3 // 8
_UPPER, _LOWER = 4096, 128  # voxels along the edge of a node
_MOST_NODE_BYTES = 4 << 30  # of upper and lower nodes in memory, where OpenVDB holds a whole table for each

#: The value types that are read, by OpenVDB's names, as they lie in the file.
VALUE_TYPES: dict[str, np.dtype[Any]] = {
    "float": np.dtype("<f4"),
    "double": np.dtype("<f8"),
    "bool": np.dtype("?"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
    "vec3s": np.dtype(("<f4", 3)),
    "vec3d": np.dtype(("<f8", 3)),
    "vec3i": np.dtype(("<i4", 3)),
}


@dataclass
class VdbTree:
    """Leaves (n) and tiles (m) of a grid. `leaf_masks` (n, 64) uint8 are packed, lowest bit first. The value of a tile
    whose `tile_known` is False must be looked up."""

    background: NDArray[Any]
    leaf_origins: NDArray[np.int64]
    leaf_masks: NDArray[np.uint8]
    tile_origins: NDArray[np.int64]
    tile_edges: NDArray[np.int64]
    tile_values: NDArray[Any]
    tile_active: NDArray[np.bool_]
    tile_known: NDArray[np.bool_]

    @property
    def active_count(self) -> int:
        """Active voxels, those of active tiles included."""
        in_leaves = int(np.unpackbits(self.leaf_masks).sum(dtype=np.int64))
        return in_leaves + sum(int(edge) ** 3 for edge in self.tile_edges[self.tile_active])


@dataclass
class _Collected:
    """What the walk through the tree has met so far."""

    source: GridFile
    name: str
    value: np.dtype[Any]
    half: bool
    compression: int
    background: NDArray[Any]
    node_bytes: int = 0
    leaf_origins: list[NDArray[np.int64]] = field(default_factory=list)
    leaf_masks: list[NDArray[np.uint8]] = field(default_factory=list)
    tiles: list[tuple[NDArray[np.int64], int, NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]] = field(
        default_factory=list
    )


def read_tree(grid: StoredGrid) -> VdbTree:
    """The tree of a grid whose type is in VALUE_TYPES. Raises grid-file-corrupt, grid-file-kind if it is too big."""
    cursor, value = Cursor(grid.tree.data, grid.tree.position), VALUE_TYPES[grid.type_name]
    source = cursor.data.source
    if cursor.number("i", "the number of buffers") != 1:
        raise source.corrupt(f'the grid "{grid.name}" has more than one buffer of values')
    background = _value(cursor, value)
    if not np.isfinite(background).all():
        raise source.corrupt(f'the background of the grid "{grid.name}" is not a finite number')
    found = _Collected(source, grid.name, value, grid.half, grid.compression, background)
    tile_count, child_count = (cursor.number("I", "the root") for _ in range(2))
    tile = np.dtype([("origin", "<i4", 3), ("value", value), ("active", "u1")])
    tiles = np.frombuffer(cursor.take(tile_count * tile.itemsize, f"the {tile_count:,} tiles of the root"), tile)
    active = tiles["active"] != 0
    origins = tiles["origin"].astype(np.int64)
    _add_tiles(found, origins, _UPPER, tiles["value"], active, np.ones(len(tiles), np.bool_))
    places = [*map(tuple, origins.tolist()), *(_read_upper(cursor, found) for _ in range(child_count))]
    # OpenVDB sorts the root by place, and reads values in that order
    if places[len(tiles) :] != sorted(places[len(tiles) :]) or len(set(places)) != len(places):
        raise source.corrupt(f'the root of the grid "{grid.name}" is out of order or names a place twice')
    if (origins % _UPPER).any():
        raise source.corrupt(f'the root of the grid "{grid.name}" has a tile in a wrong place')
    if cursor.position != len(cursor.data):
        raise source.corrupt(f'the tree of the grid "{grid.name}" ends before the values begin')
    return _joined(found)


def _value(cursor: Cursor, value: np.dtype[Any]) -> NDArray[Any]:
    raw = cursor.take(value.itemsize, "a value")
    return np.frombuffer(raw, value.base).reshape(value.shape)


def _bits(cursor: Cursor, count: int, what: str) -> NDArray[np.bool_]:
    packed = np.frombuffer(cursor.take(count // 8, what), np.uint8)
    return np.unpackbits(packed, bitorder="little").view(np.bool_)


def _coordinates(slots: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    last = (1 << bits) - 1
    return np.stack([slots >> 2 * bits, slots >> bits & last, slots & last], axis=-1)


def _read_upper(cursor: Cursor, found: _Collected) -> tuple[int, ...]:
    origin = np.frombuffer(cursor.take(12, "an upper node"), "<i4").astype(np.int64)
    if (origin % _UPPER).any():
        raise found.source.corrupt(f'the tree of the grid "{found.name}" has a node in a wrong place')
    for corner in _read_node(cursor, found, origin, bits=5, edge=_LOWER):
        leaves = _read_node(cursor, found, corner, bits=4, edge=LEAF)
        masks = cursor.take(len(leaves) * _MASK_BYTES, f"the masks of {len(leaves)} leaves")
        found.source.count_voxels(len(leaves) * LEAF**3)
        found.leaf_origins.append(leaves)
        found.leaf_masks.append(np.frombuffer(masks, np.uint8).reshape(-1, _MASK_BYTES))
    return tuple(origin.tolist())


def _read_node(cursor: Cursor, found: _Collected, origin: NDArray[np.int64], bits: int, edge: int) -> NDArray[np.int64]:
    """Take in a node and its tiles; returns the low corners (n, 3) of its children."""
    slots = 1 << 3 * bits
    found.node_bytes += slots * found.value.itemsize
    if found.node_bytes > _MOST_NODE_BYTES:
        raise found.source.too_large(f'the tree of its grid "{found.name}" has too many nodes for its leaves')
    is_child = _bits(cursor, slots, "a node")
    active = _bits(cursor, slots, "a node")
    if (is_child & active).any():
        raise found.source.corrupt(f'the tree of the grid "{found.name}" has a tile where there is a node')
    values, known = _node_values(cursor, found, active)
    differs = values != found.background
    shown = np.flatnonzero(~is_child & (active | ~known | (differs.any(axis=-1) if found.background.ndim else differs)))
    _add_tiles(found, origin + edge * _coordinates(shown, bits), edge, values[shown], active[shown], known[shown])
    return origin + edge * _coordinates(np.flatnonzero(is_child), bits)


def _add_tiles(
    found: _Collected,
    origins: NDArray[np.int64],
    edge: int,
    values: NDArray[Any],
    active: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> None:
    found.source.count_tiles(len(origins))
    if len(origins):
        found.tiles.append((origins, edge, values, active, known))


def _node_values(
    cursor: Cursor, found: _Collected, active: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The values (slots[, 3]) of a node's table, and which of them (slots,) are known."""
    slots, background = len(active), found.background
    values = np.broadcast_to(background, (slots, *background.shape)).copy()
    known = np.ones(slots, np.bool_)
    rule = cursor.number("B", "a node")
    if rule > 6:
        raise found.source.corrupt(f'the tree of the grid "{found.name}" has a node of the unknown form {rule}')
    # inactive values are not stored one by one where there are at most two different ones:
    # 0 the background, 1 its opposite, 2 another one; 3, 4, 5 a mask says which of two
    masked = bool(found.compression & MASKED) and rule != 6
    first = background if rule == 0 else _opposite(background)
    if rule in (2, 4, 5):
        first = _value(cursor, found.value)
    second = _value(cursor, found.value) if rule == 5 else background
    chosen = _bits(cursor, slots, "a node") if rule in (3, 4, 5) else np.zeros(slots, np.bool_)
    stored = active if masked else known.copy()
    if masked:
        values[~active & ~chosen] = first
        values[~active & chosen] = second
    unpacked = _stored_values(cursor, found, int(np.count_nonzero(stored)))
    if unpacked is None:
        known[stored] = False
    else:
        values[stored] = unpacked
    return values, known


def _opposite(value: NDArray[Any]) -> NDArray[Any]:
    return ~value if value.dtype == np.bool_ else -value


def _stored_values(cursor: Cursor, found: _Collected, count: int) -> NDArray[Any] | None:
    """`count` values that lie in the file one after the other; None where Blosc packed them."""
    value = found.value
    if found.half and value.base.kind == "f":
        value = np.dtype(("<f2", value.shape))
        if count == 0:  # then not even a length is written
            return np.zeros((0, *value.shape), value.base)
    size, what = count * value.itemsize, f"{count:,} values of a node"
    raw: bytearray | memoryview
    if not found.compression & (ZIP | BLOSC):
        raw = cursor.take(size, what)
    else:
        packed = struct.unpack("<q", cursor.take(8, what))[0]
        if packed > 0:
            data = cursor.take(packed, what)
            if found.compression & BLOSC:
                if chunk_problem(bytes(data), size):
                    raise found.source.corrupt(
                        f'the tree of the grid "{found.name}" has {what} that are packed wrongly'
                    )
                return None
            raw = found.source.unzipped(data, size, what)
        elif packed == -size:
            raw = cursor.take(size, what)
        else:
            raise found.source.corrupt(f'the tree of the grid "{found.name}" claims {-packed:,} bytes for {what}')
    return np.frombuffer(raw, value.base).reshape(count, *value.shape)


def _joined(found: _Collected) -> VdbTree:
    nothing = np.zeros((0, 3), np.int64)
    origins, edges, values, active, known = zip(*found.tiles, strict=True) if found.tiles else ((), (), (), (), ())
    no_flags: NDArray[np.bool_] = np.zeros(0, np.bool_)
    return VdbTree(
        background=found.background,
        leaf_origins=np.concatenate([nothing, *found.leaf_origins]),
        leaf_masks=np.concatenate([np.zeros((0, _MASK_BYTES), np.uint8), *found.leaf_masks]),
        tile_origins=np.concatenate([nothing, *origins]),
        tile_edges=np.repeat(np.array(edges, np.int64), [len(part) for part in origins]),
        tile_values=np.concatenate([np.zeros((0, *found.background.shape), found.background.dtype), *values]),
        tile_active=np.concatenate([no_flags, *active]),
        tile_known=np.concatenate([no_flags, *known]),
    )
