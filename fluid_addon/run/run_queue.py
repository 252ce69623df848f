# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one after the other: each in a worker of its own, the others wait for their turn."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

from ..diagnostics import FluidError, Kind, fail
from .events import Event, error_event
from .request import RunRequest
from .state import RunState, Stage
from .supervisor import WorkerRun

__all__ = ["RunQueue", "ToCapture"]


class StartWorker(Protocol):
    """What `WorkerRun` is called with."""

    def __call__(self, request: RunRequest, *, verb: str, background: bool) -> WorkerRun: ...


@dataclass(frozen=True)
class ToCapture:
    """What a run needs of the scene before it can begin: meshes of these objects.

    Attributes:
        frames: over which they are needed, from 0 on; None where the script does not say.
    """

    request: RunRequest
    objects: tuple[str, ...]
    frames: int | None


class RunQueue:
    """Keeps the latest run of each key, and works through those that wait: one run at a time, and beside it one check.

    A run that may ask for objects of the scene is checked first. Where it does ask, it waits in `to_capture` until
    `begin_captured` or `refuse` is called for it.

    Call `poll` several times a second; without that, nothing starts and nothing ends. Nothing here waits, but `close`.
    """

    def __init__(self, start: StartWorker = WorkerRun) -> None:
        self._start = start
        self._waiting: deque[tuple[str, RunRequest]] = deque()
        self._workers: dict[str, WorkerRun] = {}
        self._states: dict[str, RunState] = {}
        self._looking: dict[str, ToCapture] = {}  # runs whose worker only checks so far
        self.to_capture: dict[str, ToCapture] = {}

    @property
    def active(self) -> list[str]:
        """The keys that have a worker, or wait for a capture."""
        return [*self._workers, *self.to_capture]

    @property
    def is_busy(self) -> bool:
        return bool(self._workers or self._waiting or self.to_capture)

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
        in_order = [*self.active, *(waiting for waiting, _ in self._waiting)]
        return [other for other in in_order if self._states[other].verb == verb].index(key)

    def add(self, key: str, request: RunRequest, verb: str = "run", *, look_first: bool = False) -> RunState:
        """Queue a run, or a check; it begins with the next `poll` in which no other of its kind is under way.

        With `look_first` the script may ask for objects of the scene.

        Raises usage where a run of the same key goes on or waits.
        """
        if self.is_running(key):
            raise fail("usage", "This simulation is being run already.", "Stop it first, or wait for its end.")
        state = self._states[key] = RunState(verb=verb)
        self._waiting.append((key, request))
        self._looking.pop(key, None)
        if look_first:
            self._looking[key] = ToCapture(request, (), None)
        return state

    def poll(self) -> list[tuple[str, Event]]:
        """What happened since the last call, in order; the states know of it already. Starts what can begin."""
        told: list[tuple[str, Event]] = []
        for key, worker in list(self._workers.items()):
            told += [(key, event) for event in self._take(key, worker)]
            if self._states[key].is_over:
                self._looking.pop(key, None)
                self._workers.pop(key, worker).close()
        for entry in list(self._waiting):
            if not any(self._states[entry[0]].verb == self._states[key].verb for key in self.active):
                self._waiting.remove(entry)
                told += self._begin(*entry)
        return told

    def _take(self, key: str, worker: WorkerRun) -> list[Event]:
        told = []
        for event in worker.poll():
            look = self._looking.get(key)
            passed = look is not None and event["event"] == "finished" and event["exit_code"] == 0
            if passed and self._states[key].stage is Stage.STOPPING:
                passed, event = False, {**event, "exit_code": Kind.CANCELLED.value}
            if look is not None and event["event"] == "scene":
                self._looking[key] = replace(look, objects=tuple(event["objects"]), frames=event["frames"])
            elif passed:
                del self._workers[key]
                worker.close()
                told += self._looked(key)
            else:
                self._states[key].apply(event)
                told.append(event)
        return told

    def _looked(self, key: str) -> list[Event]:
        """The check before a run has found nothing wrong."""
        found = self._looking.pop(key)
        if not found.objects:
            return [event for _, event in self._begin(key, found.request)]
        self.to_capture[key] = found
        return []

    def tell(self, key: str, event: Event) -> tuple[str, Event]:
        """Take in what the keeper of this queue does for a run."""
        self._states[key].apply(event)
        return key, event

    def begin_captured(self, key: str, folder: str) -> list[tuple[str, Event]]:
        """The meshes that a run waits for are in a folder. Returns what happened, as `poll`."""
        return self._begin(key, replace(self.to_capture.pop(key).request, capture=folder))

    def refuse(self, key: str, error: FluidError) -> list[tuple[str, Event]]:
        """The meshes that a run waits for cannot be had. Returns what happened, as `poll`."""
        del self.to_capture[key]
        return self._end_without_worker(key, error, error.kind)

    def _begin(self, key: str, request: RunRequest) -> list[tuple[str, Event]]:
        try:
            verb = "check" if key in self._looking else self._states[key].verb
            self._workers[key] = self._start(request, verb=verb, background=True)
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
        if self.to_capture.pop(key, None) is not None:
            self._end_without_worker(key, None, Kind.CANCELLED)
        if key in self._workers:
            self._states[key].stop()
            self._workers[key].cancel()

    def close(self, grace: float = 0.5) -> None:
        """End everything. Workers get `grace` seconds to end by themselves; no process is left behind."""
        for key in [*(key for key, _ in self._waiting), *self.active]:
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
