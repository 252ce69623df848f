# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has told so far: enough to end its story in place of a worker that cannot."""

from __future__ import annotations

import os
from pathlib import Path

from ..diagnostics import CODES
from .events import Event
from .protocol import ProtocolError
from .request import RunRequest

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

    Args:
        request: with absolute paths.

    Attributes:
        frames: computed so far.
        bake: folder of the bake, once there is one.
        exit_code: of the run as its worker tells it; None before.
        checkpoint: the bake has one.
        reading: the grid file that is being read, or None.
        writing: the frame that is being written, or None.
    """

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self.frames = 0
        self.bake: str | None = None
        self.exit_code: int | None = None
        self.checkpoint = False
        self.reading: str | None = None
        self.writing: str | None = None
        self._doing = "starting"
        self._codes: list[str] = []
        self._files: dict[str, None] = {}
        self._size = 0  # of their paths
        self._finished: Event | None = None

    def start_again(self, *, keep_bake: bool) -> None:
        """Another worker takes over: it goes on with the bake, or begins a new one."""
        self.exit_code = self._finished = self.reading = self.writing = None
        self._codes = []
        if not keep_bake:
            self.bake, self.checkpoint, self.frames = None, False, 0
            self._files, self._size = {}, 0

    @property
    def is_finished(self) -> bool:
        return self._finished is not None

    @property
    def is_at_disk(self) -> bool:
        """Whether the worker reads or writes a file, which may take it long without any work."""
        return self.reading is not None or self.writing is not None

    @property
    def doing(self) -> str:
        """What the worker was doing when it was last heard of, to go after "while it was"."""
        if self.writing is not None:
            return f'writing "{self.writing[:200]}"'
        return self._doing if self.reading is None else f'reading "{self.reading[:200]}"'

    def said_why(self, status: int | None) -> bool:
        """Whether a worker that ended with this exit status told the error that led to it."""
        return any(CODES[code].value == status for code in self._codes if code in CODES)

    def add(self, event: Event) -> None:
        """Take the next event in.

        Raises:
            ProtocolError: for more frames than a run can have, or a bake where the run does not write.
        """
        self._doing = _DOING.get(event["event"], self._doing)
        match event["event"]:
            case "progress" | "resumed":
                self.frames = event["frame"]
                self._doing = f"computing frame {self.frames + 1}"
            case "frame":
                self._files[event["path"]] = None
                self._size += len(event["path"])
                if self._size > MOST_OF_PATHS:
                    raise ProtocolError(f"{len(self._files):,} frames")
            case "bake":
                if not self._may_write(event["folder"]):
                    raise ProtocolError(f'a bake outside of the output folder, "{event["folder"][:200]}"')
                self.bake = event["folder"]
            case "reading":
                self.reading = event["path"]
            case "writing":
                self.writing = event["path"]
            case "checkpoint":
                self.checkpoint = True
            case "error":
                self._codes += [item["code"] for item in event["diagnostics"]]
            case "finished":
                self._finished, self.exit_code = event, event["exit_code"]
                self.frames = max(self.frames, event["frames"])
                self._files.update(dict.fromkeys(event["files"]))

    def _may_write(self, bake: str) -> bool:
        """Whether a bake is a folder in that of the output, or the one that the run goes on in."""
        resumed = self._request.resume
        if resumed is not None and bake in (resumed, os.path.realpath(resumed)):
            return True
        folder = Path(bake)
        return folder.parent == Path(self._request.output) and folder.name != ".." and "\0" not in bake

    def finished(self, code: int) -> Event:
        """The last event: that of the worker, or in its place."""
        told = self._finished or {"event": "finished", "seconds": None, "files": list(self._files), "exchange": None}
        return {**told, "exit_code": code, "frames": self.frames, "bake": self.bake}
