# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a run whose device was lost is started once more, and from where."""

from __future__ import annotations

import dataclasses

from .events import Event
from .request import RunRequest
from .so_far import SoFar

__all__ = ["Restarts"]


class Restarts:
    """Decides for one run.

    A lost device takes its process with it, yet a new process mostly gets it back: after a driver was updated, a laptop
    slept, a step was too long for the desktop. So the run goes on from its last checkpoint, or from its start where it
    has none, once for each step and `MOST` times in all. It waits for each kernel then, so that a second loss in the
    same step names the one that it happens in.

    Attributes:
        held: the error of the loss. It is told only where the run does not go on.
    """

    MOST = 3

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._lost_at: list[int] = []  # the frames that were computed before each loss
        self.held: Event | None = None

    def holds(self, event: Event) -> bool:
        """Whether an event is not to be told yet."""
        if event["event"] == "error" and event["diagnostics"] and event["diagnostics"][0]["code"] == "device-lost":
            self.held = event
            return True
        return False

    def after(self, so_far: SoFar) -> tuple[RunRequest, Event] | None:
        """What to run after a worker has ended, with the event that tells it; None where this is the end."""
        if self.held is None:
            return None
        frame = so_far.frames
        if len(self._lost_at) >= self.MOST or frame in self._lost_at:
            return None
        self._lost_at.append(frame)
        message, self.held = self.held["diagnostics"][0]["message"], None
        resume = so_far.bake if so_far.checkpoint else self._request.resume
        again = dataclasses.replace(self._request, resume=resume, careful=True)
        where = "its last checkpoint" if resume else "its start, as there is no checkpoint yet"
        text = f"{message} The run begins once more from {where}."
        return again, {"event": "restarted", "frame": frame, "text": text}
