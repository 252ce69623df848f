# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one after the other: each in a worker of its own, the others wait for their turn."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from ..diagnostics import FluidError, Kind, fail
from .events import Event, error_event
from .request import RunRequest
from .state import RunState, Stage
from .supervisor import WorkerRun

__all__ = ["RunQueue"]


class StartWorker(Protocol):
    """What `WorkerRun` is called with."""

    def __call__(self, request: RunRequest, *, verb: str, background: bool) -> WorkerRun: ...


class RunQueue:
    """Keeps the latest run of each key, and works through those that wait: one run at a time, and beside it one check.

    Call `poll` several times a second; without that, nothing starts and nothing ends. Nothing here waits, but `close`.
    """

    def __init__(self, start: StartWorker = WorkerRun) -> None:
        self._start = start
        self._waiting: deque[tuple[str, RunRequest]] = deque()
        self._workers: dict[str, WorkerRun] = {}
        self._states: dict[str, RunState] = {}

    @property
    def active(self) -> list[str]:
        """The keys that have a worker."""
        return list(self._workers)

    @property
    def is_busy(self) -> bool:
        return bool(self._workers or self._waiting)

    @property
    def is_stopping(self) -> bool:
        """Whether something that has a worker was asked to end."""
        return any(self._states[key].stage is Stage.STOPPING for key in self._workers)

    def state(self, key: str) -> RunState | None:
        """The latest run of a key, also after its end."""
        return self._states.get(key)

    def is_running(self, key: str) -> bool:
        """Whether a run of this key goes on or waits."""
        state = self._states.get(key)
        return state is not None and not state.is_over

    def worker_pid(self, key: str) -> int | None:
        """The process of a run, while it has one."""
        return self._workers[key].pid if key in self._workers else None

    def runs_before(self, key: str) -> int:
        """How many come before one that waits; 0 for any other."""
        if key not in (other for other, _ in self._waiting):
            return 0
        verb = self._states[key].verb
        in_order = [*self._workers, *(waiting for waiting, _ in self._waiting)]
        return [other for other in in_order if self._states[other].verb == verb].index(key)

    def add(self, key: str, request: RunRequest, verb: str = "run") -> RunState:
        """Queue a run, or a check; it begins with the next `poll` in which no other of its kind is under way.

        Raises usage where a run of the same key goes on or waits.
        """
        if self.is_running(key):
            raise fail("usage", "This simulation is being run already.", "Stop it first, or wait for its end.")
        state = self._states[key] = RunState(verb=verb)
        self._waiting.append((key, request))
        return state

    def poll(self) -> list[tuple[str, Event]]:
        """What happened since the last call, in order; the states know of it already. Starts what can begin."""
        told: list[tuple[str, Event]] = []
        for key, worker in list(self._workers.items()):
            told += [(key, event) for event in self._take(key, worker)]
            if self._states[key].is_over:
                del self._workers[key]
                worker.close()
        for entry in list(self._waiting):
            if not any(self._states[entry[0]].verb == self._states[key].verb for key in self._workers):
                self._waiting.remove(entry)
                told += self._begin(*entry)
        return told

    def _take(self, key: str, worker: WorkerRun) -> list[Event]:
        events = worker.poll()
        for event in events:
            self._states[key].apply(event)
        return events

    def _begin(self, key: str, request: RunRequest) -> list[tuple[str, Event]]:
        try:
            self._workers[key] = self._start(request, verb=self._states[key].verb, background=True)
        except OSError as error:
            problem = fail("worker-died", f"No worker process could be started: {error}.")
            return self._end_without_worker(key, problem, Kind.WORKER)
        return []

    def _end_without_worker(self, key: str, error: FluidError | None, kind: Kind) -> list[tuple[str, Event]]:
        events: list[Event] = [error_event(error)] if error else []
        events.append({"event": "finished", "exit_code": kind.value, "seconds": None, "frames": 0, "files": []})
        for event in events:
            self._states[key].apply(event)
        return [(key, event) for event in events]

    def stop(self, key: str) -> None:
        """Ask the run of a key to end: one that waits is taken out at once, one that has a worker ends soon."""
        waiting = [entry for entry in self._waiting if entry[0] == key]
        for entry in waiting:
            self._waiting.remove(entry)
            self._end_without_worker(key, None, Kind.CANCELLED)
        if key in self._workers:
            self._states[key].stop()
            self._workers[key].cancel()

    def close(self, grace: float = 0.5) -> None:
        """End everything. Workers get `grace` seconds to end by themselves; no process is left behind."""
        for key in [*(key for key, _ in self._waiting), *self._workers]:
            self.stop(key)
        end = time.monotonic() + grace
        while any(not self._states[key].is_over for key in self._workers) and time.monotonic() < end:
            time.sleep(0.01)
            for key, worker in self._workers.items():
                self._take(key, worker)
        for key, worker in self._workers.items():
            worker.close()
            if not self._states[key].is_over:
                self._end_without_worker(key, None, Kind.CANCELLED)
        self._workers.clear()
