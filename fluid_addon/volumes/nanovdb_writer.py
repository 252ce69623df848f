# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes NanoVDB files (.nvdb) of version 32.6 that NanoVDB's own tools, Warp and others read: one segment per grid.

The twin of nanovdb_reader. Kind "half" becomes Fp16, which stores a leaf's values as 65,536 steps between its smallest
and largest one; everything else is stored exactly.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import fail
from .atomic import atomic_write
from .grid import LEAF, Grid, voxel_size
from .nanovdb_layout import (
    FILE_GRID,
    FILE_HEADER,
    GRID,
    GRID_CLASSES,
    LAYOUTS,
    MAGIC_EITHER,
    MAGIC_GRID,
    NO_CHECKSUM,
    NONE,
    TREE,
    ZIP,
    NodeLayout,
    name_key,
    old_checksum,
    version_word,
)
from .nanovdb_statistics import Statistics, of_leaves, of_parents, of_tiles
from .nanovdb_topology import Children, TileChildren, Topology, root_keys, topology

__all__ = ["write_nvdb"]

_VERSION = version_word(32, 6, 0)  # older and newer readers agree on it and on its checksum
_TYPES = {"float": 1, "int32": 4, "vec3f": 6, "half": 15}
_LONGEST_NAME = 255  # bytes that fit into the head of a grid
_FLAGS = 0b111110  # has boxes, extremes, averages, deviations; the nodes of a level lie side by side
_IS_ACTIVE, _IS_EMPTY = 2, 1  # flags of nodes with and without active voxels


def write_nvdb(
    path: str | Path,
    grids: Sequence[Grid],
    compression: Literal["zip", "none"] = "zip",
    announce: Callable[[Path], None] | None = None,
) -> None:
    """Write `grids` to `path`, atomically (see `atomic_write`, for `announce` as well). Raises export-field for a name
    that does not fit, disk-full, disk-error."""
    codec = {"zip": ZIP, "none": NONE}[compression]
    needed = sum(grid.leaf_values.nbytes for grid in grids)
    with atomic_write(path, needed, announce) as part, part.open("wb") as file:
        for grid in grids:
            name = grid.name.encode()
            if len(name) > _LONGEST_NAME or b"\0" in name:
                raise fail(
                    "export-field",
                    f'The grid name "{grid.name[:40]}…" does not fit into a NanoVDB file.',
                    f"Use at most {_LONGEST_NAME} bytes and no NUL.",
                )
            block = _block(grid, name)
            stored: Any = block.data
            if codec == ZIP:
                packed = zlib.compress(stored)
                stored = len(packed).to_bytes(8, "little") + packed
            for piece in (*_segment_head(block, name, len(stored), codec), name + b"\0", stored):
                file.write(piece)


def _segment_head(block: NDArray[np.uint8], name: bytes, stored_size: int, codec: int) -> tuple[bytes, bytes]:
    """The head of a segment with one grid, and its entry in the segment's list; they repeat what the grid says."""
    grid, tree = (np.frombuffer(block, form, 1, at)[0] for form, at in ((GRID, 0), (TREE, GRID.itemsize)))
    header, entry = np.zeros((), FILE_HEADER), np.zeros((), FILE_GRID)
    header["magic"], header["version"], header["grid_count"], header["codec"] = MAGIC_EITHER, _VERSION, 1, codec
    for member in ("grid_size", "grid_type", "grid_class", "world_box", "voxel_size", "version"):
        entry[member] = grid[member]
    for member in ("tile_count", "voxel_count"):
        entry[member] = tree[member]
    entry["index_box"] = np.frombuffer(block, "<i4", 6, GRID.itemsize + TREE.itemsize).reshape(2, 3)
    entry["node_count"] = (*tree["node_count"], 1)
    entry["file_size"], entry["codec"] = stored_size, codec
    entry["name_size"], entry["name_key"] = len(name) + 1, name_key(name)
    return header.tobytes(), entry.tobytes()


def _block(grid: Grid, name: bytes) -> NDArray[np.uint8]:
    """The bytes of a grid as they would lie in memory."""
    layout, tree = LAYOUTS[_TYPES[grid.kind]], topology(grid)
    forms = (GRID, TREE, layout.root, layout.root_tile, layout.upper, layout.lower, layout.leaf)
    entries = len(tree.upper) + len(tree.root_tiles)
    counts = (1, 1, 1, entries, len(tree.upper), len(tree.lower.origins), len(tree.leaf.origins))
    starts = np.cumsum([0, *(count * form.itemsize for count, form in zip(counts, forms, strict=True))]).tolist()
    block = np.zeros(starts[-1], np.uint8)
    parts: list[NDArray[Any]] = [
        np.ndarray((count,), form, block.data, start)
        for count, form, start in zip(counts, forms, starts[:-1], strict=True)
    ]
    head, trunk, root, table, upper, lower, leaf = parts

    values, masks = grid.leaf_values[tree.leaf_order], grid.leaf_masks[tree.leaf_order]
    statistics = of_leaves(values, masks, tree.leaf.origins)
    _fill_leaves(leaf, layout, grid, values, masks, statistics, tree.leaf.origins)
    for nodes, origins, children, child_nodes, tiles, distance in (
        (lower, tree.lower.origins, tree.leaf, leaf, tree.lower_tiles, starts[6] - starts[5]),
        (upper, tree.upper, tree.lower, lower, tree.upper_tiles, starts[5] - starts[4]),
    ):
        below = [(statistics, children.parent), (of_tiles(tiles.tiles), tiles.parent)]
        statistics = of_parents(below, len(nodes))
        _fill_internal(nodes, grid, statistics, origins, tiles)
        _link(nodes, children, child_nodes.itemsize, distance)
    below = [(part, np.zeros(len(part.count), np.int64)) for part in (statistics, of_tiles(tree.root_tiles))]
    statistics = of_parents(below, 1)
    _fill_root(root, table, grid, statistics, tree, starts[4] - starts[2], layout.upper.itemsize)

    trunk["node_offset"] = [starts[at] - starts[1] if counts[at] else 0 for at in (6, 5, 4, 2)]
    trunk["node_count"] = [counts[at] for at in (6, 5, 4)]
    trunk["tile_count"] = [
        np.count_nonzero(tiles.active) for tiles in (tree.lower_tiles.tiles, tree.upper_tiles.tiles, tree.root_tiles)
    ]
    trunk["voxel_count"] = statistics.count[0]
    _fill_head(head, grid, name, layout, len(block), statistics)
    head["checksum"] = NO_CHECKSUM
    if len(upper):
        head["checksum"][:, 0] = old_checksum(block.data, starts[4])
    return block


def _fill_head(
    head: NDArray[Any], grid: Grid, name: bytes, layout: NodeLayout, size: int, statistics: Statistics
) -> None:
    head["magic"], head["unused_2"] = MAGIC_EITHER, MAGIC_GRID  # the pair that 32.6 and later write
    head["version"], head["flags"], head["grid_count"] = _VERSION, _FLAGS, 1
    head["grid_size"] = head["blind_offset"] = size
    head["name"] = name
    # NanoVDB calls a file invalid where a vector or an integer grid says that it is a level set or a fog volume
    fits = grid.grid_class == "staggered" if grid.kind == "vec3f" else grid.kind in ("float", "half")
    head["grid_class"] = GRID_CLASSES.index(grid.grid_class) if fits else 0
    head["grid_type"] = layout.grid_type
    matrix, translation = grid.transform[:3, :3], grid.transform[:3, 3]
    parts = {"matrix": matrix, "inverse": np.linalg.inv(matrix), "translation": translation, "taper": 1.0}
    for member, value in parts.items():
        head["map"][member] = value
        head["map"][member + "_f"] = value
    head["voxel_size"] = voxel_size(grid.transform)
    if statistics.count[0]:
        ends = np.stack([statistics.low[0], statistics.high[0] + 1]).astype(np.float64)
        corners = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(8, 3) @ matrix.T + translation
        head["world_box"] = corners.min(axis=0), corners.max(axis=0)
    else:
        largest = np.finfo(np.float64).max
        head["world_box"] = np.full(3, largest), np.full(3, -largest)


def _fill_statistics(records: NDArray[Any], grid: Grid, statistics: Statistics) -> None:
    """Extremes, average and deviation of nodes; those without active voxels show the background."""
    some = statistics.count > 0
    for member in ("minimum", "maximum"):
        records[member] = grid.background
        records[member][some] = getattr(statistics, member)[some]
    records["average"], records["deviation"] = statistics.average, statistics.deviation


def _boxes(statistics: Statistics, origins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Boxes of active voxels. An empty node's box starts at its low corner all the same: readers take that from it."""
    some = (statistics.count > 0)[:, None]
    return np.where(some, statistics.low, origins), np.where(some, statistics.high, origins - 1)


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(bits.reshape(len(bits), int(np.prod(bits.shape[1:]))), axis=1, bitorder="little")


def _fill_leaves(
    leaves: NDArray[Any],
    layout: NodeLayout,
    grid: Grid,
    values: NDArray[Any],
    masks: NDArray[np.bool_],
    statistics: Statistics,
    origins: NDArray[np.int64],
) -> None:
    low, high = _boxes(statistics, origins)
    leaves["box_low"], leaves["box_size"] = low, np.maximum(high - low, 0)
    leaves["flags"] = np.where(statistics.count > 0, _IS_ACTIVE, 0)
    leaves["value_mask"] = _packed(masks)
    flat = values.reshape(len(values), LEAF**3, *grid.components)
    if not layout.quantised:
        _fill_statistics(leaves, grid, statistics)
        leaves["values"] = flat
        return
    # the quantum is taken as the reader will see it, so that codes fit what is stored
    least = leaves["minimum"] = flat.min(axis=1, initial=np.inf)
    quantum = leaves["quantum"] = ((flat.max(axis=1, initial=-np.inf) - least) / 65535).astype(np.float32)
    steps = np.where(quantum > 0, quantum, 1).astype(np.float64)

    def codes(numbers: NDArray[Any], zero: NDArray[Any] | float) -> NDArray[np.uint16]:
        columns = (1,) * (numbers.ndim - 1)
        scaled = (numbers - np.reshape(zero, (-1, *columns))) / steps.reshape(-1, *columns)
        code: NDArray[np.uint16] = np.clip(np.rint(scaled), 0, 65535).astype(np.uint16)
        return code

    leaves["codes"] = codes(flat.astype(np.float64), least)
    some = statistics.count > 0
    for column, member in enumerate(("minimum", "maximum", "average", "deviation")):
        shown = np.where(some, getattr(statistics, member), least if column < 3 else 0)
        leaves["statistics"][:, column] = codes(shown, least if column < 3 else np.zeros_like(least))


def _fill_internal(
    nodes: NDArray[Any], grid: Grid, statistics: Statistics, origins: NDArray[np.int64], children: TileChildren
) -> None:
    """Everything of upper or lower nodes but the links to their children."""
    low, high = _boxes(statistics, origins)
    nodes["box"][:, 0], nodes["box"][:, 1] = low, high
    nodes["flags"] = np.where(statistics.count > 0, _IS_ACTIVE, _IS_EMPTY)
    _fill_statistics(nodes, grid, statistics)
    nodes["table"]["value"] = grid.background
    nodes["table"]["value"][children.parent, children.slot] = children.tiles.values
    active = np.zeros(nodes["table"].shape, np.bool_)
    active[children.parent, children.slot] = children.tiles.active
    nodes["value_mask"] = _packed(active)


def _link(nodes: NDArray[Any], children: Children, child_size: int, distance: int) -> None:
    """Point nodes to their children, which start `distance` bytes behind the first of the nodes."""
    is_child = np.zeros(nodes["table"].shape, np.bool_)
    is_child[children.parent, children.slot] = True
    nodes["child_mask"] = _packed(is_child)
    nodes["table"][children.parent, children.slot] = np.zeros(
        (), nodes["table"].dtype
    )  # a link leaves no value around it
    offsets = distance + np.arange(len(children.slot)) * child_size - children.parent * nodes.itemsize
    nodes["table"]["child"][children.parent, children.slot] = offsets


def _fill_root(
    root: NDArray[Any],
    table: NDArray[Any],
    grid: Grid,
    statistics: Statistics,
    tree: Topology,
    distance: int,
    upper_size: int,
) -> None:
    """The root and its table, sorted by place; upper nodes start `distance` bytes behind the root."""
    if statistics.count[0]:
        root["box"] = statistics.low[0], statistics.high[0]
    else:
        root["box"] = np.full(3, 2**31 - 1), np.full(3, -(2**31))
    root["table_size"], root["background"] = len(table), grid.background
    _fill_statistics(root, grid, statistics)
    places = np.concatenate([tree.upper, tree.root_tiles.origins.astype(np.int64)])
    rank = np.empty(len(places), np.int64)
    rank[np.lexsort(places.T[::-1])] = np.arange(len(places))
    table["key"][rank] = root_keys(places)
    child, tile = rank[: len(tree.upper)], rank[len(tree.upper) :]
    table["child"][child] = distance + np.arange(len(tree.upper)) * upper_size
    table["value"][tile], table["state"][tile] = tree.root_tiles.values, tree.root_tiles.active
