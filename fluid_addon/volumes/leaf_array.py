# SPDX-License-Identifier: GPL-3.0-or-later
"""A sparse field as the simulation holds it, on its way to a file: leaves counted from the domain's low corner.

Files count leaves of 8³ voxels from index zero, a domain from its own low corner, and a field that is finer or coarser
than its domain has leaves with other edges. What turns the one into the other is here, and follows the leaves only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LEAF", "LeafArray"]

#: Voxels along the edge of a leaf in files.
LEAF = 8

_Leaves = tuple[NDArray[np.int64], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class LeafArray:
    """`n` leaves of a field of `size` voxels, E along each edge; E divides 8 or is a multiple of it.

    Leaf (i, j, k) of `coords` (n, 3) holds the voxels [E·i, E·(i + 1)) along x and so on; no two are the same.
    `values` (n, E, E, E) or (n, E, E, E, components), z fastest. Voxels beyond the size do not exist: what `values`
    says of them does not count. Raises ValueError where the arrays do not fit together.
    """

    coords: NDArray[np.int32]
    values: NDArray[Any]
    size: tuple[int, int, int]

    def __post_init__(self) -> None:
        edge = self.values.shape[1] if self.values.ndim > 1 else 0
        if self.values.ndim not in (4, 5) or self.values.shape[:4] != (len(self.coords), edge, edge, edge):
            raise ValueError(f"{len(self.coords)} leaves cannot have values of the shape {self.values.shape}")
        if edge < 1 or (edge % LEAF and LEAF % edge):
            raise ValueError(f"a leaf cannot have an edge of {edge} voxels")
        if self.coords.shape[1:] != (3,) or (self.coords < 0).any() or (self.coords * edge >= self.size).any():
            raise ValueError("the coordinates name leaves that are not in the domain")

    @property
    def edge(self) -> int:
        """Voxels along the edge of a leaf."""
        return int(self.values.shape[1])

    @property
    def leaf_counts(self) -> tuple[int, int, int]:
        """Leaves of the whole box along x, y, z, those with voxels beyond the size included."""
        x, y, z = (-(-voxels // self.edge) for voxels in self.size)
        return x, y, z

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def with_values(self, values: NDArray[Any]) -> LeafArray:
        """The same leaves with other values (n, E, E, E[, components])."""
        return replace(self, values=values)

    def trimmed(self, background: ArrayLike) -> LeafArray:
        """The same with `background` in voxels beyond the size."""
        return self._beyond_filled(self._cast(background))

    def _cast(self, background: ArrayLike) -> NDArray[Any]:
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(background).astype(self.values.dtype)

    def _beyond_filled(self, fill: NDArray[Any]) -> LeafArray:
        """`fill` is a value, or values (n, 1, 1, 1[, components])."""
        ragged = np.flatnonzero((self.coords.astype(np.int64) * self.edge + self.edge > self.size).any(axis=1))
        if not len(ragged):
            return self
        voxels = self.coords[ragged, :, None] * self.edge + np.arange(self.edge)
        x, y, z = (voxels < np.array(self.size)[:, None]).transpose(1, 0, 2)
        exists = x[:, :, None, None] & y[:, None, :, None] & z[:, None, None, :]
        exists = exists.reshape(*exists.shape, *[1] * (self.values.ndim - 4))
        values = self.values.copy()
        values[ragged] = np.where(exists, values[ragged], fill[ragged] if fill.ndim > 1 else fill)
        return self.with_values(values)

    def peak(self, background: float) -> float | None:
        """The largest finite value of a field of one component, `background` for the rest of the box."""
        values = self._beyond_filled(self.values[:, :1, :1, :1]).values
        finite = values if np.isfinite(values.max(initial=0)) else values[np.isfinite(values)]
        parts = [finite.max()] if finite.size else []
        if len(self.coords) < int(np.prod(self.leaf_counts)) and np.isfinite(background):
            parts.append(background)
        return max(map(float, parts), default=None)

    def aligned(self, low: Sequence[int], background: ArrayLike) -> _Leaves:
        """The same voxels in the leaves of files, where the domain's first voxel has the index coordinate `low`.

        Returns:
            Low corners (m, 3) in index coordinates, multiples of 8, and values (m, 8, 8, 8[, components]), where a
            voxel that no leaf here holds is `background`. Not a copy where leaves and places agree already.
        """
        outside = self._cast(background)
        trimmed = self.trimmed(outside)
        coords, values = _of_edge_8(trimmed.coords.astype(np.int64), trimmed.values, outside)
        corner = np.asarray(low, np.int64)
        coords, values = _shifted(coords + (corner >> 3), values, (corner & 7).tolist(), outside)
        return coords * LEAF, values


def _of_edge_8(coords: NDArray[np.int64], values: NDArray[Any], outside: NDArray[Any]) -> _Leaves:
    """Small leaves put together, or large ones taken apart, into 8³ voxels; of large ones only parts that differ from
    the background somewhere."""
    edge, trailing = values.shape[1], values.shape[4:]
    if edge == LEAF or not len(coords):
        return coords, values.reshape(len(coords), LEAF, LEAF, LEAF, *trailing)
    if edge < LEAF:
        count = LEAF // edge
        places, of_leaf = _places(coords // count)
        joined = _filled((len(places), *[LEAF] * 3, *trailing), outside, values.dtype)
        x, y, z = (coords % count).T
        _split(joined, edge).transpose(0, 1, 3, 5, 2, 4, 6, *range(7, 7 + len(trailing)))[of_leaf, x, y, z] = values
        return places, joined
    count = edge // LEAF
    parts = _split(values, LEAF).transpose(0, 1, 3, 5, 2, 4, 6, *range(7, 7 + len(trailing)))
    kept = (parts != outside).any(axis=tuple(range(4, parts.ndim)))
    number, x, y, z = np.nonzero(kept)
    places = coords[number] * count + np.stack([x, y, z], axis=-1)
    order = np.lexsort(places.T[::-1])
    return places[order], parts[number[order], x[order], y[order], z[order]]


def _split(values: NDArray[Any], edge: int) -> NDArray[Any]:
    """A view (n, k, edge, k, edge, k, edge[, components])."""
    count = values.shape[1] // edge
    return values.reshape(len(values), *[count, edge] * 3, *values.shape[4:])


def _shifted(coords: NDArray[np.int64], values: NDArray[Any], shift: list[int], outside: NDArray[Any]) -> _Leaves:
    """Leaves whose first voxels are voxel `shift` of the leaves `coords`, spread over these and the next ones."""
    if not any(shift) or not len(coords):
        return coords, values
    # along each axis, what stays in a leaf and what goes over into the next: there, and where it comes from
    ways = [
        [(0, slice(by, LEAF), slice(0, LEAF - by)), (1, slice(0, by), slice(LEAF - by, LEAF))][: 2 if by else 1]
        for by in shift
    ]
    pieces = [tuple(zip(*three, strict=True)) for three in product(*ways)]
    places, place = _places(np.concatenate([coords + further for further, _, _ in pieces]))
    spread = _filled((len(places), *values.shape[1:]), outside, values.dtype)
    for number, (_, there, here) in zip(place.reshape(len(pieces), -1), pieces, strict=True):
        spread[(number, *there)] = values[(slice(None), *here)]
    return places, spread


def _filled(shape: tuple[int, ...], value: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    filled = np.empty(shape, dtype)
    filled[...] = value
    return filled


def _places(coords: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The different ones of coordinates (n, 3), sorted by x, then y, then z, and the number (n,) of each among them."""
    low = coords.min(axis=0)
    counts = tuple((coords.max(axis=0) - low + 1).tolist())
    linear, number = np.unique(np.ravel_multi_index(tuple((coords - low).T), counts), return_inverse=True)
    places: NDArray[np.int64] = np.stack(np.unravel_index(linear, counts), axis=-1) + low
    return places, number.reshape(-1)
