# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process: holds Lua, Vulkan and the VDB writer for one run, check or plan; their faults end it alone.

The request and a later cancel arrive on standard input. Events leave on a pipe that nothing else in this process knows
of: drivers print to the standard output and error, from before the first line of this file on. The end of standard
input means that nobody listens any more: the run is cancelled and the process ends.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from ..diagnostics import FluidError, Kind
from ..faults import fault
from ..gpu.compiler_process import shared_compiler
from ..volumes.atomic import remove_parts
from .events import Event, error_event
from .isolation import forget_language, isolate, leave_folder
from .lua_watch import stalled_script
from .memory_limit import MemoryLimit
from .plan import run_plan
from .protocol import MessageWriter, ProtocolError, descriptor_of, read_message
from .request import RunRequest
from .session import run_check, run_script

#: How far a worker steps back behind the window that the artist works in, where both want the processor.
BACKGROUND = 5
#: Seconds that a cancelled run has to end by itself, which a run between two short steps does.
PATIENCE = 0.05
#: Seconds between two signs of life, and between two looks at memory, Lua and the parent.
SIGN_EVERY = 2.0
LOOK_EVERY = 0.1
#: Seconds that the last words have until the process ends without them: nobody may be reading.
LAST_WORDS = 2.0


def main(arguments: list[str]) -> int:
    teller = _Teller(MessageWriter(os.fdopen(descriptor_of(int(arguments[0])), "wb", buffering=0)))
    requests = os.fdopen(os.dup(0), "rb")
    isolate()
    forget_language()
    threading.Thread(target=teller.give_signs, name="signs of life", daemon=True).start()
    first = read_message(requests)
    if first is None:
        return 0

    def listen() -> None:
        try:
            while (message := read_message(requests)) is not None:
                if message.get("cancel"):
                    break
        except (OSError, ProtocolError):
            pass
        teller.cancel.set()  # or nobody listens any more

    request = RunRequest.from_json(str(first["request"]))
    limit = MemoryLimit(request.memory_mb)
    threading.Thread(target=listen, name="requests", daemon=True).start()
    threading.Thread(target=teller.watch, args=(limit,), name="watch", daemon=True).start()
    if first.get("background") and hasattr(os, "nice"):
        os.nice(BACKGROUND)
    if fault("worker.start"):
        raise OSError("a fault on purpose")
    work = {"check": run_check, "plan": run_plan}.get(str(first.get("verb")), run_script)
    return work(request, teller.tell, teller.cancel)


class _Teller:
    """Hands events on, and ends the process where a run does not end by itself.

    Attributes:
        cancel: set where the run is to end.
    """

    def __init__(self, writer: MessageWriter) -> None:
        self.cancel = threading.Event()
        self._writer = writer

    def tell(self, event: Event) -> None:
        try:
            self._writer.write(event)
        except OSError:
            self.cancel.set()

    def give_signs(self) -> None:
        """While this goes on, Python runs in here."""
        while not fault("worker.sign"):
            self.tell({"alive": True})
            time.sleep(SIGN_EVERY)

    def watch(self, limit: MemoryLimit) -> None:
        """Look after the process until its run is cancelled, and end it if the run does not."""
        parent = os.getppid()
        while not self.cancel.wait(LOOK_EVERY):
            problem = limit.exceeded() or stalled_script()
            if problem is not None:
                self._end(problem.kind, problem)
            if os.getppid() != parent:  # it is gone, though something else may hold our standard input open
                self._end(Kind.CANCELLED)
        # A step under way on the device, or a compiler, cannot be called back: the system takes both with us.
        time.sleep(PATIENCE)
        self._end(Kind.CANCELLED)

    def _end(self, kind: Kind, problem: FluidError | None = None) -> None:
        remove_parts()
        leave_folder()
        shared_compiler().kill()  # it may hang over a shader, and then does not notice that nobody waits any more
        if problem is not None:
            words = threading.Thread(target=self.tell, args=(error_event(problem),), daemon=True)
            words.start()
            words.join(LAST_WORDS)
        os._exit(kind.value)


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    finally:
        leave_folder()
    sys.stderr.flush()
    # Skip interpreter teardown: everything was released, and a driver's exit handlers can hang.
    os._exit(status)
