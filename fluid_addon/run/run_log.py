# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of the last run, which a bug report takes along."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

from ..gpu.disk_cache import default_cache_folder
from .events import Emit, Event

__all__ = ["last_log", "with_log"]


def last_log() -> Path:
    """The log of the last run on this machine."""
    return default_cache_folder() / "last_run.log"


def with_log(emit: Emit) -> Emit:
    """Events go on, and into the log file that a bug report takes along. One that cannot be written costs a note."""
    path, lock = last_log(), threading.Lock()
    mode: Literal["w", "a"] | None = "w"

    def write(line: str) -> OSError | None:
        nonlocal mode
        try:
            if mode == "w":
                path.parent.mkdir(parents=True, exist_ok=True)
            if mode is not None:
                with path.open(mode, encoding="utf-8", errors="backslashreplace") as log:
                    log.write(line + "\n")
                mode = "a"
        except OSError as error:
            mode = None
            return error
        return None

    def logged(event: Event) -> None:
        emit(event)
        if line := _log_line(event):
            with lock:
                problem = write(line)
            if problem is not None:
                text = f'The log of this run, "{path}", cannot be written: {problem.strerror or problem}.'
                emit({"event": "note", "text": text, "file": None, "line": None})

    return logged


def _log_line(event: Event) -> str:
    match event["event"]:
        case "error":
            return "\n".join(f"Lua Script Error: {item['text']}" for item in event["diagnostics"])
        case "log" | "note":
            return str(event["text"])
        case "frame":
            return f"wrote {event['path']} ({event['bytes']} bytes)"
        case "started" | "bake" | "finished":
            return " ".join(f"{key}={value}" for key, value in event.items() if key != "files")
        case "memory":
            return str(event["table"])
    return ""
