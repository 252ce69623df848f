# SPDX-License-Identifier: GPL-3.0-or-later
"""Events for people: a progress bar on a terminal; elsewhere, as in the log of a render farm, a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from ..diagnostics import human_bytes
from .events import Event

__all__ = ["Terminal"]

BAR = 24
#: Seconds between two lines of progress where there is no terminal.
LINE_EVERY = 10.0


def duration(seconds: float) -> str:
    """`75` as `1:15`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def progress_line(event: Event) -> str:
    """Frames, time left and speed of a progress event in one line."""
    frame, frames, left = event["frame"], event["frames"], event["seconds_left"]
    speed = f"{event['mcells_per_second']:.1f} Mcells/s"
    if event.get("leaves") is not None:
        speed += f"  {event['leaves']:,} leaves"
    if not frames:
        return f"frame {frame}  {speed}"
    filled = round(BAR * min(1.0, frame / frames))
    remaining = f"  {duration(left)} left" if left is not None and frame < frames else ""
    return f"[{'#' * filled}{'.' * (BAR - filled)}] frame {frame}/{frames}{remaining}  {speed}"


def exchange_text(exchange: Event) -> str:
    """What several devices lost to each other."""
    return f"{exchange['seconds']:.1f} s of it lost to {human_bytes(exchange['bytes'])} of halos"


class Terminal:
    """Shows the events of a run.

    Args:
        progress: takes the bar, notes and errors.
        output: takes what the script prints, and the result.
        clock: seconds that only grow.
    """

    def __init__(self, progress: TextIO, output: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress, self._output, self._clock = progress, output, clock
        self._live = progress.isatty()
        self._bar = ""
        self._lined = clock()
        self._checkpoint: int | None = None  # the frame that the run could go on from

    def show(self, event: Event) -> None:
        match event["event"]:
            case "progress":
                self._draw(progress_line(event))
            case "capture":
                self._draw(f"capturing {event['name']} {event['frame']}/{event['frames']}")
            case "log":
                self._line(self._output, event["text"])
            case "note":
                where = f"{event['file']}:{event['line']}: " if event["file"] else ""
                self._line(self._progress, f"{where}note: {event['text']}")
            case "memory":
                self._line(self._progress, f'Memory on "{event["device"]}":\n{event["table"]}')
            case "checkpoint":
                self._checkpoint = event["frame"]
            case "restarted":
                self._checkpoint = None  # "resumed" says otherwise
                self._line(self._progress, event["text"])
            case "resumed":
                self._checkpoint = event["frame"]
                self._line(self._progress, f"The run goes on from frame {event['frame']}.")
            case "error":
                for item in event["diagnostics"]:
                    self._line(self._progress, item["text"])
            case "finished":
                self._finish(event)

    def _finish(self, event: Event) -> None:
        self._bar, last = "", self._bar
        if last:
            self._progress.write(("\r" if self._live else "") + last + "\n")
        if event["exit_code"] == 0 or event["files"]:
            count = len(event["files"])
            took = f" in {duration(event['seconds'])}" if event["seconds"] is not None else ""
            files = f"{count} file{'s' if count != 1 else ''}"
            lost = f", {exchange_text(event['exchange'])}" if event.get("exchange") else ""
            self._line(self._output, f"{event['frames']} frames, {files}{took}{lost}")
            if event.get("bake"):
                self._line(self._output, f"Bake: {event['bake']}")
        if event["exit_code"] and self._checkpoint is not None:
            text = f"The run can go on from frame {self._checkpoint}: give the same command with --resume."
            self._line(self._progress, text)

    def _draw(self, text: str) -> None:
        padded = text.ljust(len(self._bar))
        if self._live:
            self._progress.write("\r" + padded)
            self._progress.flush()
        elif self._clock() - self._lined >= LINE_EVERY:
            self._lined = self._clock()
            print(text, file=self._progress, flush=True)
            text = ""  # said
        self._bar = text

    def _line(self, stream: TextIO, text: str) -> None:
        if self._live and self._bar:
            self._progress.write("\r" + " " * len(self._bar) + "\r")
            self._progress.flush()
        print(text, file=stream, flush=True)
        if self._live and self._bar:
            self._progress.write(self._bar)
            self._progress.flush()
