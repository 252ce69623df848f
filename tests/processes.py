# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests ask of processes, and of runs that are over; whatever takes its time on a busy machine is waited for."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from fluid_addon.run import WorkerRun

__all__ = ["children", "closed", "gone"]


def children(pid: int | None = None) -> set[int]:
    """The processes that a process has started and that still run; by default those of this one.

    The GLSL compiler, which stays as long as the process that it works for, is none of them.
    """
    found: set[int] = set()
    for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update(map(int, (task / "children").read_text().split()))
    return {child for child in found if not _is_compiler(child)}


def _is_compiler(pid: int) -> bool:
    try:
        return b"compiler_child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def gone(process: int, seconds: float = 30.0) -> bool:
    """Whether a process is gone, and no zombie of it left, within some seconds."""
    end = time.monotonic() + seconds
    while Path(f"/proc/{process}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    return not Path(f"/proc/{process}").exists()


def closed(run: WorkerRun) -> None:
    """Close a run, and wait for its threads, which `close` does for a second alone; the last of them tidies up."""
    run.close()
    for thread in (run._thread, *run._process._threads):
        thread.join(30)
        assert not thread.is_alive(), thread.name
