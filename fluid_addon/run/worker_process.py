# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker process as its parent holds it: its pipes, its folder, what it says, and its end."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any

from ..child_process import child_command, child_environment, child_flags
from ..diagnostics import FluidError, fail
from .isolation import FOLDER_PREFIX
from .process_figures import processor_seconds
from .protocol import MessageWriter, ProtocolError, inheritable_handle, read_sized

__all__ = ["WorkerProcess"]

TAIL_BYTES = 4000
#: Messages that are read and not attended to; then the pipe fills, and then the worker waits. Each may have 64 MiB.
UNREAD = 2
#: Seconds for threads that only wait for the end of a pipe whose other side is gone.
THREAD_SECONDS = 1.0

Arrived = tuple[dict[str, Any], int] | ProtocolError | None


class WorkerProcess:
    """Starts a worker, in a temporary folder of its own. Raises OSError where none can be started.

    Args:
        python: the interpreter.
        background: it steps back behind this process where both want the processor.

    Attributes:
        arrived: its messages, with their sizes in bytes; a ProtocolError or None (the end) is the last. An empty one
            only wakes the reader.
    """

    def __init__(self, python: str = sys.executable, *, background: bool = False) -> None:
        self.arrived: queue.Queue[Arrived] = queue.Queue(UNREAD)
        self._tail = b""
        self._over = threading.Event()
        with contextlib.ExitStack() as kept, contextlib.ExitStack() as handed_on:
            reading, writing = os.pipe()
            kept.callback(os.close, reading)
            handed_on.callback(os.close, writing)
            self._folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX)
            kept.callback(shutil.rmtree, self._folder, ignore_errors=True)
            handle = inheritable_handle(writing)
            self._process = subprocess.Popen(
                child_command("fluid_addon.run.worker", str(handle), python=python),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd=self._folder,
                env=child_environment(),
                start_new_session=os.name == "posix",  # a Ctrl-C in the terminal is ours to hand on
                creationflags=child_flags(background=background),
                **_inherited(writing, handle),
            )
            kept.pop_all()  # until `close`
        assert self._process.stdin and self._process.stdout, "asked for as pipes"
        self._events = os.fdopen(reading, "rb")
        self._said = self._process.stdout
        self._requests = self._process.stdin
        self._writer = MessageWriter(self._requests)
        self._threads = [
            threading.Thread(target=self._read, name="worker events", daemon=True),
            threading.Thread(target=self._keep_tail, name="worker output", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, request: dict[str, Any]) -> None:
        """Hand the request over, without waiting until it is read: a large one does not fit into the pipe."""
        self._send(request)

    def ask_to_end(self) -> None:
        """Tell a worker that has read its request to stop, without waiting until it has heard."""
        self._send({"cancel": True})

    def _send(self, message: dict[str, Any]) -> None:
        thread = threading.Thread(target=self._write, args=(message,), name="worker request", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _write(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # a worker that is gone is said by its events
            self._writer.write(message)

    def wake(self) -> None:
        """Let whoever waits for `arrived` look around."""
        with contextlib.suppress(queue.Full):
            self.arrived.put_nowait(({}, 0))

    def _read(self) -> None:
        last: Arrived = None
        try:
            while (message := read_sized(self._events)) is not None:
                self._hand_over(message)
        except ProtocolError as error:
            last = error
        except (OSError, ValueError):
            pass
        self._hand_over(last)

    def _hand_over(self, message: Arrived) -> None:
        while not self._over.is_set():
            with contextlib.suppress(queue.Full):
                self.arrived.put(message, timeout=0.2)
                return

    def _keep_tail(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := self._said.read(65536):
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]

    def processor_seconds(self) -> float:
        """Processor time that the worker has used; 0 where the system does not say."""
        return processor_seconds(self.pid) or 0.0

    def wait(self, seconds: float) -> int | None:
        """Its exit status, or None where it goes on for that long."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self, grace: float = 0.0) -> None:
        """End the worker and what it has started: ask the system politely first where there is a grace."""
        if grace and self._process.poll() is None:
            if sys.platform != "win32":
                self._signal_all(signal.SIGTERM)
            else:
                self._process.terminate()
            self.wait(grace)
        if self._process.poll() is None:
            if sys.platform != "win32":
                self._signal_all(signal.SIGKILL)
            with contextlib.suppress(OSError):
                self._process.kill()

    def _signal_all(self, number: int) -> None:
        """Only while the worker lives: it leads a session of its own, whose number may be another's afterwards."""
        if sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def death(self, reading: str | None = None) -> FluidError:
        """worker-died, with how it ended and what it said last. For a worker that is gone.

        Args:
            reading: the grid file that it was reading then.
        """
        status = self._process.poll()
        by_signal = status is not None and status < 0
        how = f"by signal {_signal_name(-(status or 0))}" if by_signal else f"with status {status}"
        self._threads[1].join(THREAD_SECONDS)
        last = self._tail.decode("utf-8", "replace").strip().splitlines()
        said = f' Its last words: "{last[-1][:200]}".' if last else ""
        hint = "Finished frames are kept. A graphics driver or too little memory is the usual cause."
        if reading is not None:
            how += f' while it read "{reading}"'
            hint = "Finished frames are kept. The file may be damaged: write it again with the program that made it."
        return fail("worker-died", f"The worker process ended {how}.{said}", hint)

    def close(self) -> None:
        """Leave nothing behind of a worker that has ended: no thread, no open pipe, no folder."""
        self._over.set()
        for thread in self._threads:
            thread.join(THREAD_SECONDS)
        streams: list[Any] = [self._requests]
        if not any(thread.is_alive() for thread in self._threads):  # or closing would wait for their reading
            streams += [self._events, self._said]
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _inherited(descriptor: int, handle: int) -> dict[str, Any]:
    """What lets a child of `subprocess.Popen` have one more pipe."""
    if sys.platform != "win32":
        return {"pass_fds": (descriptor,)}
    else:  # noqa: RET505 - mypy looks at one system at a time
        return {"startupinfo": subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
