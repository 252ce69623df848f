# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of a device: recordings are submitted to it as often as wanted, and waited for in slices."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, fail
from ..faults import fault
from .binding import ffi, lib, vk
from .device import Device
from .encoding import Encoded, Encoder
from .kernel import Kernel, KernelLibrary
from .lifetime import Lifetime, Owned, close_left
from .memory import Buffer, Residence
from .pacing import TOO_LONG_SECONDS, run_growing
from .recording import Barrier, Command, Copy, CopyRegions, Dispatch, Recording
from .refusal import lost_device, out_of_memory, refusals
from .timeline import Timeline

__all__ = ["Encoded", "Execution"]

#: A wait looks up this often, so that a cancel is seen.
WAIT_SLICE_NS = 50_000_000
#: What a lost device may still be waited for, before what it used is released; one that is truly lost answers at once.
LOST_SLICES = 100
#: Submissions that may be under way at once; the constants of each have their own host memory.
IN_FLIGHT = 2
STAGING_BYTES = 3 << 20  # divisible by every voxel size, so that a pattern repeats seamlessly


def never() -> bool:
    return False


class _Submission(NamedTuple):
    """What was queued, and when.

    Attributes:
        kernel: the only one that runs in it; None: there are several, or none.
    """

    ticket: int
    encoded: Encoded
    kernel: str | None
    begun: float

    @property
    def what(self) -> str:
        """For messages: when something happened."""
        return f'in the kernel "{self.kernel}"' if self.kernel else f'during "{self.encoded.name}"'


class Execution:
    """The queue of one device.

    Args:
        constants_size: bytes of the uniform block that every kernel sees at binding 0.
        cancelled: asked during waits; when it answers True the wait raises `cancelled`.
        careful: every command is submitted and waited for by itself, so that a lost device names the kernel.

    Raises:
        FluidError: `device-memory`, `device-lost`.
    """

    def __init__(
        self,
        device: Device,
        kernels: KernelLibrary,
        constants_size: int,
        cancelled: Callable[[], bool] = never,
        careful: bool = False,
    ) -> None:
        self.device, self._cancelled, self._careful = device, cancelled, careful
        self._lifetime = Lifetime()
        self._owned: dict[Owned, None] = {}  # recordings that are not closed yet
        self._ticket = 0
        self._finished = 0  # the latest ticket that a wait has seen finished
        self._under_way: deque[_Submission] = deque()
        self._reached = (0, 0.0)  # the latest ticket that a wait saw finished on its way, and when it saw it first
        self._buffers: list[Buffer] = []
        self._preludes: list[Encoded] = []
        self._staging: Buffer | None = None
        try:
            with refusals(device, "its queue"):
                self._open(kernels, constants_size)
        except BaseException:
            self.close()
            raise

    def _open(self, kernels: KernelLibrary, constants_size: int) -> None:
        self._timeline = Timeline(self.device, self._lifetime)
        self.constants = self._buffer("constants", constants_size, Residence.DEVICE, uniform=True)
        self._encoder = Encoder(self.device, kernels, self._lifetime, self.constants)
        self._slots = [self._buffer("constants of a step", constants_size, Residence.UPLOAD) for _ in range(IN_FLIGHT)]
        self._slot_tickets = [0] * IN_FLIGHT
        self._slot = 0
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
        self._signal.semaphore = self._timeline.handle
        self._signal.stageMask = vk.VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT
        self._command_infos = ffi.new("VkCommandBufferSubmitInfo[3]")
        for info in self._command_infos:
            info.sType = vk.VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO
        self._submit = ffi.new("VkSubmitInfo2*")
        self._submit.sType = vk.VK_STRUCTURE_TYPE_SUBMIT_INFO_2
        self._submit.pCommandBufferInfos = self._command_infos
        self._submit.signalSemaphoreInfoCount = 1
        self._submit.pSignalSemaphoreInfos = self._signal

    # ----- submission

    def encode(self, recording: Recording) -> Encoded:
        """Encode a recording. It may be submitted any number of times, also while it still runs.

        Raises:
            FluidError: `device-memory`, `device-feature`.
        """
        return self._encoder.encode(recording, self._owned)

    def submit(self, encoded: Encoded, constants: bytes | None = None, then: Encoded | None = None) -> int:
        """Queue a recording, after everything queued before. Returns the ticket to `wait` for.

        A recording whose kernels have not shown yet how long they take is waited for.

        Args:
            constants: new contents of the uniform block at binding 0; None leaves it as it is.
            then: a second recording, to follow at once.

        Raises:
            FluidError: `device-lost`, `device-memory`, `cancelled`.
        """
        self._refuse()
        together = [] if constants is None else [self._write_constants(constants)]
        for each in (encoded, then):
            if each is None:
                continue
            if self._careful or each.submissions is None or each.too_long or each.unsure:
                if together:
                    self._queue(together, encoded)
                together = []
                self._run_by_command(each)
            else:
                first, *others = each.submissions
                together.append(first)
                for commands in others:
                    self._queue(together, encoded)
                    together = [commands]
        if together:
            self._queue(together, encoded)
        encoded.ticket = self._ticket
        return self._ticket

    def _write_constants(self, constants: bytes) -> Any:
        """Put constants where the commands returned copy them from."""
        self._slot = (self._slot + 1) % IN_FLIGHT
        self.wait(self._slot_tickets[self._slot])
        host = self._slots[self._slot].host
        assert host is not None, "upload memory is always mapped"
        host[: len(constants)] = np.frombuffer(constants, dtype=np.uint8)
        self._slot_tickets[self._slot] = self._ticket + 1
        prelude = self._preludes[self._slot].submissions
        assert prelude is not None, "copies need no timing"
        return prelude[0]

    def _queue(self, commands: list[Any], encoded: Encoded, kernel: str | None = None) -> int:
        for info, handle in zip(self._command_infos, commands, strict=False):
            info.commandBuffer = handle
        self._submit.commandBufferInfoCount = len(commands)
        self._signal.value = self._ticket + 1
        lost = fault("device.submit")
        result = vk.VK_ERROR_DEVICE_LOST if lost else lib.vkQueueSubmit2(self.device.queue, 1, self._submit, ffi.NULL)
        submission = _Submission(self._ticket + 1, encoded, kernel, time.monotonic())
        if result != vk.VK_SUCCESS:
            self._failed(result, submission.what)
        self._ticket += 1
        while self._under_way and self._under_way[0].ticket <= self._finished:
            self._under_way.popleft()
        self._under_way.append(submission)
        return self._ticket

    def _run_by_command(self, encoded: Encoded) -> None:
        """Run each command of a recording by itself, and find out how long its kernels take."""
        self.wait(self._ticket)
        ran = {each.kernel for each in encoded.recording if isinstance(each, Dispatch) and encoded.ticket}
        anew, times = encoded.too_long, dict[Kernel, float]()
        with refusals(self.device, f'"{encoded.name}"'):
            encoded.submissions = None
            encoded.commands.close()
            for command in encoded.recording:
                if isinstance(command, Dispatch):
                    seconds = run_growing(command, lambda piece: self._timed(encoded, piece), command.kernel in ran)
                    ran.add(command.kernel)
                    if seconds is not None:
                        times[command.kernel] = max(seconds, times.get(command.kernel, 0.0))
                elif not isinstance(command, Barrier):  # every submission begins with one
                    self._timed(encoded, command)
                encoded.commands.close()
            for kernel, seconds in times.items():
                kernel.took(seconds, anew)
            if not self._careful:
                self._encoder.fill(encoded)

    def _timed(self, encoded: Encoded, command: Command) -> float:
        """Run a command to its end; seconds."""
        commands = self._encoder.commands(encoded, [command])
        begun = time.monotonic()
        self.wait(self._queue([commands], encoded, command.kernel.name if isinstance(command, Dispatch) else None))
        return time.monotonic() - begun

    # ----- waiting

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
            self._look_at_pace()

    def _wait_slice(self, ticket: int, nanoseconds: int) -> bool:
        self._refuse()
        if ticket <= self._finished:
            return True
        result = vk.VK_ERROR_DEVICE_LOST if fault("device.wait") else self._timeline.wait(ticket, nanoseconds)
        if result not in (vk.VK_SUCCESS, vk.VK_TIMEOUT):
            self._failed(result, self._what_runs())
        if result == vk.VK_SUCCESS:
            self._finished = max(self._finished, ticket)
        return bool(result == vk.VK_SUCCESS)

    def _runs(self) -> _Submission | None:
        """What the device works on, as far as it tells."""
        told = self._timeline.reached()
        reached = max(self._finished, told if told < self._ticket else 0)  # a lost device may say that all is done
        return next((each for each in list(self._under_way) if each.ticket > reached), None)

    def _what_runs(self) -> str:
        submission = self._runs()
        return submission.what if submission is not None else "during a wait"

    def _look_at_pace(self) -> None:
        """Have a recording timed anew where one of its submissions takes too long."""
        submission = self._runs()
        if submission is None:
            return
        now = time.monotonic()
        if self._reached[0] != submission.ticket:
            self._reached = submission.ticket, now
        if now - max(self._reached[1], submission.begun) > TOO_LONG_SECONDS:
            submission.encoded.too_long = True

    def _failed(self, result: int, what: str) -> None:
        if result == vk.VK_ERROR_DEVICE_LOST:
            raise lost_device(self.device, what)
        raise out_of_memory(self.device, f"failed {what} (Vulkan error {result})")

    def _refuse(self) -> None:
        if self.device.refused is not None:
            raise FluidError(*self.device.refused.diagnostics)

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
        except BaseException:
            self.idle()
            raise
        finally:
            encoded.close()

    def wait_all(self) -> None:
        """Wait until everything submitted is finished. Raises as `wait`."""
        self.wait(self._ticket)

    def idle(self) -> None:
        """Wait until nothing is under way, whatever was cancelled or lost: only then may buffers go."""
        lost = 0
        while lost < LOST_SLICES:
            result = self._timeline.wait(self._ticket, WAIT_SLICE_NS)
            if result == vk.VK_SUCCESS:
                return
            if result != vk.VK_TIMEOUT and self.device.refused is None:
                lost_device(self.device, self._what_runs())
            known = self.device.refused is not None and self.device.refused.code == "device-lost"
            lost += known or result != vk.VK_TIMEOUT  # it may be lost after it refused something else

    def close(self) -> None:
        """Wait for the queue and release everything that this execution made."""
        if self._ticket:
            self.idle()
        for prelude in self._preludes:
            prelude.close()
        close_left(self._owned)
        for buffer in self._buffers:
            buffer.close()
        self._lifetime.close()
