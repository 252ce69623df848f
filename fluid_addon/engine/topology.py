# SPDX-License-Identifier: GPL-3.0-or-later
"""The active leaves of a part of a domain as its device sees them: three buffers that follow a `LeafPool`."""

from __future__ import annotations

from ..gpu.device import Device
from ..gpu.execution import Execution
from ..gpu.memory import Buffer
from .leaves import Indices, LeafBox, LeafPool, PoolChange

__all__ = ["Topology"]

LAYER = 1024  # leaves, at most: long dispatches are cut between layers


class Topology:
    """The leaf order, the leaf records and the leaf table on one device.

    Attributes:
        order, records, table: replaced when the pool grows.
        version: grows whenever they were replaced, so that recordings are to be encoded anew.
        changed: grows whenever other leaves are active.
    """

    def __init__(self, device: Device, execution: Execution, box: LeafBox) -> None:
        self._device, self._execution = device, execution
        self.pool = LeafPool(box)
        self.version = self.changed = 0
        self.table = Buffer(device, "leaf table", self.pool.table().nbytes)
        self._make()
        self._upload()

    def _make(self) -> None:
        self.order = Buffer(self._device, "leaf order", self.pool.order().nbytes)
        self.records = Buffer(self._device, "leaf records", self.pool.records().nbytes)

    @property
    def capacity(self) -> int:
        """Slots, that of the background included."""
        return self.pool.capacity

    @property
    def workgroups(self) -> tuple[int, int]:
        """Along y and z, where there is one for each slot: layers of them, the last of which may have some too many."""
        layers = -(-self.capacity // LAYER)
        return -(-self.capacity // layers), layers

    @property
    def count(self) -> int:
        """Active leaves that this device computes."""
        return len(self.pool.own)

    @property
    def box_leaves(self) -> tuple[int, int, int]:
        """Leaves of the whole domain along x, y, z, active or not."""
        return self.pool.box.shape

    def hold(self, own: Indices, halo: Indices, elsewhere: Indices, interior: tuple[int, int] | None) -> PoolChange:
        """Hold these leaves; nothing may be under way that reads the old ones."""
        change = self.pool.hold(own, halo, elsewhere, interior)
        if change.grown:
            self.order.close()
            self.records.close()
            self._make()
            self.version += 1
        self._upload()
        self.changed += 1
        return change

    def _upload(self) -> None:
        for buffer, content in (
            (self.order, self.pool.order()),
            (self.records, self.pool.records()),
            (self.table, self.pool.table()),
        ):
            self._execution.upload(buffer, content)

    @property
    def allocated(self) -> int:
        return self.order.allocated + self.records.allocated + self.table.allocated

    @staticmethod
    def bytes_for(box: LeafBox, capacity: int) -> int:
        """What the buffers take."""
        return 8 * box.count + 4 * (8 + capacity) + 128 * capacity

    def close(self) -> None:
        for buffer in (self.order, self.records, self.table):
            buffer.close()
