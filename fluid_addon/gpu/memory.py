# SPDX-License-Identifier: GPL-3.0-or-later
"""Buffers, and the plan that is held against the device's free memory before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail, human_bytes
from ..faults import fault
from .binding import BUFFER_DEVICE_ADDRESS, MEMORY_DEVICE_ADDRESS, ffi, lib, vk
from .device import Device
from .lifetime import Lifetime
from .refusal import lost_device, out_of_memory

__all__ = ["Buffer", "MemoryPlan", "Residence", "check_plan", "free_bytes"]

_WHOLE_SIZE = 0xFFFFFFFFFFFFFFFF  # the binding's VK_WHOLE_SIZE is -1


class Residence(Enum):
    """Where a buffer lives."""

    DEVICE = "device"
    UPLOAD = "upload"  # the host writes, the device reads
    READBACK = "readback"  # the device writes, the host reads: cached, or reading is slow


def _memory_type(device: Device, allowed: int, residence: Residence) -> int:
    visible = vk.VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT
    coherent = vk.VK_MEMORY_PROPERTY_HOST_COHERENT_BIT
    cached = vk.VK_MEMORY_PROPERTY_HOST_CACHED_BIT
    wishes = {
        Residence.DEVICE: (vk.VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0),
        Residence.UPLOAD: (visible | coherent,),
        Residence.READBACK: (visible | cached | coherent, visible | cached, visible | coherent),
    }[residence]
    for wish in wishes:
        for index, (flags, _heap) in enumerate(device.memory_types):
            if allowed >> index & 1 and flags & wish == wish:
                return index
    raise fail("device-feature", f'The device "{device.info.name}" has no memory for {residence.value} buffers.')


@dataclass(frozen=True)
class MemoryPlan:
    """What a run will allocate: rows of (name, bytes, residence)."""

    rows: tuple[tuple[str, int, Residence], ...]

    def total(self, *residences: Residence) -> int:
        """Bytes over the given residences, or over all."""
        return sum(size for _, size, where in self.rows if not residences or where in residences)

    def table(self) -> str:
        """The plan as text, one row a line."""
        width = max((len(name) for name, _, _ in self.rows), default=5)
        lines = [f"{name:<{width}}  {human_bytes(size):>10}  {where.value}" for name, size, where in self.rows]
        lines.append(f"{'total':<{width}}  {human_bytes(self.total()):>10}")
        return "\n".join(lines)


def free_bytes(device: Device) -> int:
    """Bytes that buffers of a device may still take, as its driver estimates it now."""
    return device.free_bytes(device.memory_types[_memory_type(device, 0xFFFFFFFF, Residence.DEVICE)][1])


def check_plan(device: Device, plan: MemoryPlan, allocated: int = 0) -> None:
    """Refuse a plan that the device cannot hold.

    Args:
        allocated: bytes of the plan that this engine holds already.

    Raises:
        FluidError: `domain-too-large`, with both numbers and the largest consumers.
    """
    info = device.info
    for name, size, _ in plan.rows:
        limit = min(info.max_buffer, info.max_allocation)
        if size > limit:
            raise fail(
                "domain-too-large",
                f'"{name}" needs {human_bytes(size)} in one piece, "{info.name}" allows {human_bytes(limit)}.',
                "Make domain_size smaller, or use a 16-bit format.",
            )
    shared = len(device.heap_sizes) == 1
    needed = plan.total() if shared else plan.total(Residence.DEVICE)
    free = free_bytes(device) + allocated
    if needed > free:
        largest = sorted(plan.rows, key=lambda row: -row[1])[:3]
        listed = ", ".join(f'"{name}" {human_bytes(size)}' for name, size, _ in largest)
        raise fail(
            "domain-too-large",
            f'The simulation needs {human_bytes(needed)}, {human_bytes(free)} free on "{info.name}".',
            f"Make domain_size smaller, or use 16-bit formats; the largest parts are {listed}.",
        )


class Buffer:
    """A named piece of memory with an address that kernels follow.

    Args:
        name: the artist's own name, shown in errors and validation messages.
        size: bytes, at least 1.
        uniform: the buffer is read through a uniform block.

    Attributes:
        address: device address (0 for uniform buffers).
        host: bytes as the host sees them, or None for device memory.

    Raises:
        FluidError: `device-memory` when the driver refuses.
    """

    def __init__(
        self, device: Device, name: str, size: int, residence: Residence = Residence.DEVICE, uniform: bool = False
    ) -> None:
        self.device, self.name, self.size, self.residence = device, name, size, residence
        self._lifetime = Lifetime()
        device.owned[self] = None
        usage = vk.VK_BUFFER_USAGE_TRANSFER_SRC_BIT | vk.VK_BUFFER_USAGE_TRANSFER_DST_BIT
        if uniform:
            usage |= vk.VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT
        else:
            usage |= vk.VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | BUFFER_DEVICE_ADDRESS
        try:
            self._allocate(usage, not uniform)
        except vk.VkErrorDeviceLost as error:
            self.close()
            raise lost_device(device, f'when it was to hold "{name}"') from error
        except vk.VkError as error:  # of memory or of its address space; too many pieces; no room to map it
            self.close()
            raise out_of_memory(device, f'refused {human_bytes(size)} for "{name}"') from error
        except BaseException:
            self.close()
            raise
        device.label(vk.VK_OBJECT_TYPE_BUFFER, self.handle, name)

    def _allocate(self, usage: int, addressed: bool) -> None:
        device = self.device.handle
        info = vk.VkBufferCreateInfo(size=self.size, usage=usage, sharingMode=vk.VK_SHARING_MODE_EXCLUSIVE)
        self.handle = self._lifetime.own(
            "buffer", vk.vkCreateBuffer(device, info, None), lambda h: vk.vkDestroyBuffer(device, h, None)
        )
        needs = vk.vkGetBufferMemoryRequirements(device, self.handle)
        kind = _memory_type(self.device, needs.memoryTypeBits, self.residence)
        flags = vk.VkMemoryAllocateFlagsInfo(flags=MEMORY_DEVICE_ADDRESS)
        if fault("memory.allocate"):
            raise vk.VkErrorOutOfDeviceMemory()
        allocation = vk.VkMemoryAllocateInfo(
            pNext=flags if addressed else None, allocationSize=needs.size, memoryTypeIndex=kind
        )
        self._memory = self._lifetime.own(
            "memory", vk.vkAllocateMemory(device, allocation, None), lambda h: vk.vkFreeMemory(device, h, None)
        )
        self.allocated = int(needs.size)
        vk.vkBindBufferMemory(device, self.handle, self._memory, 0)
        self.address = 0
        if addressed:  # the binding's own wrapper returns the struct instead of the address
            where = ffi.new("VkBufferDeviceAddressInfo*", vk.VkBufferDeviceAddressInfo(buffer=self.handle))
            self.address = int(lib.vkGetBufferDeviceAddress(device, where))
        self.host: npt.NDArray[np.uint8] | None = None
        self._coherent = bool(self.device.memory_types[kind][0] & vk.VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
        if self.residence is not Residence.DEVICE:
            if fault("memory.host"):
                raise vk.VkErrorMemoryMapFailed()
            mapped: Any = vk.vkMapMemory(device, self._memory, 0, self.size, 0)
            self.host = np.frombuffer(mapped, dtype=np.uint8, count=self.size)

    def invalidate(self) -> None:
        """Make what the device wrote visible to the host, where memory is not coherent."""
        if not self._coherent:
            whole = vk.VkMappedMemoryRange(memory=self._memory, offset=0, size=_WHOLE_SIZE)
            vk.vkInvalidateMappedMemoryRanges(self.device.handle, 1, [whole])

    def close(self) -> None:
        self.device.owned.pop(self, None)
        self.host = None
        self._lifetime.close()

    def __repr__(self) -> str:
        return f"<{self.name}: {human_bytes(self.size)} {self.residence.value}>"
