# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run's engines were asked and what they answered, in order: a script that resumes hears the same again.

A resumed script runs from its top. As long as the journal of the earlier run lasts, a call computes nothing and is
answered from it; behind its last entry the state of all engines is restored, and everything is computed again. A
script that asks otherwise than it did is told so: a resumed run is the same run, or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..diagnostics import Diagnostic, FluidError, Kind, fail

__all__ = ["EngineJournal", "Journal", "file_digest", "mismatch"]

#: A call in words, what it answered (numbers, texts, lists and dictionaries of them), and what it raised instead.
Entry = tuple[str, Any, list[list[str | None]] | None]

Answer = TypeVar("Answer")


def mismatch(differences: Sequence[str]) -> FluidError:
    """A run that cannot go on from a checkpoint because it is not the run that made it."""
    listed = "; ".join(differences)
    hint = "Run it without resuming to start over, or accept the changes to go on with them from the checkpoint."
    return fail("checkpoint-mismatch", f"The run cannot go on as it was: {listed}.", hint)


class Journal:
    """The journal of all engines of a script.

    Attributes:
        arrived: called when the last entry of the earlier run was answered.
        changed: told what is not as it was in the earlier run; by default it raises checkpoint-mismatch.
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._next = self._engines = 0
        self.arrived: Callable[[], None] = _nothing
        self.changed: Callable[[str], None] = _refuse

    @property
    def entries(self) -> list[Entry]:
        """Everything so far, to be kept in a checkpoint."""
        return self._entries

    @property
    def is_replaying(self) -> bool:
        """Whether calls are answered from the earlier run."""
        return self._next < len(self._entries)

    def replay(self, entries: Sequence[Sequence[Any]]) -> None:
        """Answer by these first. Raises ValueError for what are no entries."""
        self._entries = [(str(call), answer, raised) for call, answer, raised in entries]

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
        expected, answer, raised = self._entries[self._next]
        if call != expected:
            raise mismatch([f'call {self._next + 1} of the script is "{call}", and it was "{expected}"'])
        self._next += 1
        if self._next == len(self._entries):
            self.arrived()
        if raised is not None:
            raise FluidError(*(Diagnostic(str(code), str(message), hint=hint) for code, message, hint in raised))
        return answer

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
        self._entries.append((call, answer, raised))
        self._next = len(self._entries)

    def check_end(self) -> None:
        """Raises FluidError checkpoint-mismatch where the script has ended and the earlier run went on."""
        if self.is_replaying:
            raise mismatch([f'the script ends before "{self._entries[self._next][0]}"'])


class EngineJournal:
    """The calls of one engine."""

    def __init__(self, journal: Journal, number: int) -> None:
        self._journal, self._number = journal, number

    @property
    def is_replaying(self) -> bool:
        return self._journal.is_replaying

    def ask(self, call: str, compute: Callable[[], Answer]) -> Answer | Any:
        """As `Journal.ask`."""
        return self._journal.ask(f"{self._number} {call}" if self._number else call, compute)

    def same(self, call: str, value: str, what: str) -> None:
        """Take note of something that the run reads, such as a digest; `what` is changed where it is another one now.

        Raises:
            FluidError: as `Journal.changed` does.
        """
        if self.ask(call, lambda: value) != value:
            self._journal.changed(what)


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
