# SPDX-License-Identifier: GPL-3.0-or-later
"""What kernels noticed: a word for each thing that is watched, which the host reads of finished steps only.

A word holds the lowest index of a voxel at which it happened, or `CLEAR`. Words are never cleared: the first step that
leaves one ends the run. Behind every step the words are copied into host memory of their own, so that the host tells
the first bad step among those under way, and never waits for one that it would not have waited for anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, Place, fail
from ..gpu.device import Device
from ..gpu.execution import IN_FLIGHT, Encoded, Execution
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Copy, Recording
from .address import DenseAddress
from .body import place_in_code
from .carrier import Carrier
from .stencil import StencilDefinition

__all__ = ["CLEAR", "Finding", "Moment", "Status", "Watch", "raise_first", "status_clear"]

CLEAR = 0xFFFFFFFF
WORDS = 64  # at first; more stencils than that make the buffer anew
_WORD = np.dtype(np.uint32)


@dataclass(frozen=True)
class Watch:
    """What a word is about: NaN among the values that a stencil stores.

    Attributes:
        output: the name that the stencil writes, `X` or `X_new`.
        field: the name of the field behind it.
        address: of the voxels that the stencil runs over.
    """

    stencil: StencilDefinition
    output: str
    field: str
    address: DenseAddress

    def error(self, index: int, moment: Moment) -> FluidError:
        """What the artist reads when it happened."""
        x, y, z = self.address.coord(index)
        message = f'"{self.stencil.name}" wrote NaN into "{self.field}" {moment}, first at voxel {{{x}, {y}, {z}}}.'
        hint = "NaN comes from 0/0, the root or logarithm of a negative number, or values that grew without bounds."
        return fail("not-a-number", message, hint, self._place())

    def _place(self) -> Place | None:
        """Where the stencil's code writes the output."""
        code = self.stencil.code
        found = re.search(rf"WriteField\s*\(\s*[\"']?{re.escape(self.output)}\b", code)
        if found is None:
            return place_in_code(self.stencil, 0)
        line_start = code.rfind("\n", 0, found.start()) + 1
        column, width = found.start() - line_start + 1, len("WriteField")
        return place_in_code(self.stencil, code.count("\n", 0, found.start()), column, width)


@dataclass(frozen=True)
class Moment:
    """When something was computed, and for how long (`dt`, seconds). `step` counts from 1; None is a run by hand."""

    frame: int
    step: int | None = None
    dt: float = 0.0

    def __str__(self) -> str:
        if self.step is None:
            return f"when run by hand after frame {self.frame}"
        return f"in frame {self.frame} (step {self.step})"


@dataclass(frozen=True)
class Finding:
    """What a device noticed.

    Attributes:
        step: the submission that it was noticed in.
        word: which of the words says so.
        index: the lowest voxel of this device.
    """

    step: int
    word: int
    index: int
    watch: Watch
    moment: Moment


def raise_first(findings: Iterable[Finding | None], carrier: Carrier) -> None:
    """Raises FluidError `not-a-number` for what came first on any device of any rank, if anything did."""
    every = carrier.allgather([finding for finding in findings if finding is not None])
    found = [finding for findings in every for finding in findings]
    if found:
        first = min(found, key=lambda finding: (finding.step, finding.word, finding.index))
        raise first.watch.error(first.index, first.moment)


@dataclass
class _Copy:
    """The words as one step left them."""

    host: Buffer
    encoded: Encoded
    ticket: int = 0
    step: int = 0
    moment: Moment | None = None  # of a step that was not looked at yet

    def content(self) -> npt.NDArray[np.uint8]:
        """The bytes, once the step is finished."""
        self.host.invalidate()
        assert self.host.host is not None, "readback memory is always mapped"
        return self.host.host


class Status:
    """The status words of one simulation.

    Attributes:
        buffer: the words as kernels see them.
    """

    def __init__(self, device: Device, execution: Execution) -> None:
        self._device, self._execution = device, execution
        self._watches: list[Watch] = []
        self._buffers: list[Buffer] = []  # also earlier ones: exports that were encoded then still name them
        self._copies: list[_Copy] = []
        self._steps = 0
        self._found: Finding | None = None
        try:
            self._make(WORDS)
        except BaseException:
            self.close()
            raise

    def _make(self, words: int) -> None:
        size = words * _WORD.itemsize
        self.buffer = self._kept(Buffer(self._device, "status", size))
        self._execution.repeat(self.buffer, CLEAR.to_bytes(4, "little"))
        for number in range(IN_FLIGHT):
            host = self._kept(Buffer(self._device, f"status {number}", size, Residence.READBACK))
            copy = Recording("status", [Copy(self.buffer, host, size)])
            self._copies.append(_Copy(host, self._execution.encode(copy)))

    def _kept(self, buffer: Buffer) -> Buffer:
        self._buffers.append(buffer)
        return buffer

    def watch(self, watches: Iterable[Watch]) -> int:
        """Have words for these, which follow those of the stencils before. Returns the first one's number."""
        first = len(self._watches)
        self._watches += watches
        return first

    def make_room(self) -> Finding | None:
        """Hold a word for every watch. Nothing may be under way. Returns as `check`."""
        found = self.check()
        words = self.buffer.size // _WORD.itemsize
        if len(self._watches) > words:
            self._forget_copies()
            self._make(1 << (len(self._watches) - 1).bit_length())
        return found

    def look_ahead(self) -> Finding | None:
        """Look at the steps before those that may still be under way once another one is submitted."""
        return self._look(self._copies[self._steps % IN_FLIGHT])

    def submit(self, encoded: Encoded, constants: bytes, moment: Moment) -> None:
        """Queue a step; `look_ahead` comes before."""
        copy = self._copies[self._steps % IN_FLIGHT]
        copy.ticket = self._execution.submit(encoded, constants, then=copy.encoded)
        copy.moment, copy.step = moment, self._steps
        self._steps += 1

    def check(self) -> Finding | None:
        """Look at every step so far; waits for it. What the first step left that left anything.

        Raises:
            FluidError: `cancelled`, `device-lost`.
        """
        for copy in sorted(self._copies, key=lambda copy: copy.ticket):
            self._look(copy)
        return self._found

    def _look(self, copy: _Copy) -> Finding | None:
        if self._found is not None or copy.moment is None:
            return self._found
        self._execution.wait(copy.ticket)
        moment, copy.moment = copy.moment, None
        content = copy.content()
        if not status_clear(content):
            words = content.view(_WORD)
            first = int(np.argmax(words != CLEAR))
            self._found = Finding(copy.step, first, int(words[first]), self._watches[first], moment)
        return self._found

    def _forget_copies(self) -> None:
        for copy in self._copies:
            copy.encoded.close()
        self._copies.clear()

    def close(self) -> None:
        self._forget_copies()
        for buffer in self._buffers:
            buffer.close()


def status_clear(content: npt.NDArray[np.uint8]) -> bool:
    """Whether nothing happened, by the bytes of all words."""
    return content.tobytes() == b"\xff" * len(content)  # a few microseconds faster than numpy's own way
