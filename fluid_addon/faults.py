# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on purpose: points where a disk, a device, memory or a process can fail, and tests that let each of them.

Code asks `fault("disk.write")` where the real thing could fail, and does there what that failure looks like. Nothing is
armed unless a test says so, or the variable FLUID_SCRIPT_FAULTS of a child process that a test starts. A loop over
n = 1, 2, 3… that ends when the fault no longer fires has visited every passage (SQLite's way of testing).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["FAULTS_VARIABLE", "Action", "Fault", "fault", "fault_text", "injected"]

#: Armed faults of a process that starts, as `fault_text` writes them.
FAULTS_VARIABLE = "FLUID_SCRIPT_FAULTS"

#: "fail": the point fails. "kill": the process is killed there. "hang": the thread stays there for good.
Action = Literal["fail", "kill", "hang"]


@dataclass
class Fault:
    """An armed fault.

    Attributes:
        passage: which passage of the point it is for, from 1.
        more: every later passage fails as well.
        passed: passages so far.
        fired: whether any has failed.
    """

    point: str
    passage: int
    action: Action = "fail"
    more: bool = False
    passed: int = 0
    fired: bool = False


_lock = threading.Lock()


def _from_text(text: str) -> list[Fault]:
    armed = []
    for entry in filter(None, text.split(",")):
        point, _, rest = entry.partition("@")
        passage, _, action = rest.partition(":")
        chosen: Action = next(known for known in get_args(Action) if known == (action or "fail"))
        armed.append(Fault(point, int(passage.rstrip("+")), chosen, passage.endswith("+")))
    return armed


_armed: list[Fault] = _from_text(os.environ.get(FAULTS_VARIABLE, ""))


def fault_text(point: str, passage: int, action: Action = "fail", *, more: bool = False) -> str:
    """What arms a fault in a child process, as the value of `FAULTS_VARIABLE`; several are joined by commas."""
    return f"{point}@{passage}{'+' * more}:{action}"


def fault(point: str) -> bool:
    """Whether this passage of a point is to fail. Always False where nothing is armed."""
    return bool(_armed) and _passes(point)


def _passes(point: str) -> bool:
    due: Fault | None = None
    with _lock:
        for each in _armed:
            if each.point == point:
                each.passed += 1
                if each.passed == each.passage or (each.more and each.passed > each.passage):
                    due, each.fired = each, True
    if due is None:
        return False
    if due.action == "kill":
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    while due.action != "fail":  # a kill takes a moment to arrive
        time.sleep(1.0)
    return True


@contextmanager
def injected(point: str, passage: int, action: Action = "fail", *, more: bool = False) -> Iterator[Fault]:
    """While this lasts, the fault is armed in this process."""
    armed = Fault(point, passage, action, more)
    with _lock:
        _armed.append(armed)
    try:
        yield armed
    finally:
        with _lock:
            _armed.remove(armed)
