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

#: How far a worker steps back behind the window that the artist works in, where both want the processor.
BACKGROUND = 5


def main() -> int:
    channel = os.dup(1)
    os.dup2(2, 1)

    from .protocol import MessageWriter, ProtocolError, read_message
    from .request import RunRequest
    from .session import run_check, run_script

    writer = MessageWriter(os.fdopen(channel, "wb"))
    requests = os.fdopen(os.dup(0), "rb")
    first = read_message(requests)
    if first is None:
        return 0
    cancel = threading.Event()
    orphaned = threading.Event()

    def listen() -> None:
        try:
            while (message := read_message(requests)) is not None:
                if message.get("cancel"):
                    cancel.set()
        except (OSError, ProtocolError):
            pass
        orphaned.set()
        cancel.set()

    threading.Thread(target=listen, name="requests", daemon=True).start()

    def emit(event: dict[str, object]) -> None:
        try:
            writer.write(event)
        except (BrokenPipeError, ValueError):
            cancel.set()

    if first.get("background") and hasattr(os, "nice"):
        os.nice(BACKGROUND)
    work = run_check if first.get("verb") == "check" else run_script
    code = work(RunRequest.from_json(str(first["request"])), emit, cancel)
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    status = main()
    # Skip interpreter teardown: everything was released, and a driver's exit handlers can hang.
    os._exit(status)
