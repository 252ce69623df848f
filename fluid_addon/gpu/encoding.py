# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings as command buffers, with the tables of addresses that their kernels follow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..diagnostics import fail
from .binding import ffi, lib, vk
from .device import Device
from .kernel import KernelLibrary
from .lifetime import Lifetime, Owned
from .memory import Buffer, Residence
from .pacing import is_paced, is_sure, submissions
from .recording import Barrier, Command, Copy, CopyRegions, Dispatch, Recording
from .refusal import refusals

__all__ = ["Encoded", "Encoder"]

_Offsets = dict[tuple[tuple[tuple[str, Buffer], ...], tuple[int, ...]], int]


class Encoded:
    """A recording that can be submitted.

    Attributes:
        submissions: a command buffer for each; None while it is not known how long the recording takes.
        ticket: of the last time that it was submitted; 0 before.
        too_long: one of its submissions was seen to take longer than it should.
        unsure: it is cut by times that were taken only once.
    """

    def __init__(self, recording: Recording, owner: dict[Owned, None]) -> None:
        self.recording, self.name, self._owner = recording, recording.name, owner
        owner[self] = None
        self.submissions: list[Any] | None = None
        self.ticket = 0
        self.too_long = False
        self.unsure = False
        self.offsets: _Offsets = {}
        self.descriptors: Any = None
        self.lifetime = Lifetime()
        self.commands = Lifetime()

    def close(self) -> None:
        """Release it; it is not under way."""
        self._owner.pop(self, None)
        self.commands.close()
        self.lifetime.close()


class Encoder:
    """Encodes for one queue.

    Args:
        constants: the uniform block that every kernel sees at binding 0.
    """

    def __init__(self, device: Device, kernels: KernelLibrary, lifetime: Lifetime, constants: Buffer) -> None:
        self._device, self._kernels, self._constants = device, kernels, constants
        handle = device.handle
        flags = vk.VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT
        self._pool = lifetime.own(
            "command pool",
            vk.vkCreateCommandPool(
                handle, vk.VkCommandPoolCreateInfo(flags=flags, queueFamilyIndex=device.queue_family), None
            ),
            lambda h: vk.vkDestroyCommandPool(handle, h, None),
        )

    def encode(self, recording: Recording, owner: dict[Owned, None]) -> Encoded:
        """What can be submitted any number of times, also while it still runs.

        Args:
            owner: closes what nobody else has.

        Raises:
            FluidError: `device-memory`, `device-feature`.
        """
        encoded = Encoded(recording, owner)
        try:
            with refusals(self._device, f'"{recording.name}"'):
                dispatches = [c for c in recording if isinstance(c, Dispatch)]
                if dispatches:
                    table, encoded.offsets = self._address_table(encoded.lifetime, dispatches)
                    encoded.descriptors = self._descriptors(encoded.lifetime, table, dispatches)
                if is_paced(recording):
                    self.fill(encoded)
        except BaseException:
            encoded.close()
            raise
        return encoded

    def fill(self, encoded: Encoded) -> None:
        """Encode all of it, cut so that no submission takes long; it is not under way."""
        encoded.commands.close()
        encoded.too_long = False
        encoded.submissions = [self.commands(encoded, some) for some in submissions(encoded.recording)]
        encoded.unsure = len(encoded.submissions) > 1 and not is_sure(encoded.recording)

    def commands(self, encoded: Encoded, commands: Iterable[Command]) -> Any:
        """A command buffer of some of the commands of a recording, or pieces of them, which it owns."""
        handle = self._device.handle
        allocate = vk.VkCommandBufferAllocateInfo(
            commandPool=self._pool, level=vk.VK_COMMAND_BUFFER_LEVEL_PRIMARY, commandBufferCount=1
        )
        buffer = encoded.commands.own(
            "command buffer",
            vk.vkAllocateCommandBuffers(handle, allocate)[0],
            lambda h: vk.vkFreeCommandBuffers(handle, self._pool, 1, [h]),
        )
        usage = vk.VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT
        vk.vkBeginCommandBuffer(buffer, vk.VkCommandBufferBeginInfo(flags=usage))
        _barrier(buffer)  # what was submitted before is finished
        to_host = False
        for command in commands:
            self._encode_command(buffer, command, encoded)
            to_host = to_host or (isinstance(command, Copy | CopyRegions) and _to_host(command))
        if to_host:
            _barrier(buffer, to_host=True)
        vk.vkEndCommandBuffer(buffer)
        return buffer

    def _encode_command(self, commands: Any, command: Command, encoded: Encoded) -> None:
        match command:
            case Dispatch():
                layout = self._kernels.layout
                bind_point = vk.VK_PIPELINE_BIND_POINT_COMPUTE
                vk.vkCmdBindPipeline(commands, bind_point, command.kernel.pipeline)
                dynamic = [encoded.offsets[command.bindings, command.numbers]]
                vk.vkCmdBindDescriptorSets(commands, bind_point, layout, 0, 1, [encoded.descriptors], 1, dynamic)
                if any(command.base):
                    vk.vkCmdDispatchBase(commands, *command.base, *command.groups)
                else:
                    vk.vkCmdDispatch(commands, *command.groups)
            case Copy():
                region = vk.VkBufferCopy(
                    srcOffset=command.source_offset, dstOffset=command.target_offset, size=command.size
                )
                vk.vkCmdCopyBuffer(commands, command.source.handle, command.target.handle, 1, [region])
            case CopyRegions():
                if len(command.regions):
                    regions = ffi.from_buffer("VkBufferCopy[]", np.ascontiguousarray(command.regions, np.uint64))
                    handles = command.source.handle, command.target.handle
                    lib.vkCmdCopyBuffer(commands, *handles, len(command.regions), regions)
            case Barrier():
                _barrier(commands)

    def _address_table(self, lifetime: Lifetime, dispatches: list[Dispatch]) -> tuple[Buffer, _Offsets]:
        alignment = max(self._device.info.uniform_alignment, 16)
        rows: list[tuple[int, Any]] = []
        offsets: _Offsets = {}
        end = 0
        for dispatch in dispatches:
            key = dispatch.bindings, dispatch.numbers
            if key in offsets:
                continue
            addresses = np.array([buffer.address for _, buffer in dispatch.bindings] or [0], dtype=np.uint64)
            numbers = np.array(dispatch.numbers, dtype=np.int32)
            row = np.concatenate([addresses.view(np.uint8), numbers.view(np.uint8)])
            offsets[key] = end
            rows.append((end, row))
            end += -(-row.nbytes // alignment) * alignment
        span = self._table_range(dispatches)
        table = Buffer(self._device, "addresses", rows[-1][0] + span, Residence.UPLOAD, uniform=True)
        lifetime.own("table", table, Buffer.close)
        assert table.host is not None, "upload memory is always mapped"
        for offset, row in rows:
            table.host[offset : offset + row.nbytes] = row
        return table, offsets

    def _table_range(self, dispatches: list[Dispatch]) -> int:
        span = max(8 * max(len(d.bindings), 1) + 4 * len(d.numbers) for d in dispatches)
        if span > self._device.info.max_uniform_range:
            most = max(len(d.bindings) for d in dispatches)
            raise fail("device-feature", f"A kernel binds {most} buffers, more than a uniform block holds.")
        return -(-span // 8) * 8

    def _descriptors(self, lifetime: Lifetime, table: Buffer, dispatches: list[Dispatch]) -> Any:
        handle = self._device.handle
        kinds = (vk.VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, vk.VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC)
        sizes = [vk.VkDescriptorPoolSize(type=kind, descriptorCount=1) for kind in kinds]
        pool = lifetime.own(
            "descriptor pool",
            vk.vkCreateDescriptorPool(handle, vk.VkDescriptorPoolCreateInfo(maxSets=1, pPoolSizes=sizes), None),
            lambda h: vk.vkDestroyDescriptorPool(handle, h, None),
        )
        allocate = vk.VkDescriptorSetAllocateInfo(descriptorPool=pool, pSetLayouts=[self._kernels.set_layout])
        descriptors = vk.vkAllocateDescriptorSets(handle, allocate)[0]
        constants = vk.VkDescriptorBufferInfo(buffer=self._constants.handle, offset=0, range=self._constants.size)
        addresses = vk.VkDescriptorBufferInfo(buffer=table.handle, offset=0, range=self._table_range(dispatches))
        writes = [
            vk.VkWriteDescriptorSet(
                dstSet=descriptors, dstBinding=index, descriptorCount=1, descriptorType=kind, pBufferInfo=[info]
            )
            for index, (kind, info) in enumerate(zip(kinds, (constants, addresses), strict=True))
        ]
        vk.vkUpdateDescriptorSets(handle, len(writes), writes, 0, None)
        return descriptors


def _to_host(copy: Copy | CopyRegions) -> bool:
    return copy.target.residence is Residence.READBACK


def _barrier(commands: Any, to_host: bool = False) -> None:
    stages = vk.VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | vk.VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT
    writes = vk.VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | vk.VK_ACCESS_2_TRANSFER_WRITE_BIT
    reads = vk.VK_ACCESS_2_SHADER_STORAGE_READ_BIT | vk.VK_ACCESS_2_UNIFORM_READ_BIT | vk.VK_ACCESS_2_TRANSFER_READ_BIT
    barrier = vk.VkMemoryBarrier2(
        srcStageMask=stages,
        srcAccessMask=writes,
        dstStageMask=vk.VK_PIPELINE_STAGE_2_HOST_BIT if to_host else stages,
        dstAccessMask=vk.VK_ACCESS_2_HOST_READ_BIT if to_host else reads | writes,
    )
    vk.vkCmdPipelineBarrier2(commands, vk.VkDependencyInfo(pMemoryBarriers=[barrier]))
