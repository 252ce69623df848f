# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run's engines were asked and what they answered, in order: a script that resumes hears the same again.

A resumed script runs from its top. As long as the journal of the earlier run lasts, a call computes nothing and is
answered from it; behind its last entry the state of all engines is restored, and everything is computed again. A
script that asks otherwise than it did is told so: a resumed run is the same run, or none.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..diagnostics import Diagnostic, FluidError, Kind, fail

__all__ = ["EngineJournal", "Journal", "file_digest", "mismatch"]

#: A call in words, what it answered (numbers, texts, lists and dictionaries of them), and what it raised instead.
Entry = tuple[str, Any, list[list[str | None]] | None]

Answer = TypeVar("Answer")

#: Entries that are packed together, and bytes that they may have in a file of somebody else.
TOGETHER, LARGEST = 1024, 64 << 20


def mismatch(differences: Sequence[str]) -> FluidError:
    """A run that cannot go on from a checkpoint because it is not the run that made it."""
    listed = "; ".join(differences)
    hint = "Run it without resuming to start over, or accept the changes to go on with them from the checkpoint."
    return fail("checkpoint-mismatch", f"The run cannot go on as it was: {listed}.", hint)


class Journal:
    """The journal of all engines of a script. What is older is kept packed: a script may ask millions of times.

    Attributes:
        count: calls so far.
        arrived: called when the last entry of the earlier run was answered.
        changed: told what is not as it was in the earlier run; by default it raises checkpoint-mismatch. Where it does
            not, the journal goes on with what is there now.
    """

    #: Bytes of packed entries behind which nothing more is noted, and no run can go on from here.
    MOST_BYTES = 128 << 20

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._recent: list[Entry] = []
        self._earlier: deque[bytes] = deque()  # of the earlier run, still packed
        self._to_answer: deque[Entry] = deque()
        self._failed: FluidError | None = None
        self._size = self._engines = self.count = 0
        self.arrived: Callable[[], None] = _nothing
        self.changed: Callable[[str], None] = _refuse

    @property
    def is_replaying(self) -> bool:
        """Whether calls are answered from the earlier run, or are to be and cannot."""
        return bool(self._to_answer) or self._failed is not None

    @property
    def is_full(self) -> bool:
        """Whether there was more than can be noted."""
        return self._size > self.MOST_BYTES

    def packed(self) -> list[bytes]:
        """Everything so far, for a checkpoint."""
        self._pack()
        return self._packed

    def replay(self, packed: Sequence[bytes]) -> None:
        """Answer by what another journal has packed. Raises ValueError for what is none."""
        for some in packed:
            _unpacked(some)  # all of it is looked at before any of it is believed
        self._earlier.extend(packed)
        self._take_more()

    def of_engine(self) -> EngineJournal:
        """The journal of an engine that is new."""
        self._engines += 1
        return EngineJournal(self, self._engines - 1)

    def ask(self, call: str, compute: Callable[[], Answer]) -> Answer | Any:
        """What `compute` gives, or gave in the earlier run; lists stand for tuples then.

        Raises:
            FluidError: of `compute`; `checkpoint-mismatch` where the earlier run had another call here.
        """
        if not self.is_replaying:
            return self._compute(call, compute)
        with self._for_good():
            answer, raised = self._expect(call)
            self._answer(call, answer, raised)
        if raised is not None:
            raise FluidError(*(Diagnostic(str(code), str(message), hint=hint) for code, message, hint in raised))
        return answer

    def same(self, call: str, value: str, what: str) -> None:
        """As `EngineJournal.same`."""
        if not self.is_replaying:
            self._note(call, value, None)
            return
        with self._for_good():
            was, _ = self._expect(call)
            if was != value:
                self.changed(what)
            self._answer(call, value, None)

    @contextmanager
    def _for_good(self) -> Iterator[None]:
        """A script that catches what is raised in here hears it again from each call: half resumed, nothing goes on."""
        if self._failed is not None:
            raise self._failed
        try:
            yield
        except FluidError as error:
            self._failed = error
            raise

    def _expect(self, call: str) -> tuple[Any, list[list[str | None]] | None]:
        """What the earlier run heard and what was raised, where it made the same call."""
        expected, answer, raised = self._to_answer[0]
        if call != expected:
            raise mismatch([f'the script asks for "{call}", where it asked for "{expected}"'])
        self._to_answer.popleft()
        return answer, raised

    def _answer(self, call: str, answer: Any, raised: list[list[str | None]] | None) -> None:
        self._note(call, answer, raised)
        self._take_more()
        if not self._to_answer:
            self.arrived()

    def _take_more(self) -> None:
        while not self._to_answer and self._earlier:
            self._to_answer.extend(_unpacked(self._earlier.popleft()))

    def _compute(self, call: str, compute: Callable[[], Answer]) -> Answer:
        try:
            answer = compute()
        except FluidError as error:
            if error.kind is Kind.SCRIPT:  # a script may go on behind it; what the machine did wrong happens once
                self._note(call, None, [[d.code, d.message, d.hint] for d in error.diagnostics])
            raise
        self._note(call, answer, None)
        return answer

    def _note(self, call: str, answer: Any, raised: list[list[str | None]] | None) -> None:
        self.count += 1
        if self.is_full:
            return
        self._recent.append((call, answer, raised))
        if len(self._recent) >= TOGETHER:
            self._pack()

    def _pack(self) -> None:
        if self._recent:
            self._packed.append(zlib.compress(json.dumps(self._recent).encode(), 1))
            self._size += len(self._packed[-1])
            self._recent = []

    def check_end(self) -> None:
        """Raises FluidError checkpoint-mismatch where the script has ended and the earlier run went on, and what a
        script has caught that could not be resumed."""
        if self._failed is not None:
            raise self._failed
        if self._to_answer:
            raise mismatch([f'the script ends where it asked for "{self._to_answer[0][0]}"'])


def _unpacked(packed: bytes) -> list[Entry]:
    """Raises ValueError."""
    try:
        reader = zlib.decompressobj()
        entries = json.loads(reader.decompress(packed, LARGEST))
        return [(str(call), answer, raised) for call, answer, raised in entries]
    except (zlib.error, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


class EngineJournal:
    """The calls of one engine."""

    def __init__(self, journal: Journal, number: int) -> None:
        self._journal, self._number = journal, number

    @property
    def is_replaying(self) -> bool:
        return self._journal.is_replaying

    def ask(self, call: str, compute: Callable[[], Answer]) -> Answer | Any:
        """As `Journal.ask`."""
        return self._journal.ask(self._named(call), compute)

    def same(self, call: str, value: str, what: str) -> None:
        """Take note of something that the run reads, such as a digest; `what` is changed where it is another one now.

        Raises:
            FluidError: as `Journal.changed` does.
        """
        self._journal.same(self._named(call), value, what)

    def _named(self, call: str) -> str:
        return f"{self._number} {call}" if self._number else call


def file_digest(path: Path) -> str:
    """Of a file that a run reads; empty where it cannot be read, which whoever reads it says."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:16]
    except OSError:
        return ""


def _nothing() -> None:
    pass


def _refuse(what: str) -> None:
    raise mismatch([what])
