# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one after the other: each in a worker of its own, the others wait for their turn."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from ..diagnostics import FluidError, fail
from .events import Event, error_event
from .request import RunRequest
from .state import RunState, Stage
from .supervisor import WorkerRun

__all__ = ["RunQueue"]


class StartWorker(Protocol):
    """What `WorkerRun` is called with."""

    def __call__(self, request: RunRequest, *, verb: str, background: bool) -> WorkerRun: ...


class RunQueue:
    """Keeps the latest run of each key, and works through those that wait. Nothing here ever waits for a run.

    Call `poll` several times a second; without that, nothing starts and nothing ends.
    """

    def __init__(self, start: StartWorker = WorkerRun) -> None:
        self._start = start
        self._waiting: deque[tuple[str, RunRequest]] = deque()
        self._worker: WorkerRun | None = None
        self._active: str | None = None
        self._states: dict[str, RunState] = {}

    @property
    def active(self) -> str | None:
        """The key of the run that has a worker."""
        return self._active

    @property
    def is_busy(self) -> bool:
        return self._worker is not None or bool(self._waiting)

    @property
    def is_stopping(self) -> bool:
        """Whether the run that has a worker was asked to end."""
        return self._active is not None and self._states[self._active].stage is Stage.STOPPING

    def state(self, key: str) -> RunState | None:
        """The latest run of a key, also after its end."""
        return self._states.get(key)

    def is_running(self, key: str) -> bool:
        """Whether a run of this key goes on or waits."""
        state = self._states.get(key)
        return state is not None and not state.is_over

    def runs_before(self, key: str) -> int:
        """How many runs come before one that waits; 0 for any other."""
        waiting = [other for other, _ in self._waiting]
        return waiting.index(key) + (self._worker is not None) if key in waiting else 0

    def add(self, key: str, request: RunRequest, verb: str = "run") -> RunState:
        """Queue a run; it begins with the next `poll` in which no other is under way.

        Raises usage where a run of the same key goes on or waits.
        """
        if self.is_running(key):
            raise fail("usage", "This simulation is being run already.", "Stop it first, or wait for its end.")
        state = self._states[key] = RunState(verb=verb)
        self._waiting.append((key, request))
        return state

    def poll(self) -> list[tuple[str, Event]]:
        """What happened since the last call, in order; the states know of it already. Starts the next run."""
        told: list[tuple[str, Event]] = []
        if self._worker is not None and self._active is not None:
            for event in self._worker.poll():
                told.append((self._active, event))
                self._states[self._active].apply(event)
            if self._states[self._active].is_over:
                self._worker.close()
                self._worker = self._active = None
        if self._worker is None and self._waiting:
            told += self._begin(*self._waiting.popleft())
        return told

    def _begin(self, key: str, request: RunRequest) -> list[tuple[str, Event]]:
        state = self._states[key]
        try:
            self._worker = self._start(request, verb=state.verb, background=True)
        except OSError as error:
            return self._end_without_worker(
                key, fail("worker-died", f"No worker process could be started: {error}."), 6
            )
        self._active = key
        return []

    def _end_without_worker(self, key: str, error: FluidError | None, code: int) -> list[tuple[str, Event]]:
        events: list[Event] = [error_event(error)] if error else []
        events.append({"event": "finished", "exit_code": code, "seconds": None, "frames": 0, "files": []})
        for event in events:
            self._states[key].apply(event)
        return [(key, event) for event in events]

    def stop(self, key: str) -> None:
        """Ask the run of a key to end: one that waits is taken out at once, one that has a worker ends soon."""
        waiting = [entry for entry in self._waiting if entry[0] == key]
        for entry in waiting:
            self._waiting.remove(entry)
            self._end_without_worker(key, None, 130)
        if self._active == key and self._worker is not None:
            self._states[key].stop()
            self._worker.cancel()

    def forget(self, key: str) -> None:
        """Drop what is known of a run that is over."""
        if not self.is_running(key):
            self._states.pop(key, None)

    def close(self, grace: float = 0.5) -> None:
        """End everything. The worker gets `grace` seconds to finish its frame; no process is left behind."""
        for key, _ in list(self._waiting):
            self.stop(key)
        if self._worker is not None and self._active is not None:
            self.stop(self._active)
            end = time.monotonic() + grace
            while not self._states[self._active].is_over and time.monotonic() < end:
                time.sleep(0.01)
                for event in self._worker.poll():
                    self._states[self._active].apply(event)
            self._worker.close()
            if not self._states[self._active].is_over:
                self._end_without_worker(self._active, None, 130)
        self._worker = self._active = None
