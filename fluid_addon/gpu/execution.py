# SPDX-License-Identifier: GPL-3.0-or-later
"""Execution of recordings: encoded once into command buffers, submitted as often as wanted, waited for in slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail
from .binding import ffi, lib, vk
from .device import Device
from .kernel import KernelLibrary
from .lifetime import Lifetime
from .memory import Buffer, Residence
from .recording import Barrier, Copy, CopyRegions, Dispatch, Recording

__all__ = ["Encoded", "Execution"]

#: A wait looks up this often, so that a cancel is seen.
WAIT_SLICE_NS = 50_000_000
#: Submissions that may be under way at once; the constants of each have their own host memory.
IN_FLIGHT = 2
STAGING_BYTES = 3 << 20  # divisible by every voxel size, so that a pattern repeats seamlessly


def never() -> bool:
    return False


class Encoded:
    """A recording as a command buffer, with the table of the addresses that its kernels follow."""

    def __init__(self, name: str, commands: Any, lifetime: Lifetime, table: Buffer | None) -> None:
        self.name, self.commands, self._lifetime, self._table = name, commands, lifetime, table
        self.ticket = 0

    def close(self) -> None:
        self._lifetime.close()
        if self._table:
            self._table.close()


class Execution:
    """The queue of one device.

    Args:
        constants_size: bytes of the uniform block that every kernel sees at binding 0.
        cancelled: asked during waits; when it answers True the wait raises `cancelled`.
    """

    def __init__(
        self, device: Device, kernels: KernelLibrary, constants_size: int, cancelled: Callable[[], bool] = never
    ) -> None:
        self.device, self._kernels, self._cancelled = device, kernels, cancelled
        self._lifetime = Lifetime()
        self._lost: str | None = None
        self._ticket = 0
        self._finished = 0  # the latest ticket that a wait has seen finished
        self._buffers: list[Buffer] = []
        self._preludes: list[Encoded] = []
        self._staging: Buffer | None = None
        try:
            self._open(constants_size)
        except BaseException:
            self.close()
            raise

    def _open(self, constants_size: int) -> None:
        handle = self.device.handle
        flags = vk.VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT
        self._pool = self._lifetime.own(
            "command pool",
            vk.vkCreateCommandPool(
                handle, vk.VkCommandPoolCreateInfo(flags=flags, queueFamilyIndex=self.device.queue_family), None
            ),
            lambda h: vk.vkDestroyCommandPool(handle, h, None),
        )
        timeline = vk.VkSemaphoreTypeCreateInfo(semaphoreType=vk.VK_SEMAPHORE_TYPE_TIMELINE, initialValue=0)
        self._semaphore = self._lifetime.own(
            "semaphore",
            vk.vkCreateSemaphore(handle, vk.VkSemaphoreCreateInfo(pNext=timeline), None),
            lambda h: vk.vkDestroySemaphore(handle, h, None),
        )
        self.constants = self._buffer("constants", constants_size, Residence.DEVICE, uniform=True)
        self._slots = [self._buffer("constants of a step", constants_size, Residence.UPLOAD) for _ in range(IN_FLIGHT)]
        self._slot_tickets = [0] * IN_FLIGHT
        for slot in self._slots:
            copy = Copy(slot, self.constants, constants_size)
            self._preludes.append(self.encode(Recording("constants", [copy])))
        self._prepare_submit()

    def _buffer(self, name: str, size: int, residence: Residence, uniform: bool = False) -> Buffer:
        buffer = Buffer(self.device, name, size, residence, uniform)
        self._buffers.append(buffer)
        return buffer

    def _prepare_submit(self) -> None:
        """Structs that a submission fills in again, so that it costs microseconds."""
        self._signal = ffi.new("VkSemaphoreSubmitInfo*")
        self._signal.sType = vk.VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO
        self._signal.semaphore = self._semaphore
        self._signal.stageMask = vk.VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT
        self._command_infos = ffi.new("VkCommandBufferSubmitInfo[3]")
        for info in self._command_infos:
            info.sType = vk.VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO
        self._submit = ffi.new("VkSubmitInfo2*")
        self._submit.sType = vk.VK_STRUCTURE_TYPE_SUBMIT_INFO_2
        self._submit.pCommandBufferInfos = self._command_infos
        self._submit.signalSemaphoreInfoCount = 1
        self._submit.pSignalSemaphoreInfos = self._signal
        self._semaphores = ffi.new("VkSemaphore[1]", [self._semaphore])

    # ----- encoding

    def encode(self, recording: Recording) -> Encoded:
        """Encode a recording. It may be submitted any number of times, also while it still runs."""
        handle = self.device.handle
        lifetime = Lifetime()
        table: Buffer | None = None
        try:
            allocate = vk.VkCommandBufferAllocateInfo(
                commandPool=self._pool, level=vk.VK_COMMAND_BUFFER_LEVEL_PRIMARY, commandBufferCount=1
            )
            commands = lifetime.own(
                "command buffer",
                vk.vkAllocateCommandBuffers(handle, allocate)[0],
                lambda h: vk.vkFreeCommandBuffers(handle, self._pool, 1, [h]),
            )
            dispatches = [c for c in recording if isinstance(c, Dispatch)]
            offsets: dict[int, int] = {}
            descriptors = None
            if dispatches:
                table, offsets = self._address_table(dispatches)
                descriptors = self._descriptors(lifetime, table, dispatches)
            usage = vk.VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT
            vk.vkBeginCommandBuffer(commands, vk.VkCommandBufferBeginInfo(flags=usage))
            _barrier(commands)  # what was submitted before is finished
            for command in recording:
                self._encode_command(commands, command, descriptors, offsets)
            copies = [c for c in recording if isinstance(c, Copy | CopyRegions)]
            if any(copy.target.residence is Residence.READBACK for copy in copies):
                _barrier(commands, to_host=True)
            vk.vkEndCommandBuffer(commands)
        except BaseException:
            lifetime.close()
            if table:
                table.close()
            raise
        return Encoded(recording.name, commands, lifetime, table)

    def _encode_command(self, commands: Any, command: Any, descriptors: Any, offsets: dict[int, int]) -> None:
        match command:
            case Dispatch():
                layout = self._kernels.layout
                bind_point = vk.VK_PIPELINE_BIND_POINT_COMPUTE
                vk.vkCmdBindPipeline(commands, bind_point, command.kernel.pipeline)
                dynamic = [offsets[id(command)]]
                vk.vkCmdBindDescriptorSets(commands, bind_point, layout, 0, 1, [descriptors], 1, dynamic)
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

    def _address_table(self, dispatches: list[Dispatch]) -> tuple[Buffer, dict[int, int]]:
        alignment = max(self.device.info.uniform_alignment, 16)
        offsets, rows, end = {}, [], 0
        for dispatch in dispatches:
            addresses = np.array([buffer.address for _, buffer in dispatch.bindings] or [0], dtype=np.uint64)
            numbers = np.array(dispatch.numbers, dtype=np.int32)
            row = np.concatenate([addresses.view(np.uint8), numbers.view(np.uint8)])
            offsets[id(dispatch)] = end
            rows.append((end, row))
            end += -(-row.nbytes // alignment) * alignment
        span = self._table_range(dispatches)
        table = Buffer(self.device, "addresses", rows[-1][0] + span, Residence.UPLOAD, uniform=True)
        assert table.host is not None, "upload memory is always mapped"
        for offset, row in rows:
            table.host[offset : offset + row.nbytes] = row
        return table, offsets

    def _table_range(self, dispatches: list[Dispatch]) -> int:
        span = max(8 * max(len(d.bindings), 1) + 4 * len(d.numbers) for d in dispatches)
        if span > self.device.info.max_uniform_range:
            most = max(len(d.bindings) for d in dispatches)
            raise fail("device-feature", f"A kernel binds {most} buffers, more than a uniform block holds.")
        return -(-span // 8) * 8

    def _descriptors(self, lifetime: Lifetime, table: Buffer, dispatches: list[Dispatch]) -> Any:
        handle = self.device.handle
        kinds = (vk.VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, vk.VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC)
        sizes = [vk.VkDescriptorPoolSize(type=kind, descriptorCount=1) for kind in kinds]
        pool = lifetime.own(
            "descriptor pool",
            vk.vkCreateDescriptorPool(handle, vk.VkDescriptorPoolCreateInfo(maxSets=1, pPoolSizes=sizes), None),
            lambda h: vk.vkDestroyDescriptorPool(handle, h, None),
        )
        allocate = vk.VkDescriptorSetAllocateInfo(descriptorPool=pool, pSetLayouts=[self._kernels.set_layout])
        descriptors = vk.vkAllocateDescriptorSets(handle, allocate)[0]
        constants = vk.VkDescriptorBufferInfo(buffer=self.constants.handle, offset=0, range=self.constants.size)
        addresses = vk.VkDescriptorBufferInfo(buffer=table.handle, offset=0, range=self._table_range(dispatches))
        writes = [
            vk.VkWriteDescriptorSet(
                dstSet=descriptors, dstBinding=index, descriptorCount=1, descriptorType=kind, pBufferInfo=[info]
            )
            for index, (kind, info) in enumerate(zip(kinds, (constants, addresses), strict=True))
        ]
        vk.vkUpdateDescriptorSets(handle, len(writes), writes, 0, None)
        return descriptors

    # ----- submission and waiting

    def submit(self, encoded: Encoded, constants: bytes | None = None, then: Encoded | None = None) -> int:
        """Queue a recording, after everything queued before. Returns the ticket to `wait` for.

        Args:
            constants: new contents of the uniform block at binding 0; None leaves it as it is.
            then: a second recording, to follow at once.
        """
        self._refuse_when_lost()
        count = 0
        if constants is not None:
            slot = (self._ticket + 1) % IN_FLIGHT
            self.wait(self._slot_tickets[slot])
            host = self._slots[slot].host
            assert host is not None, "upload memory is always mapped"
            host[: len(constants)] = np.frombuffer(constants, dtype=np.uint8)
            self._command_infos[0].commandBuffer = self._preludes[slot].commands
            self._slot_tickets[slot] = self._ticket + 1
            count = 1
        for each in (encoded, then):
            if each is not None:
                self._command_infos[count].commandBuffer = each.commands
                count += 1
        self._submit.commandBufferInfoCount = count
        self._signal.value = self._ticket + 1
        result = lib.vkQueueSubmit2(self.device.queue, 1, self._submit, ffi.NULL)
        if result != vk.VK_SUCCESS:
            self._failed(result, encoded.name)
        self._ticket += 1
        encoded.ticket = self._ticket
        return self._ticket

    def done(self, ticket: int) -> bool:
        """Whether everything up to `ticket` is finished, without waiting."""
        return self._wait_slice(ticket, 0)

    def wait(self, ticket: int, cancelled: Callable[[], bool] | None = None) -> None:
        """Wait until everything up to `ticket` is finished.

        Raises:
            FluidError: `cancelled` when the run was cancelled meanwhile, `device-lost`.
        """
        asked = self._cancelled if cancelled is None else cancelled
        while not self._wait_slice(ticket, WAIT_SLICE_NS):
            if asked():
                raise fail("cancelled", "The run was cancelled.")

    def _wait_slice(self, ticket: int, nanoseconds: int) -> bool:
        self._refuse_when_lost()
        if ticket <= self._finished:
            return True
        values = ffi.new("uint64_t[1]", [ticket])  # of its own: the export thread waits as well
        info = ffi.new("VkSemaphoreWaitInfo*")
        info.sType = vk.VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO
        info.semaphoreCount = 1
        info.pSemaphores = self._semaphores
        info.pValues = values
        result = lib.vkWaitSemaphores(self.device.handle, info, nanoseconds)
        if result not in (vk.VK_SUCCESS, vk.VK_TIMEOUT):
            self._failed(result, "a wait")
        if result == vk.VK_SUCCESS:
            self._finished = max(self._finished, ticket)
        return bool(result == vk.VK_SUCCESS)

    def _failed(self, result: int, name: str) -> None:
        if result == vk.VK_ERROR_DEVICE_LOST:
            self._lost = name
            self._refuse_when_lost()
        raise fail("device-memory", f'The device refused "{name}" (Vulkan error {result}).')

    def _refuse_when_lost(self) -> None:
        if self._lost is not None:
            raise fail(
                "device-lost",
                f'The device "{self.device.info.name}" was lost during "{self._lost}".',
                "A kernel ran too long or the driver failed; make the domain smaller, or update the driver.",
            )

    # ----- transfers

    def upload(self, target: Buffer, content: npt.NDArray[Any]) -> None:
        """Write an array over the beginning of a device buffer, and wait until it is there."""
        raw = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
        staging = self._staging_buffer()
        assert staging.host is not None, "upload memory is always mapped"
        for start in range(0, raw.nbytes, STAGING_BYTES):
            chunk = raw[start : start + STAGING_BYTES]
            staging.host[: chunk.nbytes] = chunk
            copy = Copy(staging, target, chunk.nbytes, target_offset=start)
            self.run(Recording(f"upload {target.name}", [copy]))

    def scatter(self, target: Buffer, rows: npt.NDArray[Any], places: npt.NDArray[np.integer[Any]]) -> None:
        """Write each row of an array over one of the equal pieces of a device buffer; waits until they are there.

        Args:
            places: the number of the piece for each row.
        """
        if not len(rows):
            return
        raw = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
        staging, size = self._staging_buffer(), raw.shape[1]
        assert staging.host is not None, "upload memory is always mapped"
        step = max(1, STAGING_BYTES // size)
        for start in range(0, len(raw), step):
            chunk = raw[start : start + step]
            staging.host[: chunk.size] = chunk.reshape(-1)
            sources = np.arange(len(chunk), dtype=np.uint64) * np.uint64(size)
            targets = places[start : start + step].astype(np.uint64) * np.uint64(size)
            regions = np.stack([sources, targets, np.full_like(sources, size)], axis=-1)
            self.run(Recording(f"upload {target.name}", [CopyRegions(staging, target, regions)]))

    def repeat(self, target: Buffer, pattern: bytes) -> None:
        """Fill a device buffer with a pattern whose size divides `STAGING_BYTES`, and wait until it is there."""
        staging = self._staging_buffer()
        assert staging.host is not None, "upload memory is always mapped"
        used = min(STAGING_BYTES, -(-target.size // len(pattern)) * len(pattern))
        staging.host[:used].reshape(-1, len(pattern))[:] = np.frombuffer(pattern, dtype=np.uint8)
        copies = [
            Copy(staging, target, min(STAGING_BYTES, target.size - start), target_offset=start)
            for start in range(0, target.size, STAGING_BYTES)
        ]
        self.run(Recording(f"fill {target.name}", list(copies)))

    def _staging_buffer(self) -> Buffer:
        if self._staging is None:
            self._staging = self._buffer("staging", STAGING_BYTES, Residence.UPLOAD)
        return self._staging

    def run(self, recording: Recording, constants: bytes | None = None) -> None:
        """Encode, submit and wait once, for what is rarely done."""
        encoded = self.encode(recording)
        try:
            self.wait(self.submit(encoded, constants), never)
        finally:
            encoded.close()

    def wait_all(self) -> None:
        """Wait until everything submitted is finished. Raises as `wait`."""
        self.wait(self._ticket)

    def idle(self) -> None:
        """Wait until nothing is under way, whatever was cancelled: only then may buffers go."""
        if self._lost is None:
            self.wait(self._ticket, never)

    def close(self) -> None:
        """Wait for the queue and release everything that this execution made."""
        if self._ticket:
            self.idle()
        for prelude in self._preludes:
            prelude.close()
        for buffer in self._buffers:
            buffer.close()
        self._lifetime.close()


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
