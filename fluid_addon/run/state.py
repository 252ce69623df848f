# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a run while it goes on, made from its events alone: what a panel shows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..diagnostics import Kind
from .events import Event
from .terminal import duration

__all__ = ["LOG_LINES", "RunState", "Stage"]

LOG_LINES = 500


class Stage(Enum):
    """Where a run stands. The value is the word for it."""

    QUEUED = "Queued"
    STARTING = "Starting"
    CHECKING = "Checking"
    CAPTURING = "Capturing"
    PREPARING = "Compiling"
    RUNNING = "Simulating"
    STOPPING = "Stopping"
    DONE = "Done"
    CHECKED = "Checked"
    STOPPED = "Stopped"
    FAILED = "Failed"


@dataclass
class RunState:
    """A run as its events tell it.

    Attributes:
        verb: "run" or "check".
        frame, frames: of the simulation; `frames` is None where the script did not say how many there will be.
        captured: what is captured of the scene before the run; `frame` and `frames` are of that then.
        domain: low and high corner of the script's first domain, once it is known.
        seconds_left: estimated, or None.
        log: (level, text), the level one of "log", "note", "error"; the last `LOG_LINES`.
        errors: diagnostics as `events.error_event` gives them.
        bake: folder of the bake, once there is one.
        files: exported so far.
        checkpoint: the frame of the last one that was written.
        resumes_from: the frame of the checkpoint that the run goes on from, or is to go on from.
        restarted: why the worker was started once more, in a sentence, else "".
        exit_code: of the command line; None while the run goes on.
    """

    verb: str = "run"
    stage: Stage = Stage.QUEUED
    frame: int = 0
    frames: int | None = None
    captured: str = ""
    domain: list[list[float]] | None = None
    seconds_left: float | None = None
    mcells_per_second: float = 0.0
    device: str = ""
    memory: str = ""
    log: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    errors: list[dict[str, Any]] = field(default_factory=list)
    bake: str | None = None
    files: int = 0
    checkpoint: int | None = None
    resumes_from: int | None = None
    restarted: str = ""
    seconds: float | None = None
    exit_code: int | None = None

    @property
    def is_over(self) -> bool:
        return self.exit_code is not None

    @property
    def fraction(self) -> float:
        """How much of the run is done, 0 to 1; 0 where that is not known."""
        return min(1.0, self.frame / self.frames) if self.frames else 0.0

    @property
    def headline(self) -> str:
        """The run in one short line: its stage, frame, and time left."""
        word = self.stage.value
        if self.stage is Stage.RUNNING:
            of = f" of {self.frames}" if self.frames else ""
            left = f", {duration(self.seconds_left)} left" if self.seconds_left is not None else ""
            return f"Frame {self.frame}{of}{left}"
        if self.stage in (Stage.STARTING, Stage.PREPARING) and self.resumes_from is not None:
            return f"Resuming from frame {self.resumes_from} …"
        if self.stage is Stage.CAPTURING:
            return f"Capturing {self.captured} {self.frame}/{self.frames}"
        if self.stage is Stage.DONE:
            took = f" in {duration(self.seconds)}" if self.seconds is not None else ""
            return f"Done: {self.files} file{'s' if self.files != 1 else ''}{took}"
        if self.stage is Stage.CHECKED:
            return "No problem found"
        if self.stage is Stage.FAILED:
            count = len(self.errors)
            return f"{count} problem{'s' if count != 1 else ''}" if count else "Failed"
        if self.stage is Stage.STOPPED:
            return f"Stopped at frame {self.frame}" if self.frame else "Stopped"
        return f"{word} …"

    def stop(self) -> None:
        """The artist asked for the end; it is near."""
        if not self.is_over:
            self.stage = Stage.STOPPING

    def apply(self, event: Event) -> None:
        """Take in one event."""
        match event["event"]:
            case "capture":
                self._reach(Stage.CAPTURING)
                self.captured, self.frame, self.frames = event["name"], event["frame"], event["frames"]
            case "started":
                self.captured, self.frame, self.frames = "", 0, None
                self._reach(Stage.CHECKING if self.verb == "check" else Stage.PREPARING)
            case "log":
                self.log.append(("log", event["text"]))
            case "note":
                where = f"{event['file']}:{event['line']}: " if event["file"] else ""
                self.log.append(("note", where + event["text"]))
            case "domain":
                self.domain = event["box"]
            case "memory":
                self.device, self.memory = event["device"], event["table"]
            case "bake":
                self.bake = event["folder"]
            case "progress":
                self._reach(Stage.RUNNING)
                self.frame, self.frames = event["frame"], event["frames"]
                self.seconds_left, self.mcells_per_second = event["seconds_left"], event["mcells_per_second"]
            case "frame":
                self.files += 1
            case "checkpoint":
                self.checkpoint = event["frame"]
            case "resumed":
                self.resumes_from = self.checkpoint = self.frame = event["frame"]
                self.files = event["files"]
                self.log.append(("note", f"The run goes on from frame {event['frame']}."))
            case "restarted":
                self.restarted = event["text"]
                self.files, self.checkpoint, self.resumes_from = 0, None, None  # until "resumed" says otherwise
                self.log.append(("note", event["text"]))
            case "error":
                self.errors.extend(event["diagnostics"])
                self.log.extend(("error", item["text"]) for item in event["diagnostics"])
            case "finished":
                self._finish(event)

    def _reach(self, stage: Stage) -> None:
        if self.stage is not Stage.STOPPING:
            self.stage = stage

    def _finish(self, event: Event) -> None:
        self.exit_code, self.seconds = event["exit_code"], event["seconds"]
        if self.captured:  # it never began to compute
            self.captured, self.frame, self.frames = "", 0, None
        if self.exit_code == 0:
            self.stage = Stage.CHECKED if self.verb == "check" else Stage.DONE
        elif self.exit_code == Kind.CANCELLED.value:
            self.stage = Stage.STOPPED
            self.errors = [item for item in self.errors if item["code"] != "cancelled"]
        else:
            self.stage = Stage.FAILED
