# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process: holds Lua, Vulkan and the VDB writer for one run or check, so that their faults end it alone.

The request and a later cancel arrive on standard input, events leave on what was standard output. Drivers print to
standard output, so that is turned to standard error first. The end of standard input means that nobody listens any
more: the run is cancelled and the process ends.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from ..diagnostics import Kind
from ..volumes.atomic import remove_parts
from .events import Event
from .protocol import MessageWriter, ProtocolError, read_message

#: How far a worker steps back behind the window that the artist works in, where both want the processor.
BACKGROUND = 5
#: Seconds that a cancelled run has to end by itself, which a run between two short steps does.
PATIENCE = 0.05


def main() -> int:
    channel = os.dup(1)
    os.dup2(2, 1)

    from .request import RunRequest
    from .session import run_check, run_script

    teller = _Teller(MessageWriter(os.fdopen(channel, "wb")))
    requests = os.fdopen(os.dup(0), "rb")
    first = read_message(requests)
    if first is None:
        return 0
    cancel = teller.cancel

    def listen() -> None:
        try:
            while (message := read_message(requests)) is not None:
                if message.get("cancel"):
                    cancel.set()
        except (OSError, ProtocolError):
            pass
        cancel.set()  # nobody listens any more

    threading.Thread(target=listen, name="requests", daemon=True).start()
    threading.Thread(target=teller.end_when_cancelled, name="end", daemon=True).start()
    if first.get("background") and hasattr(os, "nice"):
        os.nice(BACKGROUND)
    work = run_check if first.get("verb") == "check" else run_script
    code = work(RunRequest.from_json(str(first["request"])), teller.tell, cancel)
    sys.stderr.flush()
    return code


class _Teller:
    """Hands events on until the run is over, and ends the process where a cancelled run does not end by itself."""

    def __init__(self, writer: MessageWriter) -> None:
        self.cancel = threading.Event()
        self._writer = writer
        self._lock = threading.Lock()
        self._over = False
        self._so_far: Event = {
            "exit_code": Kind.CANCELLED.value,
            "seconds": None,
            "frames": 0,
            "files": [],
            "bake": None,
            "exchange": None,
        }

    def tell(self, event: Event) -> None:
        with self._lock:
            if self._over:
                return
            match event["event"]:
                case "progress":
                    self._so_far["frames"] = event["frame"]
                case "frame":
                    self._so_far["files"].append(event["path"])
                case "bake":
                    self._so_far["bake"] = event["folder"]
                case "finished":
                    self._over = True
            try:
                self._writer.write(event)
            except (BrokenPipeError, ValueError):
                self.cancel.set()

    def end_when_cancelled(self) -> None:
        """A step under way on the device, or a compiler, cannot be called back: the system takes both with us."""
        self.cancel.wait()
        time.sleep(PATIENCE)
        remove_parts()
        self.tell({"event": "finished", **self._so_far})
        os._exit(Kind.CANCELLED.value)


if __name__ == "__main__":
    status = main()
    # Skip interpreter teardown: everything was released, and a driver's exit handlers can hang.
    os._exit(status)
