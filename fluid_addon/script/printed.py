# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script says, on its way to the run's log and notes: bounded, without control characters."""

from __future__ import annotations

from collections.abc import Callable

from .sources import printable

__all__ = ["PrintedLines", "Warnings"]


class PrintedLines:
    """Passes lines on until a script has printed too much.

    Args:
        log: takes one line at a time, without its end.
    """

    LINE = 4096
    LEAST = 40  # what an empty line counts: on its way it takes far more than its one byte
    TOTAL = 4 * 1024 * 1024

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._left = self.TOTAL

    def add(self, text: str) -> None:
        """Print a text of one or more lines."""
        if self._left < 0:
            return
        for line in text.split("\n", self._left // self.LEAST + 1):
            if self._left < 0:
                return
            shown = printable(line if len(line) <= self.LINE else line[: self.LINE] + "…")
            self._left -= max(len(shown) + 1, self.LEAST)
            if self._left < 0:
                self._log(f"(the script has printed {self.TOTAL // 1024**2} MB; the rest is dropped)")
                return
            self._log(shown)


class Warnings:
    """Passes a script's warnings on until there are too many.

    Args:
        note: takes one text at a time.
    """

    TEXT = 1000
    MOST = 200

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._left = self.MOST

    def add(self, text: str) -> None:
        """Pass one on; the last of them says that no more will be heard."""
        if self._left == 0:
            return
        self._left -= 1
        self._note(printable(text if len(text) <= self.TEXT else text[: self.TEXT] + "…"))
        if self._left == 0:
            self._note(f"The script has warned {self.MOST} times; further warnings are not shown.")
