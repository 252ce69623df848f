# SPDX-License-Identifier: GPL-3.0-or-later
"""The side of a run that stays alive: starts the worker, hands its events on, cancels it, and says when it died."""

from __future__ import annotations

import dataclasses
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ..diagnostics import FluidError, Kind, fail
from ..volumes.atomic import remove_parts_of
from .event_buffer import EventBuffer
from .event_shapes import check_event
from .events import Event, error_event
from .protocol import HalfMessageError, ProtocolError
from .request import RunRequest
from .restarts import Restarts
from .so_far import SoFar
from .worker_process import WorkerProcess

__all__ = ["WorkerRun"]

#: Seconds between two looks at a worker that says nothing.
TICK = 0.25
#: Looks, of this process while it ran, without any sign of life. A computer that sleeps does not look.
SILENT_TICKS = 120
#: The same for a worker that uses the processor, or waits for a disk: a library may hold Python still while it writes a
#: frame of gigabytes.
BUSY_TICKS = 2400
BUSY = 0.1  # of a processor
#: Seconds that a cancelled worker has to end by itself, and then to be gone before its end is told without it.
CANCEL_SECONDS = 0.12
GONE_SECONDS = 0.04
#: Seconds between two looks at a cancelled worker.
CANCEL_TICK = 0.01
#: Seconds that a worker has to end after it has told its end, whatever it tells then.
END_SECONDS = 1.0
#: Seconds between a polite end and a kill, for a worker that does not answer.
GRACE_SECONDS = 0.5

_OUR_FAULT = "Finished frames are kept. Please report it, with what Copy Report gives."


class WorkerRun:
    """A run in a worker process. Iterate `events()` or drain `poll()`; both end after the event "finished".

    A run that lost its device is started once more from its last checkpoint, see `Restarts`.

    Args:
        python: the interpreter; default this one.
        verb: "run", "check" for its diagnostics and parameters alone, or "plan" for what it would take of the devices.
        background: the worker steps back behind this process where both want the processor.

    Raises OSError where no process can be started.
    """

    def __init__(
        self, request: RunRequest, python: str = sys.executable, *, verb: str = "run", background: bool = False
    ) -> None:
        self._python, self._verb, self._background = python, verb, background
        self._request = _with_absolute_paths(request)
        self._events = EventBuffer()
        self._cancelled: float | None = None  # when
        self._begun = False  # the worker has told an event, so it listens
        self._so_far = SoFar(self._request)
        self._restarts = Restarts(self._request)
        self._lock = threading.RLock()  # a signal may ask for the end while this thread already ends it
        self._process = WorkerProcess(python, background=background)
        self._thread = threading.Thread(target=self._supervise, name="worker run", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> list[Event]:
        """The events that arrived since the last call; never waits."""
        return self._events.take()

    def events(self) -> Iterator[Event]:
        """Every event until the run is finished."""
        while True:
            event = self._events.next()
            yield event
            if event["event"] == "finished":
                return

    def cancel(self) -> None:
        """Ask the run to stop. Its end is told within 0.2 seconds, whatever the worker does."""
        with self._lock:
            if self._cancelled is not None:
                return
            self._cancelled = time.monotonic()
            self._events.open_up()
            if self._begun:
                self._process.ask_to_end()
            else:
                self._process.end()
        self._process.wake()

    def close(self) -> None:
        """End the worker if it still runs, and leave no zombie, no open pipe and no thread."""
        with self._lock:
            self._cancelled = self._cancelled or time.monotonic()
            self._events.open_up()
            self._process.end()
        self._process.wake()
        self._thread.join(END_SECONDS)

    # ----- the thread that attends to the worker

    def _supervise(self) -> None:
        """See to it that the end of the run is told, whatever happens; what workers leave can wait until then."""
        code = Kind.WORKER.value
        try:
            code = self._code(self._attend_all())
        except Exception as error:
            message = f"The worker process was ended for a fault of this add-on: {error}."
            self._tell(error_event(fail("worker-died", message, _OUR_FAULT)))
            self._process.end()
        finally:
            self._tell(self._so_far.finished(code))
            while self._process.wait(1.0) is None:
                pass  # the system cannot end it yet, in the middle of a driver's or a disk's work
            self._leave_nothing_of(self._process)

    def _attend_all(self) -> int | None:
        """Attend to one worker after the other. Returns the exit status of the last, None where it had to be ended."""
        request = self._request
        while True:
            status = self._attend(self._process, request)
            again = None if self._cancelled is not None else self._restarts.after(self._so_far)
            if again is None:
                break
            self._leave_nothing_of(self._process)
            request, event = again
            self._tell(event)
            self._so_far.start_again(keep_bake=request.resume is not None)
            if not self._start_again():
                break
        if self._restarts.held is not None:
            self._tell(self._restarts.held)
        return status

    def _leave_nothing_of(self, process: WorkerProcess) -> None:
        process.close()
        if self._so_far.bake is not None and not self._so_far.is_finished:
            remove_parts_of(Path(self._so_far.bake), process.pid)

    def _start_again(self) -> bool:
        with self._lock:
            if self._cancelled is not None:
                return False
            self._begun = False
            try:
                self._process = WorkerProcess(self._python, background=self._background)
            except OSError as error:
                problem = fail("worker-died", f"No worker process could be started: {error}.")
                self._tell(error_event(problem))
                return False
            return True

    def _attend(self, process: WorkerProcess, request: RunRequest) -> int | None:
        """Hand on what one worker says until it is gone. Returns its exit status; None where it had to be ended."""
        process.begin({"request": request.to_json(), "verb": self._verb, "background": self._background})
        problem: FluidError | None = None
        try:
            if self._listen(process):
                process.wait(END_SECONDS if self._cancelled is None else GONE_SECONDS)
        except FluidError as error:
            problem = error
        status = process.wait(0.0)
        if status is None:
            process.end(GRACE_SECONDS if self._cancelled is None else 0.0)
            process.wait(END_SECONDS if self._cancelled is None else GONE_SECONDS)
        if not self._so_far.is_finished and self._cancelled is None:
            if problem is not None:
                self._tell(error_event(problem))
            elif self._restarts.held is None and not self._so_far.said_why(status):
                self._tell(error_event(process.death(self._so_far.reading)))
        return status if problem is None else None

    def _listen(self, process: WorkerProcess) -> bool:
        """Take messages in until the worker ends, or has to be ended. Returns whether it is about to end by itself.

        Raises:
            FluidError: worker-protocol, worker-stalled.
        """
        silent, worked = 0, 0.0
        over: float | None = None  # when it told its end
        while True:
            now = time.monotonic()
            if self._cancelled is not None and now - self._cancelled >= CANCEL_SECONDS:
                return False
            if over is not None and now - over >= END_SECONDS:
                return False  # a driver's own end holds it up
            try:
                message = process.arrived.get(timeout=TICK if self._cancelled is None else CANCEL_TICK)
            except queue.Empty:
                worked = worked if silent else process.processor_seconds()
                silent += self._cancelled is None
                if silent >= SILENT_TICKS:
                    used = process.processor_seconds() - worked
                    idle = used < BUSY * silent * TICK and not self._so_far.is_at_disk
                    if idle or silent >= BUSY_TICKS:
                        raise self._stalled(silent) from None
                continue
            if message is None:
                return True
            if isinstance(message, ProtocolError):
                if isinstance(message, HalfMessageError) and process.wait(END_SECONDS) not in (None, 0):
                    return True  # it was killed while it wrote
                raise _broken(message)
            if message[1]:
                silent = 0
                self._take(*message)
                if over is None and self._so_far.is_finished:
                    over = time.monotonic()

    def _take(self, message: Event, size: int) -> None:
        if "alive" in message:
            return
        self._begun = True
        try:
            event = check_event(message)
            self._so_far.add(event)
        except ProtocolError as error:
            raise _broken(error) from error
        if event["event"] == "finished" or (self._verb == "run" and self._restarts.holds(event)):
            return
        self._tell(event, size)

    def _tell(self, event: Event, size: int = 0) -> None:
        self._events.add(event, size)

    def _code(self, status: int | None) -> int:
        """The exit code of the run, whose worker has ended with `status`."""
        if self._so_far.exit_code is not None:
            return self._so_far.exit_code
        if self._cancelled is not None:
            return Kind.CANCELLED.value
        if self._restarts.held is not None:
            return Kind.DEVICE.value
        return status if status is not None and self._so_far.said_why(status) else Kind.WORKER.value

    def _stalled(self, ticks: int) -> FluidError:
        return fail(
            "worker-stalled",
            f"The worker process gave no sign of life for {ticks * TICK:g} seconds while it was {self._so_far.doing}.",
            "It was ended; finished frames are kept. A graphics driver is the usual cause.",
        )


def _broken(error: ProtocolError) -> FluidError:
    return fail(
        "worker-protocol",
        f"The worker process sent what cannot be understood: {error}.",
        "It was ended; finished frames are kept. A graphics driver or a library has damaged it.",
    )


def _with_absolute_paths(request: RunRequest) -> RunRequest:
    """The same request for a process in another folder; messages still call the script as it was given."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    return dataclasses.replace(
        request,
        script=request.script if request.source is not None else str(Path(request.script).absolute()),
        called=request.called if request.called is not None else request.script,
        folder=str(request.script_folder),
        output=str(Path(request.output).absolute()),
        objects={name: str(Path(path).absolute()) for name, path in request.objects.items()},
        capture=absolute(request.capture),
        resume=absolute(request.resume),
    )
