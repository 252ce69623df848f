# SPDX-License-Identifier: GPL-3.0-or-later
"""Voxels of a sparse grid, looked up by their places: what the leaves of a sparse domain take from a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .grid import LEAF, Grid

__all__ = ["GridVoxels", "different_in_rows"]

_Integers = NDArray[np.int64]
_SPREAD = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))  # shapes in which three rows of numbers make a box


class _Cubes:
    """Finds cubes by their coordinates (n, 3), all different; they may lie as far apart as they like."""

    def __init__(self, coords: _Integers) -> None:
        self._axes = [np.unique(coords[:, axis]) for axis in range(3)]
        keys = self._keys([coords[:, axis] for axis in range(3)])
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]

    def find(self, wanted: Sequence[_Integers]) -> NDArray[np.intp]:
        """The number of the cube, or -1, at x, y and z coordinates that broadcast against each other."""
        keys = self._keys(wanted)
        if not len(self._sorted):
            return np.full(keys.shape, -1)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, self._order[at], -1)

    def _keys(self, wanted: Sequence[_Integers]) -> _Integers:
        """One number for each place; negative where no cube has one of the coordinates."""
        keys, known = np.zeros((), np.int64), np.ones((), np.bool_)
        for there, coordinates in zip(self._axes, wanted, strict=True):
            rank = np.minimum(np.searchsorted(there, coordinates), max(len(there) - 1, 0))
            known = known & (there[rank] == coordinates if len(there) else np.zeros(coordinates.shape, np.bool_))
            keys = keys * len(there) + rank  # there are 2²¹ leaves at most, so this fits into 63 bits
        return np.where(known, keys, -1)


class GridVoxels:
    """The voxels of one grid, which must not change meanwhile."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._leaves = _Cubes(grid.leaf_origins.astype(np.int64) // LEAF)
        leaf_values = grid.leaf_values if len(grid.leaf_values) else np.zeros((LEAF**3, *grid.components), grid.dtype)
        self._flat = np.ascontiguousarray(leaf_values).reshape(-1, *grid.components)
        self._tiles: list[tuple[int, NDArray[np.intp], _Cubes]] = []
        for edge in np.unique(grid.tiles.edges).tolist():
            members = np.flatnonzero(grid.tiles.edges == edge)
            self._tiles.append((edge, members, _Cubes(grid.tiles.origins[members].astype(np.int64) // edge)))

    def values(self, places: Sequence[_Integers], component: int | None = None) -> NDArray[Any]:
        """What the file stores where planes across the axes meet, in several boxes: the twin of `Grid.dense`.

        Args:
            places: index coordinates along x (n, kx), y (n, ky) and z (n, kz).
            component: the number of that of a vector that is wanted; all of them by default.

        Returns:
            (n, kx, ky, kz), or (n, kx, ky, kz, 3) for all of a vector.
        """
        ranks, blocks = zip(*(different_in_rows(along // LEAF) for along in places), strict=True)
        x, y, z = (table.shape[1] for table in blocks)
        block = _meeting(ranks, (x * y * z, y * z, z, 1))
        x, y, z = (table.reshape(len(table), *shape) for table, shape in zip(blocks, _SPREAD, strict=True))
        number = self._leaves.find((x, y, z)).reshape(-1)
        missing = number < 0
        voxel = _meeting([along % LEAF for along in places], (0, LEAF * LEAF, LEAF, 1))
        voxel += np.maximum(number, 0).take(block) * LEAF**3
        if component is None:
            values = self._flat.take(voxel, axis=0)
        else:
            voxel *= self._flat.shape[1]
            voxel += component
            values = self._flat.reshape(-1).take(voxel)
        if missing.any():
            constants = self._constants(np.broadcast_arrays(x, y, z))
            constants = constants if component is None else constants[:, component]
            there = missing.take(block)
            values[there] = constants[block[there]]
        return values

    def _constants(self, places: Sequence[_Integers]) -> NDArray[Any]:
        """The values of tiles (m,) or (m, 3) at leaves' places, and the background where there are none."""
        grid = self._grid
        places = [along.reshape(-1) for along in places]
        constants = np.empty((len(places[0]), *grid.components), grid.dtype)
        constants[...] = grid.background
        for edge, members, tiles in self._tiles:
            tile = tiles.find([along * LEAF // edge for along in places])
            constants[tile >= 0] = grid.tiles.values[members[tile[tile >= 0]]]
        return constants


def different_in_rows(numbers: _Integers) -> tuple[_Integers, _Integers]:
    """The different ones of each row of numbers (n, k), rising and with the last repeated to fill a table (n, b), and
    the place (n, k) of each number in its row."""
    order = np.argsort(numbers, axis=1, kind="stable")
    rising = np.take_along_axis(numbers, order, axis=1)
    count = np.zeros(numbers.shape, np.int64)
    count[:, 1:] = (np.diff(rising) > 0).cumsum(axis=1)
    table = np.repeat(rising[:, -1:], int(count.max(initial=0)) + 1, axis=1)
    np.put_along_axis(table, count, rising, axis=1)
    place = np.empty_like(count)
    np.put_along_axis(place, order, count, axis=1)
    return place, table


def _meeting(along: Sequence[_Integers], strides: tuple[int, int, int, int]) -> _Integers:
    """Indices (n, kx, ky, kz) of what lies at (n, kx), (n, ky), (n, kz) along the axes."""
    row = np.arange(len(along[0])) * strides[0]
    x, y, z = (
        (numbers * stride).reshape(len(numbers), *shape)
        for numbers, stride, shape in zip(along, strides[1:], _SPREAD, strict=True)
    )
    meeting: _Integers = (row.reshape(-1, 1, 1, 1) + x) + y + z
    return meeting
