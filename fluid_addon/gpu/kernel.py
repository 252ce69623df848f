# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute pipelines, all of one layout, and their cache on disk."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from ..diagnostics import fail
from .binding import DISPATCH_BASE, ffi, lib, vk
from .device import Device, DeviceInfo
from .disk_cache import read_cached, write_cached
from .lifetime import Lifetime
from .refusal import refusals
from .structure import counts_workgroups

__all__ = ["Kernel", "KernelLibrary"]

MAKERS = 2  # threads: while drivers take kernels in, the next ones are generated


class Kernel:
    """A compute pipeline under the artist's name for it, made in the background. Owned by its library.

    Attributes:
        counts_groups: it asks how many workgroups a dispatch has, so that pieces of one are whole layers of them.
        seconds_per_group: what a workgroup takes at most, as far as it was seen; None before a large dispatch has run.
        sure: it was seen more than once.
    """

    def __init__(self, name: str, made: Future[Any], workgroup: tuple[int, int, int], counts_groups: bool) -> None:
        self.name, self._made, self.workgroup, self.counts_groups = name, made, workgroup, counts_groups
        self.seconds_per_group: float | None = None
        self.sure = False

    def took(self, seconds_per_group: float, anew: bool = False) -> None:
        """It was seen to take so long; `anew`: it did otherwise before. The shorter time of several counts."""
        known = None if anew else self.seconds_per_group
        self.sure = known is not None
        self.seconds_per_group = seconds_per_group if known is None else min(known, seconds_per_group)

    @property
    def pipeline(self) -> Any:
        """The Vulkan handle; waits until it is there.

        Raises:
            FluidError: `device-feature` when the driver refused the kernel, `device-memory`, `device-lost`.
        """
        return self._made.result()

    def groups(self, extent: tuple[int, int, int]) -> tuple[int, int, int]:
        """Workgroups that cover `extent` invocations."""
        x, y, z = (-(-e // w) for e, w in zip(extent, self.workgroup, strict=True))
        return x, y, z


def _cache_name(info: DeviceInfo) -> str:
    key = f"{info.vendor_id}:{info.device_id}:{info.driver_version}:{info.driver}:{info.cache_uuid.hex()}"
    return hashlib.sha256(key.encode()).hexdigest()[:32] + ".pipelines"


class KernelLibrary:
    """Makes kernels for one device.

    Every kernel sees the same two uniform blocks: binding 0, the constants of a step; binding 1, at a dynamic offset,
    the addresses of its buffers. Specialisation constants 0, 1, 2 are the workgroup size, the rest are the caller's.

    Args:
        cache: folder for pipeline caches keyed by device and driver; None keeps nothing.
    """

    def __init__(self, device: Device, cache: Path | None = None) -> None:
        self.device, self._cache = device, cache
        self._lifetime, self._pipelines = Lifetime(), Lifetime()
        self._makers = ThreadPoolExecutor(MAKERS, "fluid kernels")
        self._made: list[Future[Any]] = []
        try:
            with refusals(device, "the layout of kernels"):
                self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        handle = self.device.handle
        bindings = [
            vk.VkDescriptorSetLayoutBinding(
                binding=index, descriptorType=kind, descriptorCount=1, stageFlags=vk.VK_SHADER_STAGE_COMPUTE_BIT
            )
            for index, kind in enumerate(
                (vk.VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, vk.VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC)
            )
        ]
        self.set_layout = self._lifetime.own(
            "set layout",
            vk.vkCreateDescriptorSetLayout(handle, vk.VkDescriptorSetLayoutCreateInfo(pBindings=bindings), None),
            lambda h: vk.vkDestroyDescriptorSetLayout(handle, h, None),
        )
        self.layout = self._lifetime.own(
            "pipeline layout",
            vk.vkCreatePipelineLayout(handle, vk.VkPipelineLayoutCreateInfo(pSetLayouts=[self.set_layout]), None),
            lambda h: vk.vkDestroyPipelineLayout(handle, h, None),
        )
        self._stored = self._read_cache()
        self._pipeline_cache = self._lifetime.own(
            "pipeline cache", self._make_cache(self._stored), lambda h: vk.vkDestroyPipelineCache(handle, h, None)
        )

    def _read_cache(self) -> bytes:
        info = self.device.info
        stored = read_cached(self._cache, _cache_name(info)) or b""
        # Drivers should check the header themselves; some crash instead (Vulkan 1.3 §10.7.5, header version one).
        fits = len(stored) >= 32 and stored[16:32] == info.cache_uuid
        fits = fits and int.from_bytes(stored[8:12], "little") == info.vendor_id
        return stored if fits and int.from_bytes(stored[12:16], "little") == info.device_id else b""

    def _make_cache(self, stored: bytes) -> Any:
        data = ffi.from_buffer(stored) if stored else None
        info = vk.VkPipelineCacheCreateInfo(initialDataSize=len(stored), pInitialData=data)
        return vk.vkCreatePipelineCache(self.device.handle, info, None)

    def make(
        self, name: str, spirv: bytes, workgroup: tuple[int, int, int], constants: dict[int, int] | None = None
    ) -> Kernel:
        """A kernel from SPIR-V whose entry point is `main`.

        Args:
            workgroup: invocations per workgroup, for the specialisation constants 0, 1, 2.
            constants: further 32-bit specialisation constants by id.

        Raises:
            FluidError: `device-feature` when the workgroup is too large for the device. A refusal of the driver shows
                when the kernel is first encoded.
        """
        info = self.device.info
        fits = all(w <= m for w, m in zip(workgroup, info.max_workgroup, strict=True))
        if not fits or workgroup[0] * workgroup[1] * workgroup[2] > info.max_workgroup_invocations:
            raise fail("device-feature", f'The workgroup {workgroup} of "{name}" is too large for "{info.name}".')
        values = dict(enumerate(workgroup)) | (constants or {})
        made = self._makers.submit(self._create, name, spirv, values)
        self._made.append(made)
        self._pipelines.own("pipeline", made, self._destroy)
        return Kernel(name, made, workgroup, counts_workgroups(spirv))

    def _create(self, name: str, spirv: bytes, values: dict[int, int]) -> Any:
        entries = [
            vk.VkSpecializationMapEntry(constantID=key, offset=4 * slot, size=4) for slot, key in enumerate(values)
        ]
        data = b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in values.values())
        buffer = ffi.from_buffer(data)
        special = vk.VkSpecializationInfo(pMapEntries=entries, dataSize=len(data), pData=buffer)
        handle = self.device.handle
        with refusals(self.device, f'the kernel "{name}"', "device.pipeline"):
            code = vk.VkShaderModuleCreateInfo(codeSize=len(spirv), pCode=spirv)
            module = vk.vkCreateShaderModule(handle, code, None)
            try:
                stage = vk.VkPipelineShaderStageCreateInfo(
                    stage=vk.VK_SHADER_STAGE_COMPUTE_BIT, module=module, pName="main", pSpecializationInfo=special
                )
                # Any workgroup may be the first, for long dispatches run in pieces.
                create = vk.VkComputePipelineCreateInfo(flags=DISPATCH_BASE, stage=stage, layout=self.layout)
                pipeline = vk.vkCreateComputePipelines(handle, self._pipeline_cache, 1, [create], None)[0]
            finally:
                vk.vkDestroyShaderModule(handle, module, None)
        self.device.label(vk.VK_OBJECT_TYPE_PIPELINE, pipeline, name)
        return pipeline

    def _destroy(self, made: Future[Any]) -> None:
        if not made.cancelled() and made.exception() is None:
            vk.vkDestroyPipeline(self.device.handle, made.result(), None)

    def save(self) -> None:
        """Write the pipeline cache to disk if it grew."""
        if self._cache is None:
            return
        wait(self._made)
        size = ffi.new("size_t*")  # through the library itself: the binding leaves this function out
        lib.vkGetPipelineCacheData(self.device.handle, self._pipeline_cache, size, ffi.NULL)
        data = ffi.new("char[]", size[0])
        result = lib.vkGetPipelineCacheData(self.device.handle, self._pipeline_cache, size, data)
        content = bytes(ffi.buffer(data, size[0]))
        if result == vk.VK_SUCCESS and content != self._stored:
            write_cached(self._cache, _cache_name(self.device.info), content)

    def close(self) -> None:
        self._makers.shutdown(cancel_futures=True)
        self._pipelines.close()
        self._lifetime.close()
