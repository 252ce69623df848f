# SPDX-License-Identifier: GPL-3.0-or-later
"""A file's grid in a sparse domain: which leaves it wakes, and its values there.

The twin of `resample` for domains whose box is never held in memory. Both ask the same places of the grid, so the
numbers are the same to the last bit; time and memory follow the leaves, of the grid and of the domain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..volumes.grid import LEAF, Grid
from ..volumes.grid_voxels import GridVoxels, different_in_rows
from ..volumes.leaf_array import LeafArray
from .domain import Domain
from .resample import Axis, component_axes, component_of

__all__ = ["leaves_of_grid", "resampled_leaves"]

_PAIRS = 1 << 20  # of a leaf of the grid and one of the domain, that are looked at together
_GATHERED = 1 << 20  # voxels of the grid that are in memory together

_Integers = npt.NDArray[np.int64]


# ----- which leaves


def leaves_of_grid(grid: Grid, domain: Domain, edge: int = LEAF, *, on_faces: bool = False) -> npt.NDArray[np.int32]:
    """The domain's leaves that an active voxel of a grid reaches, as a value or as a part of an interpolated one.

    Of a level set, voxels inside count as well. All other leaves have the background everywhere: the field's, or of a
    level set that of the grid.

    Args:
        domain: the box in the field's voxels; its axes have the `same_directions` as the grid's.
        edge: voxels along the edge of a leaf of the field.
        on_faces: whether the field is staggered.

    Returns:
        Coordinates (n, 3), sorted by x, then y, then z.
    """
    counts = tuple(-(-n // edge) for n in domain.size)
    masks, tiles = grid.leaf_masks, grid.tiles.active
    if grid.grid_class == "level set":
        masks, tiles = masks | _inside(grid.leaf_values, 4), tiles | _inside(grid.tiles.values, 1)
    occupied = masks.any(axis=(1, 2, 3))
    masks, origins = masks[occupied], grid.leaf_origins[occupied].astype(np.int64)
    corners, edges = grid.tiles.origins[tiles].astype(np.int64), grid.tiles.edges[tiles].astype(np.int64)
    found: list[_Integers] = []
    for _, axes in component_axes(grid, domain, on_faces=on_faces, from_faces=grid.grid_class == "staggered"):
        reaches = [_reach(axis, edge) for axis in axes]
        for _, leaves in _pairs(reaches, corners, np.repeat(edges[:, None], 3, axis=1)):
            found.append(np.unique(np.ravel_multi_index(tuple(leaves.T), counts)))
        for numbers, leaves in _pairs(reaches, origins, np.full_like(origins, LEAF)):
            reached = _any_in_box(masks, origins, numbers, leaves, reaches)
            found.append(np.unique(np.ravel_multi_index(tuple(leaves[reached].T), counts)))
    linear = np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
    return np.stack(np.unravel_index(linear, counts), axis=-1).astype(np.int32)


def _inside(values: npt.NDArray[Any], axes: int) -> npt.NDArray[np.bool_]:
    """Where a level set is negative, or no number."""
    inside = ~(values >= 0)
    return inside.any(axis=-1) if inside.ndim > axes else inside


@dataclass(frozen=True)
class _Reach:
    """Of each leaf along an axis, the `first` and the `last` voxel of the grid that it looks at. `flipped`: the grid's
    axis points the other way, so they fall; `first` and `last` are in the order in which they rise."""

    first: _Integers
    last: _Integers
    flipped: bool

    def leaves(self, low: _Integers, high: _Integers) -> tuple[_Integers, _Integers]:
        """The first leaf that looks at voxels from `low` to `high`, and one behind the last, counted as they rise."""
        return np.searchsorted(self.last, low, "left"), np.searchsorted(self.first, high, "right")

    def coordinate(self, leaf: _Integers) -> _Integers:
        return len(self.first) - 1 - leaf if self.flipped else leaf


def _reach(axis: Axis, edge: int) -> _Reach:
    starts = np.arange(0, len(axis.low), edge)
    first, last = np.minimum.reduceat(axis.low, starts), np.maximum.reduceat(axis.high, starts)
    flipped = bool(first[0] > first[-1])
    return _Reach(first[::-1], last[::-1], True) if flipped else _Reach(first, last, False)


def _pairs(reaches: Sequence[_Reach], corners: _Integers, edges: _Integers) -> Iterator[tuple[_Integers, _Integers]]:
    """Cubes of the grid (n, 3) and the domain's leaves that look at them: their numbers (p,) and coordinates (p, 3),
    many at a time."""
    ends = [reach.leaves(corners[:, i], corners[:, i] + edges[:, i] - 1) for i, reach in enumerate(reaches)]
    lows = np.stack([low for low, _ in ends], axis=-1)
    counts = np.maximum(np.stack([high - low for low, high in ends], axis=-1), 0)
    pairs = counts.prod(axis=1)
    batch = (np.cumsum(pairs) - pairs) // _PAIRS
    for members in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(batch)) + 1):
        numbers = np.repeat(members, pairs[members])
        if not len(numbers):
            continue
        rest = np.arange(len(numbers)) - np.repeat(np.cumsum(pairs[members]) - pairs[members], pairs[members])
        leaves = np.empty((len(numbers), 3), np.int64)
        for i in (2, 1, 0):
            rest, step = np.divmod(rest, counts[numbers, i])
            leaves[:, i] = reaches[i].coordinate(lows[numbers, i] + step)
        yield numbers, leaves


def _any_in_box(
    masks: npt.NDArray[np.bool_],
    origins: _Integers,
    numbers: _Integers,
    leaves: _Integers,
    reaches: Sequence[_Reach],
) -> npt.NDArray[np.bool_]:
    """Whether the mask of each pair's leaf of the grid has a voxel that the domain's leaf looks at."""
    start = int(numbers[0])  # numbers rise
    part = masks[start : int(numbers[-1]) + 1]
    sums = np.zeros((len(part), *[LEAF + 1] * 3), np.int16)  # of all voxels before this one, along every axis
    sums[:, 1:, 1:, 1:] = (
        part.cumsum(axis=1, dtype=np.int16).cumsum(axis=2, dtype=np.int16).cumsum(axis=3, dtype=np.int16)
    )
    ends = []
    for i, reach in enumerate(reaches):
        at, origin = reach.coordinate(leaves[:, i]), origins[numbers, i]
        ends.append((np.maximum(reach.first[at] - origin, 0), np.minimum(reach.last[at] - origin + 1, LEAF)))
    count = np.zeros(len(numbers), np.int64)
    for corner in np.ndindex(2, 2, 2):
        x, y, z = (pair[side] for pair, side in zip(ends, corner, strict=True))
        sign = 1 if sum(corner) % 2 else -1
        count += sign * sums[numbers - start, x, y, z]
    return count > 0


# ----- their values


def resampled_leaves(
    grid: Grid,
    domain: Domain,
    leaves: npt.NDArray[np.int32],
    edge: int = LEAF,
    *,
    on_faces: bool = False,
    from_faces: bool = False,
) -> LeafArray:
    """The values that `resampled` gives, of some leaves of the domain.

    Args:
        leaves: coordinates (n, 3).
        edge: voxels along the edge of a leaf.

    Returns:
        Leaves (n, E, E, E) or (n, E, E, E, 3) of the grid's type; voxels beyond the domain repeat the last one inside.
    """
    out = np.empty((len(leaves), edge, edge, edge, *grid.components), grid.dtype)
    voxels = GridVoxels(grid)
    for component, axes in component_axes(grid, domain, on_faces=on_faces, from_faces=from_faces):
        looked = [_looked(axis, leaves[:, i], edge) for i, axis in enumerate(axes)]
        step = max(1, _GATHERED // int(np.prod([look.places.shape[1] for look in looked])))
        target = component_of(out, component)
        for start in range(0, len(leaves), step):
            some = slice(start, start + step)
            values = voxels.values([look.places[look.leaf[some]] for look in looked], component)
            for i, look in enumerate(looked):
                values = look.interpolate(values, some, i + 1)
            target[some] = values
    return LeafArray(leaves, out, domain.size)


@dataclass(frozen=True)
class _Looked:
    """Where leaves look along an axis, for each of `k` different coordinates of leaves: `places` (k, p) in the grid;
    of their voxels `low` and `high` (k, E) among these, and `part` (k, E) of the way from one to the other. `leaf` (n,)
    is the number of each leaf's coordinate, `between` whether any voxel is on the way."""

    leaf: npt.NDArray[np.intp]
    places: _Integers
    low: _Integers
    high: _Integers
    part: npt.NDArray[np.float32]
    between: bool

    def interpolate(self, values: npt.NDArray[Any], some: slice, axis: int) -> npt.NDArray[Any]:
        """As `Axis.interpolate` does it, for some of the leaves."""
        leaf = self.leaf[some]
        low = _taken(values, self.low[leaf], axis)
        if not self.between:
            return low
        part = self.part[leaf].reshape(len(leaf), *[1] * (axis - 1), -1, *[1] * (values.ndim - axis - 1))
        high = _taken(values, self.high[leaf], axis)
        low *= 1 - part
        high *= part
        low += high
        return low


def _looked(axis: Axis, coordinates: npt.NDArray[np.int32], edge: int) -> _Looked:
    different, leaf = np.unique(coordinates, return_inverse=True)
    voxels = np.minimum(different[:, None] * edge + np.arange(edge), len(axis.low) - 1)
    at, places = different_in_rows(np.concatenate([axis.low[voxels], axis.high[voxels]], axis=1))
    return _Looked(leaf.reshape(-1), places, at[:, :edge], at[:, edge:], axis.part[voxels], bool(axis.part.any()))


def _taken(values: npt.NDArray[Any], index: _Integers, axis: int) -> npt.NDArray[Any]:
    """Along an axis of each leaf's values the voxels `index` (n, E)."""
    before = values.shape[:axis]
    rows = np.arange(int(np.prod(before))).reshape(*before, 1) * values.shape[axis]
    wanted = rows + index.reshape(len(index), *[1] * (axis - 1), -1)
    return values.reshape(-1, *values.shape[axis + 1 :]).take(wanted, axis=0)
