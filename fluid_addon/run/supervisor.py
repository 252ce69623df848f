# SPDX-License-Identifier: GPL-3.0-or-later
"""The side of a run that stays alive: starts the worker, hands its events on, cancels it, and says when it died."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO, BinaryIO

from ..diagnostics import FluidError, fail
from .child import child_command, child_environment, child_flags
from .events import Event, error_event
from .protocol import MessageWriter, ProtocolError, read_message
from .request import RunRequest

__all__ = ["WorkerRun"]

GRACE_SECONDS = 3.0
TAIL_BYTES = 4000


class WorkerRun:
    """A run in a worker process. Iterate `events()` or drain `poll()`; both end after the event "finished".

    Args:
        python: the interpreter; default this one.
        verb: "run", or "check" for its diagnostics and parameters alone.
        background: the worker steps back behind this process where both want the processor.
    """

    def __init__(
        self, request: RunRequest, python: str = sys.executable, *, verb: str = "run", background: bool = False
    ) -> None:
        self._process = subprocess.Popen(
            child_command("fluid_addon.run.worker", python=python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            start_new_session=os.name == "posix",  # a Ctrl-C in the terminal is ours to hand on
            creationflags=child_flags(background=background),
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr, "asked for as pipes"
        self._requests = MessageWriter(_binary(self._process.stdin))
        self._events: queue.Queue[Event] = queue.Queue()
        self._tail = b""
        self._cancelled = self._begun = False
        self._errors = threading.Thread(target=self._keep_tail, args=(self._process.stderr,), daemon=True)
        self._errors.start()
        self._reader = threading.Thread(target=self._read, args=(_binary(self._process.stdout),), daemon=True)
        self._reader.start()
        with contextlib.suppress(OSError):  # a worker that dies at once is reported by the reader
            self._requests.write({"request": request.to_json(), "verb": verb, "background": background})

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self, stream: BinaryIO) -> None:
        finished = False
        try:
            while (event := read_message(stream)) is not None:
                self._begun = True
                finished = finished or event.get("event") == "finished"
                self._events.put(event)
        except ProtocolError as error:
            self._process.kill()
            self._tail += f"\n{error}".encode()
        status = self._process.wait()
        self._errors.join(timeout=1.0)
        if not finished:
            if not self._cancelled:
                self._events.put(error_event(self._death(status)))
            code = 130 if self._cancelled else 6
            self._events.put({"event": "finished", "exit_code": code, "seconds": None, "frames": 0, "files": []})

    def _death(self, status: int) -> FluidError:
        how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        last = self._tail.decode("utf-8", "replace").strip().splitlines()
        said = f' Its last words: "{last[-1][:200]}".' if last else ""
        hint = "Finished frames are kept. A graphics driver or too little memory is the usual cause."
        return fail("worker-died", f"The worker process ended {how}.{said}", hint)

    def _keep_tail(self, stream: IO[bytes]) -> None:
        while chunk := stream.read1(65536):  # type: ignore[attr-defined]
            self._tail = (self._tail + chunk)[-TAIL_BYTES:]

    def poll(self) -> list[Event]:
        """The events that arrived since the last call; never waits."""
        events = []
        with contextlib.suppress(queue.Empty):
            while True:
                events.append(self._events.get_nowait())
        return events

    def events(self) -> Iterator[Event]:
        """Every event until the run is finished."""
        while True:
            event = self._events.get()
            yield event
            if event.get("event") == "finished":
                return

    def cancel(self) -> None:
        """Ask the run to stop; the worker is ended if it does not within some seconds, or has not begun yet."""
        self._cancelled = True
        if not self._begun:
            self._process.kill()
            return
        with contextlib.suppress(OSError, ValueError):
            self._requests.write({"cancel": True})
        threading.Thread(target=self._end_late, daemon=True).start()

    def _end_late(self) -> None:
        for end in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(GRACE_SECONDS)
                return
            except subprocess.TimeoutExpired:
                end()

    def close(self) -> None:
        """End the worker if it still runs, and leave no zombie and no open pipe."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(timeout=5.0)
        self._errors.join(timeout=5.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _binary(stream: IO[bytes]) -> BinaryIO:
    return stream  # type: ignore[return-value]
