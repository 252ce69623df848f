# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has told so far: enough to end its story in place of a worker that cannot."""

from __future__ import annotations

from ..diagnostics import CODES
from .events import Event
from .protocol import ProtocolError

__all__ = ["SoFar"]

#: Characters of the paths of a run's frames. A million of them have less.
MOST_OF_PATHS = 256 << 20

#: What a worker is doing once it has told an event of this kind.
_DOING = {
    "started": "preparing the run",
    "domain": "compiling stencils",
    "memory": "computing the first frame",
    "resumed": "restoring a checkpoint",
    "finished": "ending",
}


class SoFar:
    """Follows the events of a run over one worker, or several after each other.

    Attributes:
        frames: computed so far.
        bake: folder of the bake, once there is one.
        doing: what the worker was doing when it was last heard of, to go after "while it was".
        exit_code: of the run as its worker tells it; None before.
        checkpoint: the bake has one.
        reading: the grid file that is being read, or None.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.bake: str | None = None
        self.doing = "starting"
        self.exit_code: int | None = None
        self.checkpoint = False
        self.reading: str | None = None
        self._codes: list[str] = []
        self._files: dict[str, None] = {}
        self._size = 0  # of their paths
        self._finished: Event | None = None

    def start_again(self, *, keep_bake: bool) -> None:
        """Another worker takes over: it goes on with the bake, or begins a new one."""
        self.exit_code, self._finished, self.reading = None, None, None
        self._codes = []
        if not keep_bake:
            self.bake, self.checkpoint, self.frames = None, False, 0
            self._files = {}

    @property
    def is_finished(self) -> bool:
        return self._finished is not None

    def said_why(self, status: int | None) -> bool:
        """Whether a worker that ended with this exit status told the error that led to it."""
        return any(CODES[code].value == status for code in self._codes if code in CODES)

    def add(self, event: Event) -> None:
        """Take the next event in. Raises ProtocolError for more frames than a run can have."""
        self.doing = _DOING.get(event["event"], self.doing)
        match event["event"]:
            case "progress" | "resumed":
                self.frames = event["frame"]
                self.doing = f"computing frame {self.frames + 1}"
            case "frame":
                self._files[event["path"]] = None
                self._size += len(event["path"])
                if self._size > MOST_OF_PATHS:
                    raise ProtocolError(f"{len(self._files):,} frames")
            case "bake":
                self.bake = event["folder"]
            case "reading":
                self.reading = event["path"]
            case "checkpoint":
                self.checkpoint = True
            case "error":
                self._codes += [item["code"] for item in event["diagnostics"]]
            case "finished":
                self._finished, self.exit_code = event, event["exit_code"]
                self.frames = max(self.frames, event["frames"])
                self._files.update(dict.fromkeys(event["files"]))

    def finished(self, code: int) -> Event:
        """The last event: that of the worker, or in its place."""
        told = self._finished or {"event": "finished", "seconds": None, "files": list(self._files), "exchange": None}
        return {**told, "exit_code": code, "frames": self.frames, "bake": self.bake}
