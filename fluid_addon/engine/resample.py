# SPDX-License-Identifier: GPL-3.0-or-later
"""A grid's values where a field wants them: between the grid's voxels, by trilinear interpolation.

The two lattices may differ in voxel size and position, not in direction, so that interpolation goes axis by axis. The
box is worked through in blocks, for which only the grid's voxels around them are spread out in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..volumes.grid import Grid
from .domain import Domain

__all__ = ["Axis", "component_axes", "component_of", "resampled", "same_directions"]

BLOCK_VOXELS = 1 << 22  # of the grid, for one block of the box
#: In the grid's voxels. A position so close to a voxel's centre is meant to lie there, and takes its value as it is.
NEAR = 1e-3
TILT = 1e-6  # what the rounding of a file's transform may look like

#: Scale (3,) and shift (3,) from index coordinates of the domain to those of the grid.
_Map: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def same_directions(grid: Grid, domain: Domain) -> bool:
    """Whether the axes of a grid and of a domain point the same ways, or the opposite ones."""
    return _map(grid, domain) is not None


def _map(grid: Grid, domain: Domain) -> _Map | None:
    """The way from the domain to the grid; None where their axes are turned."""
    try:
        relative = np.linalg.inv(np.asarray(grid.transform, np.float64)) @ domain.transform
    except np.linalg.LinAlgError:
        return None
    scale = np.diag(relative)[:3].copy()
    beside = np.abs(relative[:3, :3] - np.diag(scale)).max()
    if not np.isfinite(relative).all() or not np.abs(scale).min() > 0 or beside > TILT * np.abs(scale).max():
        return None
    return scale, relative[:3, 3]


@dataclass(frozen=True)
class Axis:
    """Where the box's voxels along an axis lie between the grid's: `part` of the way from `low` to `high`."""

    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    part: npt.NDArray[np.float32]

    def cut(self, piece: slice) -> Axis:
        return Axis(self.low[piece], self.high[piece], self.part[piece])

    @property
    def span(self) -> tuple[int, int]:
        """The grid's voxels that are needed: the first, and how many."""
        first = int(self.low.min())
        return first, int(self.high.max()) - first + 1

    def interpolate(self, values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
        """The values of `span` along an axis of an array, at the box's voxels."""
        first, _ = self.span
        low = values.take(self.low - first, axis)
        if not self.part.any():
            return low
        shape = [1] * values.ndim
        shape[axis] = -1
        high = values.take(self.high - first, axis)
        part = self.part.reshape(shape)
        low *= 1 - part
        high *= part
        low += high
        return low


def _axis(positions: npt.NDArray[np.float64], bounds: tuple[int, int], nearest: bool) -> Axis:
    """Positions in the grid's voxels; beyond `bounds` there is nothing but background."""
    inside = np.clip(positions, bounds[0] - 1, bounds[1])
    centre = np.round(inside)
    settled = np.where(np.abs(inside - centre) < NEAR, centre, inside)
    settled = np.floor(inside + 0.5) if nearest else settled
    low = np.floor(settled)
    part = (settled - low).astype(np.float32)
    whole = low.astype(np.int64)
    return Axis(whole, whole + (part > 0), part)


def resampled(grid: Grid, domain: Domain, *, on_faces: bool = False, from_faces: bool = False) -> npt.NDArray[Any]:
    """The grid at the voxels of a domain whose axes have the `same_directions`. Integers go to the nearest voxel.

    Args:
        on_faces: component i is wanted on the low face of each voxel along axis i, not at the centre.
        from_faces: that is where the grid has it.

    Returns:
        (nx, ny, nz) or (nx, ny, nz, 3), of the grid's type.
    """
    out = np.empty((*domain.size, *grid.components), grid.dtype)
    for component, axes in component_axes(grid, domain, on_faces=on_faces, from_faces=from_faces):
        _fill(component_of(out, component), component, grid, axes)
    return out


def component_axes(
    grid: Grid, domain: Domain, *, on_faces: bool, from_faces: bool
) -> Iterator[tuple[int | None, list[Axis]]]:
    """Each component and where it lies; None for all of them where they lie at the same places."""
    found = _map(grid, domain)
    assert found is not None, "the caller has looked"
    if not grid.components or not (on_faces or from_faces):
        yield None, _axes(grid, domain, found, np.zeros(3), np.zeros(3))
        return
    for component, face in enumerate(-0.5 * np.eye(3)):
        yield component, _axes(grid, domain, found, face * on_faces, face * from_faces)


def component_of(values: npt.NDArray[Any], component: int | None) -> npt.NDArray[Any]:
    """A view of a component, or of all of them (None)."""
    return values if component is None else values[..., component]


def _axes(
    grid: Grid, domain: Domain, found: _Map, wanted: npt.NDArray[np.float64], stored: npt.NDArray[np.float64]
) -> list[Axis]:
    """Where values lie that are `wanted` and `stored` beside the centres of their voxels."""
    scale, shift = found
    axes = []
    for i, bounds in enumerate(_bounds(grid)):
        positions = scale[i] * (np.arange(domain.size[i]) + domain.low[i] + wanted[i]) + shift[i] - stored[i]
        axes.append(_axis(positions, bounds, nearest=grid.dtype.kind == "i"))
    return axes


def _fill(out: npt.NDArray[Any], component: int | None, grid: Grid, axes: Sequence[Axis]) -> None:
    """Interpolate a component, or all of them (None)."""
    for pieces in _pieces(axes):
        cut = [axis.cut(piece) for axis, piece in zip(axes, pieces, strict=True)]
        lows, counts = zip(*(axis.span for axis in cut), strict=True)
        values = grid.dense(lows, counts)
        values = component_of(values, component)
        for i, axis in enumerate(cut):
            values = axis.interpolate(values, i)
        out[pieces] = values


def _bounds(grid: Grid) -> list[tuple[int, int]]:
    """The box of all that the grid stores, first and one behind the last, along each axis."""
    lows = np.concatenate([grid.leaf_origins, grid.tiles.origins]).astype(np.int64)
    edges = np.concatenate([np.full(len(grid.leaf_origins), 8), grid.tiles.edges])
    if not len(lows):
        return [(0, 0)] * 3
    first, behind = lows.min(axis=0), (lows + edges[:, None]).max(axis=0)
    return [(int(a), int(b)) for a, b in zip(first, behind, strict=True)]


def _pieces(axes: Sequence[Axis]) -> Iterator[tuple[slice, slice, slice]]:
    """Blocks of the box, long along z, that need at most `BLOCK_VOXELS` of the grid, or are one voxel wide."""
    counts = [len(axis.low) for axis in axes]
    steps = [axis.span[1] / count for axis, count in zip(axes, counts, strict=True)]
    block = list(counts)
    while max(block[:2]) > 1 and np.prod([b * s + 2 for b, s in zip(block, steps, strict=True)]) > BLOCK_VOXELS:
        longer = 0 if block[0] >= block[1] else 1
        block[longer] = -(-block[longer] // 2)
    starts = (range(0, count, size) for count, size in zip(counts, block, strict=True))
    for corner in product(*starts):
        x, y, z = (slice(start, start + size) for start, size in zip(corner, block, strict=True))
        yield x, y, z
