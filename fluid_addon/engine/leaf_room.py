# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether larger pools of active leaves fit into the devices' memory: asked of all before any of them is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..diagnostics import FluidError, fail, human_bytes
from ..gpu.device import Device, DeviceInfo
from ..gpu.memory import free_bytes
from .domain import MAX_VOXELS
from .field import Field
from .part import Part
from .places import leaf_edge
from .topology import Topology

__all__ = ["Taken", "check_room"]

_HINT = 'Raise "above" of sim:activate, make its margin smaller, use 16-bit formats, or a smaller domain.'


@dataclass
class Taken:
    """Memory of one device while buffers grow.

    Attributes:
        now, most: bytes more than at the start, at this point and at the worst one.
    """

    device: Device
    leaves: int = 0
    now: int = 0
    most: int = 0

    def replace(self, old: int, new: int) -> None:
        """The new one is there before the old one goes, because it takes over what that holds."""
        self.most = max(self.most, self.now + new)
        self.now += new - old

    def change(self, old: int, new: int) -> None:
        """The old one goes first."""
        self.now += new - old
        self.most = max(self.most, self.now)

    def lack(self) -> str:
        """What there is too little of, in words; empty where there is enough."""
        free = free_bytes(self.device) if self.most else 0
        return f"{human_bytes(self.most)} more, and {human_bytes(free)} are free" if self.most > free else ""


def check_room(
    wanted: Iterable[tuple[Part, int]],
    fields: Mapping[str, Field],
    beside: int,
    solvers: Callable[[Topology, int], int],
) -> None:
    """Refuse pools that do not fit.

    Args:
        wanted: the parts, in the order in which they will grow, and the slots that each has to hold.
        beside: bytes a slot of what is neither a field nor part of the topology, but grows with them.
        solvers: bytes that solvers take more than now once a topology has so many slots.

    Raises:
        FluidError: `domain-too-large`; nothing is changed.
    """
    devices: dict[int, Taken] = {}
    for part, slots in wanted:
        topology = part.topology
        assert topology is not None, "a sparse simulation has topologies"
        taken = devices.setdefault(part.device.info.index, Taken(part.device))
        taken.leaves += slots - 1
        capacity = topology.pool.capacity_for(slots)
        if capacity == topology.capacity:
            continue
        more = capacity - topology.capacity
        box = topology.pool.box
        taken.change(Topology.bytes_for(box, topology.capacity), Topology.bytes_for(box, capacity))
        for field, sides in part.stored(fields):
            size = capacity * part.slot_bytes(field)
            info = part.device.info
            if (
                size > min(info.max_buffer, info.max_allocation)
                or capacity * leaf_edge(field.resolution) ** 3 > MAX_VOXELS
            ):
                raise _too_large(info, slots - 1, f'"{field.name}" would be too long for one piece of memory')
            buffers = part.buffers.get(field.name, [])
            for side in range(sides):
                if side < len(buffers):
                    taken.replace(buffers[side].allocated, size)
                else:
                    taken.change(0, size)
        taken.change(0, more * beside + solvers(topology, capacity))
    for taken in devices.values():
        if lack := taken.lack():
            raise _too_large(taken.device.info, taken.leaves, f"they need {lack}")


def _too_large(info: DeviceInfo, leaves: int, why: str) -> FluidError:
    return fail("domain-too-large", f'"{info.name}" cannot hold {leaves:,} active leaves: {why}.', _HINT)
