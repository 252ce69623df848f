# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script prints, on its way to the run's log: line by line, bounded, without control characters."""

from __future__ import annotations

from collections.abc import Callable

from .sources import printable

__all__ = ["PrintedLines"]


class PrintedLines:
    """Passes lines on until a script has printed too much.

    Args:
        log: takes one line at a time, without its end.
    """

    LINE = 4096
    TOTAL = 4 * 1024 * 1024

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._left = self.TOTAL

    def add(self, text: str) -> None:
        """Print a text of one or more lines."""
        for line in text.split("\n"):
            if self._left < 0:
                return
            shown = printable(line if len(line) <= self.LINE else line[: self.LINE] + "…")
            self._left -= len(shown) + 1
            if self._left < 0:
                self._log(f"(the script has printed {self.TOTAL // 1024**2} MB; the rest is dropped)")
                return
            self._log(shown)
