# SPDX-License-Identifier: GPL-3.0-or-later
"""The count of what a queue has finished: a timeline semaphore, which is never waited for without an end."""

from __future__ import annotations

from ..faults import fault
from .binding import ffi, lib, vk
from .device import Device
from .lifetime import Lifetime

__all__ = ["Timeline"]


class Timeline:
    """A timeline semaphore at 0.

    Attributes:
        handle: of the semaphore.
    """

    def __init__(self, device: Device, lifetime: Lifetime) -> None:
        self._device = device.handle
        timeline = vk.VkSemaphoreTypeCreateInfo(semaphoreType=vk.VK_SEMAPHORE_TYPE_TIMELINE, initialValue=0)
        self.handle = lifetime.own(
            "semaphore",
            vk.vkCreateSemaphore(self._device, vk.VkSemaphoreCreateInfo(pNext=timeline), None),
            lambda h: vk.vkDestroySemaphore(self._device, h, None),
        )
        self._semaphores = ffi.new("VkSemaphore[1]", [self.handle])

    def wait(self, value: int, nanoseconds: int) -> int:
        """Wait so long at most; the VkResult: success, timeout, or an error. Several threads may wait at once."""
        if fault("device.slow"):
            return int(vk.VK_TIMEOUT)
        if fault("device.gone"):
            return int(vk.VK_ERROR_DEVICE_LOST)
        values = ffi.new("uint64_t[1]", [value])
        info = ffi.new("VkSemaphoreWaitInfo*")
        info.sType = vk.VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO
        info.semaphoreCount = 1
        info.pSemaphores = self._semaphores
        info.pValues = values
        return int(lib.vkWaitSemaphores(self._device, info, nanoseconds))

    def reached(self) -> int:
        """The value now; 0 where the device does not tell."""
        value = ffi.new("uint64_t*")
        result = lib.vkGetSemaphoreCounterValue(self._device, self.handle, value)
        return int(value[0]) if result == vk.VK_SUCCESS else 0
