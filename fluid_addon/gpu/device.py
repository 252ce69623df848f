# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices: what there is, which one a run takes, and the open device with its queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..diagnostics import FluidError, did_you_mean, fail
from .binding import ffi, no_vulkan, vk
from .instance import Instance
from .lifetime import Lifetime, Owned, close_left
from .refusal import refusals

__all__ = ["Device", "DeviceInfo", "choose", "choose_several", "list_devices"]

#: What a kernel needs; everything else is optional and asked for before it is used.
REQUIRED_FEATURES = (
    "timelineSemaphore",
    "bufferDeviceAddress",
    "scalarBlockLayout",
    "synchronization2",
    "maintenance4",
)
KINDS = {1: "integrated", 2: "discrete", 3: "virtual", 4: "software"}
PREFERENCE = ("discrete", "integrated", "virtual", "software", "other")
BUDGET = "VK_EXT_memory_budget"
PORTABILITY_SUBSET = "VK_KHR_portability_subset"


@dataclass(frozen=True)
class DeviceInfo:
    """A Vulkan device of this machine. Sizes are in bytes."""

    index: int
    name: str
    kind: str
    driver: str
    driver_version: int
    api: tuple[int, int]
    vendor_id: int
    device_id: int
    cache_uuid: bytes
    missing: tuple[str, ...]
    half_storage: bool
    int64: bool
    memory: int
    max_buffer: int
    max_allocation: int
    max_uniform_range: int
    uniform_alignment: int
    max_workgroup: tuple[int, int, int]
    max_workgroup_invocations: int
    max_groups: tuple[int, int, int]

    @property
    def usable(self) -> bool:
        return self.api >= (1, 3) and not self.missing

    @property
    def why_not(self) -> str:
        """Why a run cannot take this device; empty when it can."""
        if self.api < (1, 3):
            return f"it offers Vulkan {self.api[0]}.{self.api[1]}, and 1.3 is needed"
        return f"it lacks {', '.join(self.missing)}" if self.missing else ""


def _query(physical: Any, index: int) -> DeviceInfo:
    maintenance4 = vk.VkPhysicalDeviceMaintenance4Properties()
    maintenance3 = vk.VkPhysicalDeviceMaintenance3Properties(pNext=maintenance4)
    driver = vk.VkPhysicalDeviceDriverProperties(pNext=maintenance3)
    properties2 = vk.VkPhysicalDeviceProperties2(pNext=driver)
    vk.vkGetPhysicalDeviceProperties2(physical, ffi.addressof(properties2))
    properties = properties2.properties
    limits = properties.limits
    api = (properties.apiVersion >> 22, (properties.apiVersion >> 12) & 0x3FF)
    features13 = vk.VkPhysicalDeviceVulkan13Features()
    features12 = vk.VkPhysicalDeviceVulkan12Features(pNext=features13)
    features11 = vk.VkPhysicalDeviceVulkan11Features(pNext=features12)
    features = vk.VkPhysicalDeviceFeatures2(pNext=features11)
    vk.vkGetPhysicalDeviceFeatures2(physical, ffi.addressof(features))
    missing = tuple(
        name
        for name in REQUIRED_FEATURES
        if not (getattr(features12, name) if hasattr(features12, name) else getattr(features13, name))
    )
    heaps = vk.vkGetPhysicalDeviceMemoryProperties(physical)
    local = [heaps.memoryHeaps[i] for i in range(heaps.memoryHeapCount)]
    memory = max(h.size for h in local if h.flags & vk.VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
    return DeviceInfo(
        index=index,
        name=_text(properties.deviceName),
        kind=KINDS.get(properties.deviceType, "other"),
        driver=f"{_text(driver.driverName)} {_text(driver.driverInfo)}".strip(),
        driver_version=properties.driverVersion,
        api=api,
        vendor_id=properties.vendorID,
        device_id=properties.deviceID,
        cache_uuid=bytes(properties.pipelineCacheUUID),
        missing=missing,
        half_storage=bool(features11.storageBuffer16BitAccess),
        int64=bool(features.features.shaderInt64),
        memory=memory,
        max_buffer=maintenance4.maxBufferSize,
        max_allocation=maintenance3.maxMemoryAllocationSize,
        max_uniform_range=limits.maxUniformBufferRange,
        uniform_alignment=limits.minUniformBufferOffsetAlignment,
        max_workgroup=tuple(limits.maxComputeWorkGroupSize),
        max_workgroup_invocations=limits.maxComputeWorkGroupInvocations,
        max_groups=tuple(limits.maxComputeWorkGroupCount),
    )


def _text(characters: Any) -> str:
    return characters if isinstance(characters, str) else ffi.string(characters).decode("utf-8", "replace")


def _enumerate(instance: Instance) -> list[Any]:
    try:
        found = list(vk.vkEnumeratePhysicalDevices(instance.handle))
    except vk.VkErrorInitializationFailed:
        found = []
    if not found:
        raise no_vulkan("the loader is there, but no driver of a device")
    return found


def list_devices() -> list[DeviceInfo]:
    """The Vulkan devices of this machine in the loader's order, usable or not.

    Raises:
        FluidError: `no-vulkan` when there is no loader or no driver.
    """
    instance = Instance(validation=False)
    try:
        return [_query(physical, index) for index, physical in enumerate(_enumerate(instance))]
    finally:
        instance.close()


def choose(devices: list[DeviceInfo], wanted: int | str | None) -> DeviceInfo:
    """The device that a run takes: `wanted` by index or part of its name, else discrete, integrated, software.

    Raises:
        FluidError: `no-device` when none fits or the wanted one cannot run kernels.
    """
    if wanted is None or wanted == "":
        usable = sorted((d for d in devices if d.usable), key=lambda d: (PREFERENCE.index(d.kind), d.index))
        if usable:
            return usable[0]
        reasons = "; ".join(f'"{d.name}": {d.why_not}' for d in devices)
        raise fail("no-device", f"No Vulkan device can run kernels ({reasons}).", "Update the graphics driver.")
    text = str(wanted)
    if text.isdigit():
        matches = [d for d in devices if d.index == int(text)]
    else:
        whole = [d for d in devices if text.lower() == d.name.lower()]  # "RTX 9090" is part of "RTX 9090 Ti"
        matches = whole or [d for d in devices if text.lower() in d.name.lower()]
    if not matches:
        names = [d.name for d in devices]
        listed = ", ".join(f'{d.index} "{d.name}"' for d in devices)
        close = did_you_mean(text, names) or ""
        hint = close if close.startswith("Did") else f"This machine has: {listed}."
        raise fail("no-device", f'There is no device "{text}".', hint)
    if not matches[0].usable:
        raise fail("no-device", f'The device "{matches[0].name}" cannot run kernels: {matches[0].why_not}.')
    return matches[0]


def choose_several(devices: list[DeviceInfo], wanted: int | str | None, count: int) -> list[DeviceInfo]:
    """The devices that a run on `count` of them takes: the one that `choose` takes, then others as good as that.

    As good are those of the wanted name, or where none is wanted those of the same kind; an index names a single one.
    Where there are fewer than `count`, they are taken again: several logical devices are opened on each.

    Raises:
        FluidError: `no-device`.
    """
    first = choose(devices, wanted)
    text = "" if wanted is None else str(wanted)
    if text.isdigit():
        alike = [first]
    elif text:
        alike = [d for d in devices if d.usable and text.lower() in d.name.lower()]
    else:
        alike = [d for d in devices if d.usable and d.kind == first.kind]
    ordered = [first, *(d for d in alike if d.index != first.index)]
    return [ordered[number % len(ordered)] for number in range(count)]


class Device:
    """An open device: logical device, one compute queue, memory heaps.

    Args:
        wanted: index, part of a name, or None for the best one.
        validation: None follows FLUID_SCRIPT_VALIDATION.

    Attributes:
        owned: its buffers that are not closed yet.
        refused: why it takes no further work: it was lost, or has no memory left for something.

    Raises:
        FluidError: `no-vulkan`, `no-device`; `device-memory`, `device-feature` where its driver refuses.
    """

    def __init__(self, wanted: int | str | None = None, validation: bool | None = None) -> None:
        self.instance = Instance(validation)
        self.lifetime = Lifetime()
        self.owned: dict[Owned, None] = {}
        self.refused: FluidError | None = None
        try:
            physicals = _enumerate(self.instance)
            self.info = choose([_query(p, i) for i, p in enumerate(physicals)], wanted)
            self.physical = physicals[self.info.index]
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        families = vk.vkGetPhysicalDeviceQueueFamilyProperties(self.physical)
        self.queue_family = next(i for i, f in enumerate(families) if f.queueFlags & vk.VK_QUEUE_COMPUTE_BIT)
        offered = {e.extensionName for e in vk.vkEnumerateDeviceExtensionProperties(self.physical, None)}
        self.has_budget = BUDGET in offered
        extensions = [name for name in (BUDGET, PORTABILITY_SUBSET) if name in offered]
        queue = vk.VkDeviceQueueCreateInfo(queueFamilyIndex=self.queue_family, pQueuePriorities=[1.0])
        features13 = vk.VkPhysicalDeviceVulkan13Features(synchronization2=1, maintenance4=1)
        features12 = vk.VkPhysicalDeviceVulkan12Features(
            pNext=features13, timelineSemaphore=1, bufferDeviceAddress=1, scalarBlockLayout=1
        )
        features11 = vk.VkPhysicalDeviceVulkan11Features(
            pNext=features12, storageBuffer16BitAccess=int(self.info.half_storage)
        )
        optional = vk.VkPhysicalDeviceFeatures(shaderInt64=int(self.info.int64))
        info = vk.VkDeviceCreateInfo(
            pNext=features11,
            pQueueCreateInfos=[queue],
            ppEnabledExtensionNames=extensions,
            pEnabledFeatures=optional,
        )
        with refusals(self, "another program", "device.open"):
            handle = vk.vkCreateDevice(self.physical, info, None)
        self.handle = self.lifetime.own("device", handle, lambda h: vk.vkDestroyDevice(h, None))
        self.queue = vk.vkGetDeviceQueue(handle, self.queue_family, 0)
        heaps = vk.vkGetPhysicalDeviceMemoryProperties(self.physical)
        self.memory_types = [
            (heaps.memoryTypes[i].propertyFlags, heaps.memoryTypes[i].heapIndex) for i in range(heaps.memoryTypeCount)
        ]
        self.heap_sizes = [heaps.memoryHeaps[i].size for i in range(heaps.memoryHeapCount)]

    def free_bytes(self, heap: int) -> int:
        """Bytes that this process may still allocate from a memory heap, as the driver estimates it now."""
        if not self.has_budget:
            return int(self.heap_sizes[heap])
        budget = vk.VkPhysicalDeviceMemoryBudgetPropertiesEXT()
        properties = vk.VkPhysicalDeviceMemoryProperties2(pNext=budget)
        vk.vkGetPhysicalDeviceMemoryProperties2(self.physical, ffi.addressof(properties))
        return max(0, int(budget.heapBudget[heap]) - int(budget.heapUsage[heap]))

    def label(self, kind: int, handle: Any, name: str) -> None:
        """Give a Vulkan object the artist's own name, for validation messages and GPU debuggers."""
        if self.instance.validation:
            setter = vk.vkGetInstanceProcAddr(self.instance.handle, "vkSetDebugUtilsObjectNameEXT")
            number = int(ffi.cast("uint64_t", handle))
            setter(
                self.handle, vk.VkDebugUtilsObjectNameInfoEXT(objectType=kind, objectHandle=number, pObjectName=name)
            )

    def close(self) -> None:
        """Release the device and its instance, and what an error on the way has left of its buffers."""
        close_left(self.owned)
        self.lifetime.close()
        self.instance.close()
