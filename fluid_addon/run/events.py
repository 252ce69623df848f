# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a run: plain dictionaries with an "event" key, the same on the command line, in the panel and in the log.

| event | keys |
|---|---|
| started | script |
| log | text |
| note | text, file, line |
| parameters | list of {name, default, minimum, maximum, help}: all that are declared by now, once at least |
| domain | box: low and high corner of the script's first domain, along the world's axes |
| scene | objects: the names that a check found the script to ask for; frames, or null where it cannot be told |
| capture | name, frame, frames: how far the meshes of a scene are captured before its run |
| plan | text, json: what one engine of the script would take of the devices, for people and as an object in bytes |
| memory | table, bytes, device, parts: list of {device, bytes}, one for each part of the domain |
| bake | folder |
| reading | path: the grid file that is being read now, or null afterwards |
| writing | path: the frame that is being written now, or null afterwards |
| progress | frame, frames (or null), time, mcells_per_second, leaves (active ones, or null), seconds_left (or null) |
| frame | path, frame, bytes |
| checkpoint | frame, bytes |
| resumed | frame: of the checkpoint that the run goes on from; files: of the bake that are kept |
| restarted | frame: the last one computed; text: why the worker was started once more |
| error | list of {code, message, hint, file, line, column, text} and their rendered text |
| finished | exit_code, seconds, frames, files, bake, exchange: {seconds, bytes} of halos on several devices, or null |
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..diagnostics import FluidError, render

__all__ = ["Emit", "Event", "Progress", "error_event"]

Event = dict[str, Any]
Emit = Callable[[Event], None]


def error_event(error: FluidError) -> Event:
    """A `FluidError` as an event."""
    items = []
    for diagnostic in error.diagnostics:
        place = diagnostic.place
        items.append(
            {
                "code": diagnostic.code,
                "message": diagnostic.message,
                "hint": diagnostic.hint,
                "file": place.file if place else None,
                "line": place.line if place else None,
                "column": place.column if place else None,
                "text": render(diagnostic),
            }
        )
    return {"event": "error", "diagnostics": items}


class Progress:
    """Turns steps into progress events, ten a second at most."""

    INTERVAL = 0.1

    def __init__(self, emit: Emit, last_frame: int | None) -> None:
        self._emit = emit
        self._frames = last_frame
        self._bounded = last_frame is not None
        self._start = time.monotonic()
        self._resumed = 0
        self._last = 0.0
        self._voxels = 0
        self._latest: Event | None = None

    def expect(self, frames: int) -> None:
        """More frames are known to come."""
        if not self._bounded:
            self._frames = (self._frames or 0) + frames

    def resume(self, frame: int) -> None:
        """Frames up to this one take no time: the run goes on behind it."""
        self._resumed = frame

    def step(self, frame: int, seconds: float, voxels: int, leaves: int | None = None) -> None:
        """A frame is computed, of so many voxels, or active leaves of a sparse domain."""
        now = time.monotonic()
        self._voxels += voxels
        elapsed = max(now - self._start, 1e-6)
        left = None
        if self._frames and frame > self._resumed:
            left = max(0.0, elapsed / (frame - self._resumed) * (self._frames - frame))
        self._latest = {
            "event": "progress",
            "frame": frame,
            "frames": self._frames,
            "time": seconds,
            "mcells_per_second": self._voxels / elapsed / 1e6,
            "leaves": leaves,
            "seconds_left": left,
        }
        if now - self._last >= self.INTERVAL:
            self.flush(now)

    def flush(self, now: float | None = None) -> None:
        """Emit the latest progress, if it was not yet."""
        if self._latest is not None:
            self._last = time.monotonic() if now is None else now
            self._emit(self._latest)
            self._latest = None
