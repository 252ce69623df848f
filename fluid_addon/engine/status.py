# SPDX-License-Identifier: GPL-3.0-or-later
"""What kernels noticed: a word for each thing that is watched, which the host reads of finished steps only.

A word holds the lowest index of a voxel at which it happened, or `CLEAR`. Words are never cleared: most end the run at
the first step that leaves one. Behind every step the words are copied into host memory of their own, so that the host
tells the first bad step among those under way, and never waits for one that it would not have waited for anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from ..gpu.device import Device
from ..gpu.execution import IN_FLIGHT, Encoded, Execution
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Copy, Recording
from .carrier import Carrier
from .watches import ComputedReads, Moment, StopWatch, Watch

__all__ = ["CLEAR", "Finding", "Findings", "Moment", "Status", "status_clear"]

CLEAR = 0xFFFFFFFF
WORDS = 64  # at first; more stencils than that make the buffer anew
_WORD = np.dtype(np.uint32)


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


class Findings:
    """Takes what devices noticed to the artist: what cannot go on as an error, the rest as a note, once a stencil.

    Args:
        carrier: joins the parts of several processes, which all say the same.
        note: told what is worth knowing.
    """

    def __init__(self, carrier: Carrier, note: Callable[[str], None] = lambda _text: None) -> None:
        self._carrier, self._note = carrier, note
        self._told: set[str] = set()

    def tell(self, findings: Iterable[Finding]) -> None:
        """Raises FluidError `not-a-number` or `glsl-turns` for what came first on any device of any rank."""
        found = list(chain.from_iterable(self._carrier.allgather(list(findings))))
        for finding in sorted(found, key=lambda finding: (finding.step, finding.word, finding.index)):
            watch = finding.watch
            if isinstance(watch, StopWatch):
                raise watch.error(finding.index, finding.moment)
            if isinstance(watch, ComputedReads) and watch.stencil.name not in self._told:
                self._told.add(watch.stencil.name)
                self._note(watch.note(finding.index, finding.moment))


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
        self._seen = b""
        self._found: Finding | None = None
        self._notes: list[Finding] = []
        self._noted: set[int] = set()
        try:
            self._make(WORDS)
        except BaseException:
            self.close()
            raise

    def _make(self, words: int) -> None:
        size = words * _WORD.itemsize
        buffer = self._kept(Buffer(self._device, "status", size))
        self._execution.repeat(buffer, CLEAR.to_bytes(4, "little"))
        copies = []
        for number in range(IN_FLIGHT):
            host = self._kept(Buffer(self._device, f"status {number}", size, Residence.READBACK))
            copies.append(_Copy(host, self._execution.encode(Recording("status", [Copy(buffer, host, size)]))))
        self._forget_copies()  # not before: where memory is refused, what was there is still whole
        self.buffer, self._copies = buffer, copies
        self._seen, self._noted = b"\xff" * size, set()

    def _kept(self, buffer: Buffer) -> Buffer:
        self._buffers.append(buffer)
        return buffer

    def watch(self, watches: Iterable[Watch]) -> int:
        """Have words for these, which follow those of the stencils before. Returns the first one's number."""
        first = len(self._watches)
        self._watches += watches
        return first

    @property
    def notes(self) -> list[int]:
        """The words that stop no run."""
        return [number for number, watch in enumerate(self._watches) if not isinstance(watch, StopWatch)]

    def make_room(self) -> None:
        """Hold a word for every watch. Nothing may be under way; what there was to find is told when one next looks."""
        self._look_at_all()
        words = self.buffer.size // _WORD.itemsize
        if len(self._watches) > words:
            self._make(1 << (len(self._watches) - 1).bit_length())

    def look_ahead(self) -> list[Finding]:
        """Look at the steps before those that may still be under way once another one is submitted."""
        self._look(self._copies[self._steps % IN_FLIGHT])
        return self._taken()

    def submit(self, encoded: Encoded, constants: bytes, moment: Moment) -> None:
        """Queue a step; `look_ahead` comes before."""
        copy = self._copies[self._steps % IN_FLIGHT]
        copy.ticket = self._execution.submit(encoded, constants, then=copy.encoded)
        copy.moment, copy.step = moment, self._steps
        self._steps += 1

    def check(self) -> list[Finding]:
        """Look at every step so far; waits for it. What the first step left that left anything, and what is new of
        what does not stop a run.

        Raises:
            FluidError: `cancelled`, `device-lost`.
        """
        self._look_at_all()
        return self._taken()

    def _look_at_all(self) -> None:
        for copy in sorted(self._copies, key=lambda copy: copy.ticket):
            self._look(copy)

    def _taken(self) -> list[Finding]:
        """What stops the run stays for everyone who looks; the rest is told once."""
        notes, self._notes = self._notes, []
        return notes if self._found is None else [*notes, self._found]

    def _look(self, copy: _Copy) -> None:
        if self._found is not None or copy.moment is None:
            return
        self._execution.wait(copy.ticket)
        moment, copy.moment = copy.moment, None
        content = copy.content().tobytes()
        if content == self._seen:
            return
        words = np.frombuffer(content, _WORD)
        for number in np.flatnonzero(words != CLEAR):
            word = int(number)
            finding = Finding(copy.step, word, int(words[word]), self._watches[word], moment)
            if isinstance(finding.watch, StopWatch):
                self._found = finding
                return
            if word not in self._noted:
                self._noted.add(word)
                self._notes.append(finding)
        self._seen = content

    def _forget_copies(self) -> None:
        for copy in self._copies:
            copy.encoded.close()
        self._copies.clear()

    def close(self) -> None:
        self._forget_copies()
        for buffer in self._buffers:
            buffer.close()


def status_clear(content: npt.NDArray[np.uint8], notes: Sequence[int] = ()) -> bool:
    """Whether nothing happened that stops a run, by the bytes of all words; `notes` are those that do not."""
    if content.tobytes() == b"\xff" * len(content):  # a few microseconds faster than numpy's own way
        return True
    words = content.view(_WORD).copy()
    words[[note for note in notes if note < len(words)]] = CLEAR  # an earlier buffer has fewer
    return bool((words == CLEAR).all())
