# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the bytes of one NanoVDB grid apart, from the root down, level by level; no loop over nodes or voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import FluidError
from .grid import LEAF, Background, Grid, Tiles
from .grid_file import Bytes, usable_transform
from .nanovdb_layout import (
    GRID,
    GRID_CLASSES,
    LOWER_EDGE,
    NO_CHECKSUM,
    TREE,
    UPPER_EDGE,
    NodeLayout,
    checksums,
    old_checksum,
    version_of,
)

__all__ = ["parse_grid"]

_Integers = NDArray[np.int64]

_LEVELS = ("leaf", "lower", "upper")
_CHUNK = 1 << 15  # entries of nodes' tables that are looked at together


@dataclass
class _Nodes:
    """The nodes of a level as they lie in the file, and which of them are meant, in that order; None if all are."""

    records: NDArray[Any]
    numbers: _Integers | None

    def __len__(self) -> int:
        return len(self.records)

    def part(self, some: slice) -> NDArray[Any]:
        return self.records[some] if self.numbers is None else self.records[self.numbers[some]]

    def member(self, name: str) -> NDArray[Any]:
        values: NDArray[Any] = self.records[name]
        return values if self.numbers is None else values[self.numbers]


@np.errstate(all="ignore")  # doubles that no float can hold become infinite, or zero
def parse_grid(name: str, layout: NodeLayout, header: Any, block: Bytes) -> Grid:
    """The grid in `block`, which starts with `header`. Raises grid-file-corrupt, grid-file-kind if it is too large."""
    source = block.source
    if int(header["grid_size"]) != len(block):
        raise source.corrupt(f'the grid "{name}" claims {int(header["grid_size"]):,} of {len(block):,} bytes')
    tree = block.record(TREE, GRID.itemsize, "the tree")
    _check_checksum(name, header, tree, block)
    root_at = GRID.itemsize + int(tree["node_offset"][3])
    root = block.record(layout.root, root_at, "the root")
    background = np.array(root["background"])
    if not np.isfinite(background).all():
        raise source.corrupt(f'the background of the grid "{name}" is not a finite number')

    entries = block.records(layout.root_tile, root_at + layout.root.itemsize, int(root["table_size"]), "the root table")
    origins = _root_origins(name, entries["key"], block)
    is_child = entries["child"] != 0
    active = entries["state"] != 0
    shown = ~is_child & (active | _differs(entries["value"], background))
    dtype = np.dtype(np.int32 if layout.kind == "int32" else np.float32)
    source.count_tiles(int(np.count_nonzero(shown)))
    tiles = [_tiles(origins[shown], UPPER_EDGE, entries["value"][shown], active[shown], dtype)]
    origins, children = origins[is_child], root_at + entries["child"][is_child]

    for level, form, edge, bits in ((2, layout.upper, LOWER_EDGE, 5), (1, layout.lower, LEAF, 4)):
        nodes = _nodes(name, form, tree, level, children, block)
        below, expected = [np.zeros((0, 4), np.int64)], int(tree["node_count"][level - 1])
        step = _CHUNK >> 3 * bits
        for start in range(0, len(nodes), step):
            some = slice(start, start + step)
            part, corners = nodes.part(some), origins[some]
            is_child, active = _bits(part["child_mask"]), _bits(part["value_mask"])
            shown = ~is_child & (active | _differs(part["table"]["value"], background))
            source.count_tiles(int(np.count_nonzero(shown)))
            node, slot = np.nonzero(shown)
            place = corners[node] + edge * _slot_coordinates(slot, bits)
            tiles.append(_tiles(place, edge, part["table"]["value"][node, slot], active[node, slot], dtype))
            expected -= int(np.count_nonzero(is_child))
            if expected < 0:  # before more of them are collected than there is room for
                break
            node, slot = np.nonzero(is_child)
            place = corners[node] + edge * _slot_coordinates(slot, bits)
            at = children[some][node] + part["table"]["child"][node, slot]
            below.append(np.concatenate([place, at[:, None]], axis=1))
        if expected:
            raise _miscounted(name, tree, level - 1, int(tree["node_count"][level - 1]) - expected, block)
        origins, children = np.split(np.concatenate(below), [3], axis=1)
        children = children[:, 0]

    source.count_voxels(len(children) * LEAF**3)
    leaves = _nodes(name, layout.leaf, tree, 0, children, block)
    shape = (len(leaves), LEAF, LEAF, LEAF)
    grid_class = int(header["grid_class"])
    return Grid(
        name=name,
        kind=layout.kind,
        grid_class=GRID_CLASSES[grid_class] if grid_class < len(GRID_CLASSES) else "unknown",
        transform=_transform(name, header, block),
        background=_plain(background.astype(dtype)),
        leaf_origins=origins.astype(np.int32),
        leaf_values=_leaf_values(layout, leaves, dtype).reshape(*shape, *layout.value.shape),
        leaf_masks=_bits(leaves.member("value_mask")).reshape(shape),
        tiles=_joined(tiles),
    )


def _check_checksum(name: str, header: Any, tree: Any, block: Bytes) -> None:
    head, tail = (int(word) for word in header["checksum"])
    version = version_of(int(header["version"]))
    # where a writer left a checksum out, or wrote it before the rules settled, the bytes go unchecked
    if head == NO_CHECKSUM or version < (32, 3, 3):
        return
    if version > (32, 6, 0):
        right = checksums(block.data)
        agrees = head == right[0] and tail in (NO_CHECKSUM, right[1])
    else:
        upper_nodes_at = GRID.itemsize + int(tree["node_offset"][2])
        agrees = int(tree["node_count"][2]) == 0 or head == old_checksum(block.data, max(16, upper_nodes_at))
    if not agrees:
        raise block.source.corrupt(f'the checksum of the grid "{name}" is wrong')


def _root_origins(name: str, keys: NDArray[np.uint64], block: Bytes) -> _Integers:
    """Low corners (n, 3) of the root's entries. A key holds x, y and z / 4096, each in 21 bits, z lowest."""
    if len(np.unique(keys)) != len(keys):
        raise block.source.corrupt(f'the root of the grid "{name}" names a place twice')
    parts = np.stack([keys >> np.uint64(shift) for shift in (42, 21, 0)], axis=-1) & np.uint64((1 << 21) - 1)
    # the 20 bits that remain of a coordinate's 32 make it negative if the highest of them is set
    origins: _Integers = (parts << np.uint64(12)).astype(np.uint32).view(np.int32).astype(np.int64)
    return origins


def _miscounted(name: str, tree: Any, level: int, found: int, block: Bytes) -> FluidError:
    counts = f"counts {int(tree['node_count'][level]):,} {_LEVELS[level]} nodes and points to {found:,}"
    return block.source.corrupt(f'the grid "{name}" {counts}')


def _nodes(name: str, form: np.dtype[Any], tree: Any, level: int, children: _Integers, block: Bytes) -> _Nodes:
    """The nodes at the byte offsets `children`, in that order; they must be exactly the nodes that the tree counts."""
    what = f"{_LEVELS[level]} nodes"
    count, first = int(tree["node_count"][level]), GRID.itemsize + int(tree["node_offset"][level])
    if len(children) != count:
        raise _miscounted(name, tree, level, len(children), block)
    if count == 0:
        return _Nodes(np.zeros(0, form), None)
    records = block.records(form, first, count, f"the {count:,} {what}")
    numbers, rest = np.divmod(children - first, form.itemsize)
    if (rest != 0).any() or (numbers < 0).any() or (numbers >= count).any() or len(np.unique(numbers)) != count:
        raise block.source.corrupt(f'the grid "{name}" points to {what} that are not there')
    return _Nodes(records, None if (numbers == np.arange(count)).all() else numbers)


def _bits(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The bits of masks (n, bytes), lowest first: (n, bytes * 8)."""
    return np.unpackbits(np.ascontiguousarray(mask), axis=1, bitorder="little").view(np.bool_)


def _slot_coordinates(slot: _Integers, bits: int) -> _Integers:
    last = (1 << bits) - 1
    return np.stack([slot >> 2 * bits, slot >> bits & last, slot & last], axis=-1)


def _differs(values: NDArray[Any], background: NDArray[Any]) -> NDArray[np.bool_]:
    differs: NDArray[np.bool_] = values != background
    return differs.any(axis=-1) if background.ndim else differs


def _tiles(
    origins: _Integers, edge: int, values: NDArray[Any], active: NDArray[np.bool_], dtype: np.dtype[Any]
) -> Tiles:
    return Tiles(origins.astype(np.int32), np.full(len(origins), edge, np.int32), values.astype(dtype), active)


def _joined(parts: list[Tiles]) -> Tiles:
    return Tiles(
        np.concatenate([tiles.origins for tiles in parts]),
        np.concatenate([tiles.edges for tiles in parts]),
        np.concatenate([tiles.values for tiles in parts]),
        np.concatenate([tiles.active for tiles in parts]),
    )


def _leaf_values(layout: NodeLayout, leaves: _Nodes, dtype: np.dtype[Any]) -> NDArray[Any]:
    values: NDArray[Any] = leaves.member("codes" if layout.quantised else "values").astype(dtype, order="C")
    if layout.quantised:
        values *= leaves.member("quantum")[:, None]
        values += leaves.member("minimum")[:, None]
    return values


def _transform(name: str, header: Any, block: Bytes) -> NDArray[np.float64]:
    transform = np.eye(4)
    transform[:3, :3] = header["map"]["matrix"]
    transform[:3, 3] = header["map"]["translation"]
    if not usable_transform(transform):
        raise block.source.corrupt(f'the transform of the grid "{name}" cannot be inverted')
    return transform


def _plain(background: NDArray[Any]) -> Background:
    value: Any = background.tolist()
    return tuple(value) if isinstance(value, list) else value
