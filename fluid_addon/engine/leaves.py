# SPDX-License-Identifier: GPL-3.0-or-later
"""Which leaves of a sparse domain are active, where each lies in memory, and how a kernel finds its neighbours.

Plain numpy and no device: the three arrays that `LeafPool` gives are what `shaders/include` reads. Everything here
follows from the order of the leaves' linear indices, so that every run has the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .address import Boundary

__all__ = [
    "BACKGROUND_SLOT",
    "ELSEWHERE",
    "LEAF",
    "ORDER_HEADER",
    "RECORD",
    "LeafBox",
    "LeafPool",
    "PoolChange",
    "grown_capacity",
]

#: Voxels of a domain along each edge of a leaf.
LEAF = 8
#: The slot that every leaf maps to which is not active: it holds the background.
BACKGROUND_SLOT = 0
#: What the table has for a leaf that is active on another device and not held on this one.
ELSEWHERE = -1
#: Integers of a leaf's record, and of the order's ranges before its first slot.
RECORD, ORDER_HEADER = 32, 8

_STEP = 64  # slots; capacities are multiples of it

Indices = npt.NDArray[np.int32]
Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class LeafBox:
    """The leaves of a domain, cubes of 8³ voxels counted from its low corner; those at the high ends may be ragged.

    A leaf's linear index has x slowest, so leaves in the order of their indices are sorted by x first.

    Attributes:
        size: voxels along x, y, z.
        boundary: what lies beyond the ends of x, y, z.
    """

    size: tuple[int, int, int]
    boundary: tuple[Boundary, Boundary, Boundary]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Leaves along x, y, z."""
        x, y, z = (-(-n // LEAF) for n in self.size)
        return x, y, z

    @property
    def count(self) -> int:
        x, y, z = self.shape
        return x * y * z

    def index(self, leaves: Integers) -> Indices:
        """The linear indices, shape (n,), of leaves at coordinates of shape (n, 3)."""
        _, along_y, along_z = self.shape
        x, y, z = np.asarray(leaves, np.int32).reshape(-1, 3).T
        index: Indices = (x * np.int32(along_y) + y) * np.int32(along_z) + z
        return index

    def coords(self, index: Integers) -> Indices:
        """The coordinates, shape (n, 3), of leaves with these linear indices."""
        _, along_y, along_z = self.shape
        row, z = np.divmod(np.asarray(index, np.int32), np.int32(along_z))
        return np.stack((*np.divmod(row, np.int32(along_y)), z), axis=-1)

    def planes(self, index: Integers) -> Indices:
        """The x coordinate of each leaf."""
        _, along_y, along_z = self.shape
        return np.asarray(index, np.int32) // np.int32(along_y * along_z)

    def everything(self) -> Indices:
        """All leaves of the box."""
        return np.arange(self.count, dtype=np.int32)

    def neighbours(self, index: Integers) -> npt.NDArray[np.int64]:
        """The linear indices of the 27 leaves around each, its own in the middle, by the boundary rule.

        Returns:
            shape (n, 27), column (dx + 1) * 9 + (dy + 1) * 3 + (dz + 1); -1 where nothing lies beyond an open end.
        """
        coords = self.coords(index)
        strides = (self.shape[1] * self.shape[2], self.shape[2], 1)
        axes = []
        for axis, (leaves, stride) in enumerate(zip(self.shape, strides, strict=True)):
            along = np.arange(-1, leaves + 1)
            if self.boundary[axis] is Boundary.PERIODIC:
                along %= leaves
            else:
                np.clip(along, 0, leaves - 1, out=along)
            along *= stride
            if self.boundary[axis] is Boundary.OPEN:
                along[0] = along[-1] = -self.count  # no sum of three with this in it reaches 0
            axes.append(along[coords[:, axis, None] + np.arange(3)])
        x, y, z = axes
        total: npt.NDArray[np.int64] = x[:, :, None, None] + y[:, None, :, None] + z[:, None, None, :]
        np.maximum(total, -1, out=total)
        return total.reshape(-1, 27)

    def touched(self, lows: Integers, highs: Integers) -> Indices:
        """The leaves that boxes of voxels touch.

        The part of a box outside the domain counts for nothing, but along a periodic axis it wraps around. The work
        grows with the boxes and with the leaves between the outermost of them, however large each is.

        Args:
            lows: the low corners, shape (m, 3), in voxels; any whole numbers.
            highs: the corners behind the last voxels; a box that is empty along any axis touches nothing.

        Returns:
            linear indices, sorted, each once.
        """
        low, high = (np.array(np.reshape(each, (-1, 3)).T, np.int64, order="C") for each in (lows, highs))
        for side in range(3):
            low, high = self._within(low, high, side)
        some = np.all(low < high, axis=0)
        if not some.any():
            return np.empty(0, np.int32)
        first, stop = low[:, some] // LEAF, -(-high[:, some] // LEAF)
        corner, end = first.min(axis=1), stop.max(axis=1)
        # Each box counts 1 in all of its leaves: noted at its corners alone, and summed up along the three axes.
        sides = end - corner + 1
        strides = np.array((sides[1] * sides[2], sides[2], 1))
        x, y, z = np.swapaxes((np.stack((first, stop)) - corner[:, None]) * strides[:, None], 0, 1)
        cells = x[:, None, None] + y[None, :, None] + z[None, None, :]
        odd = np.indices((2, 2, 2)).sum(axis=0) % 2 == 1
        depth = np.zeros(sides, np.int32)
        np.add.at(depth.reshape(-1), cells[~odd].ravel(), np.int32(1))
        np.subtract.at(depth.reshape(-1), cells[odd].ravel(), np.int32(1))
        np.cumsum(depth, axis=2, out=depth)
        for planes in (depth.transpose(1, 0, 2), depth):  # plane by plane: numpy's own way is far slower here
            for i in range(1, planes.shape[0]):
                planes[i] += planes[i - 1]
        reached = np.zeros(self.shape, np.bool_)
        inside = tuple(slice(low, high) for low, high in zip(corner.tolist(), end.tolist(), strict=True))
        np.not_equal(depth[:-1, :-1, :-1], 0, out=reached[inside])
        return np.flatnonzero(reached).astype(np.int32)

    def _within(
        self, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], axis: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Boxes, shape (3, m), cut at the ends of an axis, or continued at its other end where it is periodic."""
        size = self.size[axis]
        if self.boundary[axis] is Boundary.PERIODIC:
            extent = np.minimum(high[axis] - low[axis], size)
            low[axis] %= size
            high[axis] = low[axis] + extent
            beyond = high[axis] > size
            low_more, high_more = low[:, beyond], high[:, beyond]
            low_more[axis] = 0
            high_more[axis] -= size
            low, high = np.concatenate((low, low_more), axis=1), np.concatenate((high, high_more), axis=1)
        np.clip(low[axis], 0, size, out=low[axis])
        np.clip(high[axis], 0, size, out=high[axis])
        return low, high


def grown_capacity(needed: int, box: LeafBox, capacity: int = _STEP) -> int:
    """The capacity of a pool, by default a new one, once it has had to hold so many slots."""
    if needed <= capacity:
        return capacity
    most = min(max(needed, capacity * 5 // 4), box.count + 1)
    return -(-most // _STEP) * _STEP


@dataclass(frozen=True)
class PoolChange:
    """What holding other leaves changed.

    Attributes:
        woken_slots: where the leaves lie that were not held before, in the order of `woken`.
        woken: their linear indices, sorted.
        slept_slots: where the leaves lay that are no longer held; a woken leaf may have such a slot now.
        slept: their linear indices, sorted.
        grown: the capacity is another one.
    """

    woken_slots: Indices
    woken: Indices
    slept_slots: Indices
    slept: Indices
    grown: bool


class LeafPool:
    """Which leaf has which slot on one device.

    A leaf keeps its slot as long as it is held. Freed slots are taken again, the lowest first, by new leaves in the
    order of their linear indices.

    Attributes:
        own: linear indices, sorted, of the leaves that this device computes.
        halo: of those that it holds for reading.
        capacity: slots, that of the background included; grows in steps and never shrinks.
    """

    def __init__(self, box: LeafBox) -> None:
        self.box = box
        self.own: Indices = np.empty(0, np.int32)
        self.halo: Indices = np.empty(0, np.int32)
        self.capacity = _STEP
        self._elsewhere: Indices = np.empty(0, np.int32)
        self._held: Indices = np.empty(0, np.int32)
        self._interior: tuple[int, int] | None = None
        self._table: Indices = np.zeros((box.count, 2), np.int32)
        self._records: Indices = np.zeros((self.capacity, RECORD), np.int32)
        self._free = np.ones(self.capacity, np.bool_)
        self._free[BACKGROUND_SLOT] = False

    def hold(
        self, own: Integers, halo: Integers, elsewhere: Integers, interior: tuple[int, int] | None = None
    ) -> PoolChange:
        """Hold these leaves and no others.

        Args:
            own: linear indices, sorted, each once; likewise the next two, and no leaf is in two of the three.
            halo: leaves to hold for reading.
            elsewhere: leaves that are active on other devices and not held here.
            interior: of a slab, the leaf planes [first, stop) along x that read nothing of the halo: own leaves
                before them are the low boundary, and those behind them the high one. None: there are no such parts.
        """
        self.own, self.halo = np.array(own, np.int32), np.array(halo, np.int32)
        self._interior = interior
        held = np.union1d(self.own, self.halo) if len(halo) else self.own
        keep = np.zeros(self.box.count, np.bool_)
        keep[held] = True
        slept = self._held[~keep[self._held]]
        woken = held[self._table[held, 0] <= BACKGROUND_SLOT]
        slept_slots = self._table[slept, 0]
        grown = self._reserve(len(held) + 1)
        self._free[slept_slots] = True
        slots = np.flatnonzero(self._free)[: len(woken)].astype(np.int32)
        self._free[slots] = False
        self._write(self._elsewhere, BACKGROUND_SLOT)
        self._write(slept, BACKGROUND_SLOT)
        self._elsewhere = np.array(elsewhere, np.int32)
        self._write(self._elsewhere, ELSEWHERE)
        self._write(woken, slots)
        self._held = held
        self._records[slept_slots] = 0
        self._rewrite(np.concatenate((slept, woken)))
        self._records[BACKGROUND_SLOT, RECORD - 1] = len(held)
        return PoolChange(slots, woken, slept_slots, slept, grown)

    def capacity_for(self, needed: int) -> int:
        """The capacity of the pool once it has had to hold so many slots."""
        return grown_capacity(needed, self.box, self.capacity)

    def _reserve(self, needed: int) -> bool:
        """Room for this many slots. True: the capacity is another one."""
        capacity = self.capacity_for(needed)
        more = capacity - self.capacity
        if not more:
            return False
        self._free = np.concatenate((self._free, np.ones(more, np.bool_)))
        self._records = np.concatenate((self._records, np.zeros((more, RECORD), np.int32)))
        self.capacity = capacity
        return True

    def _write(self, index: Indices, slots: Indices | int) -> None:
        """Put slots into the table, each also where it is the next one along z of another leaf."""
        along_z, boundary = self.box.shape[2], self.box.boundary[2]
        slots = np.broadcast_to(np.asarray(slots, np.int32), index.shape)
        self._table[index, 0] = slots
        z = index % np.int32(along_z)
        low, high = z == 0, z == along_z - 1
        self._table[index[~low] - 1, 1] = slots[~low]
        if boundary is Boundary.PERIODIC:
            self._table[index[low] + np.int32(along_z - 1), 1] = slots[low]
        elif boundary is Boundary.CLAMP:
            self._table[index[high], 1] = slots[high]

    def slots_of(self, index: Integers) -> Indices:
        """The slots of leaves; 0 where one is not held."""
        slots: Indices = np.maximum(self._table[index, 0], BACKGROUND_SLOT)
        return slots

    def active_in_plane(self, x: int) -> Indices:
        """The linear indices, sorted, of the active leaves with this x coordinate, whoever computes them."""
        stride = self.box.shape[1] * self.box.shape[2]
        here = self._table[x * stride : (x + 1) * stride, 0]
        return (np.flatnonzero(here != BACKGROUND_SLOT) + x * stride).astype(np.int32)

    def order(self) -> Indices:
        """The ranges (first, count) of all, interior, low and high own leaves, then the slots of own leaves and halo.

        Returns:
            shape (8 + capacity,).
        """
        order = np.zeros(ORDER_HEADER + self.capacity, np.int32)
        both = np.concatenate((self.own, self.halo))
        order[ORDER_HEADER : ORDER_HEADER + len(both)] = self._table[both, 0]
        order[1] = len(self.own)
        if self._interior is not None:
            first, stop = self._interior
            low, high = np.searchsorted(self.box.planes(self.own), (first, max(first, stop))).tolist()
            order[2:ORDER_HEADER] = low, high - low, 0, low, high, len(self.own) - high
        return order

    def records(self) -> Indices:
        """For each slot the slots of the 27 leaves around, its leaf's coordinates and its linear index.

        A leaf that is not held counts as background here, be it active elsewhere or not.

        Returns:
            shape (capacity, 32), read-only, and valid until other leaves are held; zeros for slots without a leaf, but
            that the last number of slot 0 counts the leaves that are held.
        """
        return _read_only(self._records)

    def _rewrite(self, changed: Indices) -> None:
        """Bring the records of all held leaves up to date that have one of these leaves around them."""
        around = self.box.neighbours(changed)
        near = np.zeros(self.box.count, np.bool_)
        near[around[around >= 0]] = True
        stale = self._held[near[self._held]]
        around = self.box.neighbours(stale)
        found = self._table[:, 0][around]
        np.maximum(found, BACKGROUND_SLOT, out=found)
        found[around < 0] = BACKGROUND_SLOT
        slots = self._table[stale, 0]
        self._records[slots, :27] = found
        self._records[slots, 27:30] = self.box.coords(stale)
        self._records[slots, 30] = stale

    def table(self) -> Indices:
        """For each leaf of the box its slot and that of the next leaf along z by the boundary rule.

        0: not active, or beyond an open end; -1: active on another device and not held here.

        Returns:
            shape (leaves, 2), read-only, and valid until other leaves are held.
        """
        return _read_only(self._table)


def _read_only(array: Indices) -> Indices:
    view = array.view()
    view.flags.writeable = False
    return view
