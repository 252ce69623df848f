# SPDX-License-Identifier: GPL-3.0-or-later
"""What every node of a NanoVDB grid says about the active voxels below it: their box, extremes, average and deviation.

Sums are in double precision, deviations are those of the population. For vectors, NanoVDB means squared lengths: the
extremes are the shortest and the longest vector, average and deviation are of squared lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .grid import LEAF, Tiles, voxel_extents

__all__ = ["Statistics", "of_leaves", "of_parents", "of_tiles"]

_CHUNK = 4096  # leaves whose values are held in double precision at a time


@dataclass
class Statistics:
    """Of `n` nodes: `count` (n,) active voxels, `minimum` and `maximum` (n,) or (n, 3), `average` (n,), `spread` (n,)
    the sum of squared distances from the average, and the box (n, 3) of active voxels, both ends included.
    Where count is 0 the other members mean nothing."""

    count: NDArray[np.int64]
    minimum: NDArray[Any]
    maximum: NDArray[Any]
    average: NDArray[np.float64]
    spread: NDArray[np.float64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @property
    def deviation(self) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.sqrt(self.spread / np.maximum(self.count, 1))
        return result


def _rank(values: NDArray[Any], vector: bool) -> NDArray[np.float64]:
    """The number by which values are compared and averaged."""
    exact = values.astype(np.float64)
    rank: NDArray[np.float64] = (exact**2).sum(axis=-1) if vector else exact
    return rank


def of_leaves(values: NDArray[Any], masks: NDArray[np.bool_], origins: NDArray[np.int64]) -> Statistics:
    """Statistics of leaves: values (n, 8, 8, 8[, 3]), masks (n, 8, 8, 8), origins (n, 3)."""
    vector = values.ndim == 5
    flat, active = values.reshape(len(values), LEAF**3, *values.shape[4:]), masks.reshape(len(masks), LEAF**3)
    count = np.count_nonzero(active, axis=1).astype(np.int64)
    least, most = (np.zeros(len(values), np.int64) for _ in range(2))
    average, spread = (np.zeros(len(values)) for _ in range(2))
    for start in range(0, len(values), _CHUNK):
        part = slice(start, start + _CHUNK)
        rank, on = _rank(flat[part], vector), active[part]
        least[part] = np.where(on, rank, np.inf).argmin(axis=1)
        most[part] = np.where(on, rank, -np.inf).argmax(axis=1)
        average[part] = np.where(on, rank, 0.0).sum(axis=1) / np.maximum(count[part], 1)
        spread[part] = np.where(on, (rank - average[part, None]) ** 2, 0.0).sum(axis=1)
    rows = np.arange(len(values))
    first, last = voxel_extents(masks)
    return Statistics(count, flat[rows, least], flat[rows, most], average, spread, origins + first, origins + last)


def of_tiles(tiles: Tiles) -> Statistics:
    """Statistics of tiles as if each were a node full of voxels, or empty where it is not active."""
    edges = tiles.edges.astype(np.int64)
    low = tiles.origins.astype(np.int64)
    return Statistics(
        np.where(tiles.active, edges**3, 0),
        tiles.values,
        tiles.values,
        _rank(tiles.values, tiles.values.ndim == 2),
        np.zeros(len(edges)),
        low,
        low + edges[:, None] - 1,
    )


def of_parents(children: list[tuple[Statistics, NDArray[np.int64]]], parents: int) -> Statistics:
    """Statistics of `parents` nodes from those of their children, each given with the numbers of their parents."""
    parent = np.concatenate([numbers[part.count > 0] for part, numbers in children])

    def gathered(member: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, member)[part.count > 0] for part, _ in children])

    count, mean = gathered("count"), gathered("average")
    total = np.bincount(parent, count, parents)
    average = np.bincount(parent, count * mean, parents) / np.maximum(total, 1)
    spread: NDArray[Any] = np.bincount(parent, gathered("spread") + count * (mean - average[parent]) ** 2, parents)
    minimum, maximum = gathered("minimum"), gathered("maximum")
    low, high = np.full((parents, 3), 2**31 - 1, np.int64), np.full((parents, 3), -(2**31), np.int64)
    np.minimum.at(low, parent, gathered("low"))
    np.maximum.at(high, parent, gathered("high"))
    return Statistics(
        total.astype(np.int64),
        _picked(minimum, parent, parents, smallest=True),
        _picked(maximum, parent, parents, smallest=False),
        average,
        spread,
        low,
        high,
    )


def _picked(values: NDArray[Any], parent: NDArray[np.int64], parents: int, smallest: bool) -> NDArray[Any]:
    """The child's value of lowest or highest rank for every parent, the first of equals; zero without children."""
    result = np.zeros((parents, *values.shape[1:]), values.dtype)
    rank = _rank(values, values.ndim == 2)
    order = np.lexsort((rank if smallest else -rank, parent))[::-1]  # of a parent's values, the last one written stays
    result[parent[order]] = values[order]
    return result
