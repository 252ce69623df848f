# SPDX-License-Identifier: GPL-3.0-or-later
"""The NanoVDB tree that a grid's leaves and tiles need: which nodes, in which order, and where in their parents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .grid import LEAF, Grid, Tiles
from .nanovdb_layout import LOWER_EDGE, UPPER_EDGE

__all__ = ["Children", "TileChildren", "Topology", "root_keys", "topology"]

_Integers = NDArray[np.int64]

#: Adding this to a coordinate / 4096 makes it positive, so that keys sort like coordinates.
_SHIFT = 1 << 19


@dataclass
class Children:
    """The nodes of one level in the order in which they are stored: low corners (n, 3), and for each the number of its
    parent and its slot in the parent's table."""

    origins: _Integers
    parent: _Integers
    slot: _Integers


@dataclass
class TileChildren:
    """Tiles, and for each the number of its parent and its slot in the parent's table."""

    tiles: Tiles
    parent: _Integers
    slot: _Integers


@dataclass
class Topology:
    """Upper nodes (n, 3) by their low corner, the levels below, and `leaf_order`, which sorts the grid's leaves."""

    upper: _Integers
    lower: Children
    leaf: Children
    leaf_order: _Integers
    root_tiles: Tiles
    upper_tiles: TileChildren
    lower_tiles: TileChildren


def topology(grid: Grid) -> Topology:
    """Raises ValueError for tiles that NanoVDB has no level for, and where two of the grid's parts share a place."""
    leaves = grid.leaf_origins.astype(np.int64)
    small, middle, large = (_of_edge(grid.tiles, edge) for edge in (LEAF, LOWER_EDGE, UPPER_EDGE))
    if len(small) + len(middle) + len(large) != len(grid.tiles):
        raise ValueError("NanoVDB has tiles with an edge of 8, 128 and 4096 voxels only")

    # an upper node is named by its coordinates; below it, the parent's number and the slot name a node
    origins = np.concatenate([leaves, small.origins, middle.origins]).astype(np.int64)
    x, y, z = (origins.T >> 12) + _SHIFT
    keys, of_upper = np.unique(x << 40 | y << 20 | z, return_inverse=True)
    upper = (np.stack([keys >> 40, keys >> 20 & 0xFFFFF, keys & 0xFFFFF], axis=-1) - _SHIFT) * UPPER_EDGE
    below = len(leaves) + len(small)
    slots = _slots(origins[:below], UPPER_EDGE, LOWER_EDGE)
    keys, of_lower = np.unique(of_upper[:below] << 15 | slots, return_inverse=True)
    slot = keys & 0x7FFF
    corners = np.stack([slot >> 10, slot >> 5 & 31, slot & 31], axis=-1) * LOWER_EDGE
    lower = Children(upper[keys >> 15] + corners, keys >> 15, slot)

    upper_tiles = TileChildren(middle, of_upper[below:], _slots(origins[below:], UPPER_EDGE, LOWER_EDGE))
    slots = _slots(origins[:below], LOWER_EDGE, LEAF)
    places = of_lower << 12 | slots
    for taken in (
        places,
        np.concatenate([lower.parent << 15 | lower.slot, upper_tiles.parent << 15 | upper_tiles.slot]),
        root_keys(np.concatenate([upper, large.origins])),
    ):
        if len(np.unique(taken)) != len(taken):
            raise ValueError("two leaves or tiles of the grid share a place")
    order = np.argsort(places[: len(leaves)])
    return Topology(
        upper,
        lower,
        Children(leaves[order], of_lower[: len(leaves)][order], slots[: len(leaves)][order]),
        order,
        large,
        upper_tiles,
        TileChildren(small, of_lower[len(leaves) :], slots[len(leaves) :]),
    )


def root_keys(origins: _Integers) -> NDArray[np.uint64]:
    """The keys of the root's entries (n,) by their low corners (n, 3): 21 bits of each coordinate / 4096, z lowest."""
    x, y, z = (origins.T >> 12) & ((1 << 20) - 1)
    keys: NDArray[np.uint64] = (x << 42 | y << 21 | z).astype(np.uint64)
    return keys


def _of_edge(tiles: Tiles, edge: int) -> Tiles:
    which = tiles.edges == edge
    return Tiles(tiles.origins[which], tiles.edges[which], tiles.values[which], tiles.active[which])


def _slots(origins: _Integers, node_edge: int, child_edge: int) -> _Integers:
    """The place of children in their parent's table, x slowest."""
    x, y, z = ((origins & (node_edge - 1)) // child_edge).T
    side = node_edge // child_edge
    slots: _Integers = (x * side + y) * side + z
    return slots
