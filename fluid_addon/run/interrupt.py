# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C and a termination ask a run to stop instead of tearing its process down."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..diagnostics import Kind
from ..volumes.atomic import remove_parts

__all__ = ["on_interrupt"]

#: Seconds that Python's main thread has to notice a signal. It cannot while a library or Lua's C code holds it.
PATIENCE = 1.0
#: What it says then to the thread that watches, behind the numbers of signals that have arrived by then.
_HEARD = 0


@contextmanager
def on_interrupt(action: Callable[[], None]) -> Iterator[None]:
    """While this lasts, both signals call `action`, and end the process where that cannot be called in time.

    Outside the main thread, which alone gets signals, they do not.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, tells = socket.socketpair()
    tells.setblocking(False)
    acting = False

    def hear(*_: object) -> None:
        nonlocal acting
        with suppress(BlockingIOError):
            tells.send(bytes([_HEARD]))
        if acting:
            return  # a second one: what the action holds, such as a lock, must not be asked for inside of it
        acting = True
        try:
            action()
        finally:
            acting = False

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    told_before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(target=_end_if_unheard, args=(told,), name="signals", daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(told_before)
        for number, handler in before.items():
            # None: Blender's own handler, which Python cannot give back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        tells.close()  # the end of what the watch reads
        watch.join()
        told.close()


def _end_if_unheard(told: socket.socket) -> None:
    """Follow the numbers of signals, written as they arrive, and what the main thread says to them."""
    unheard = False
    while True:
        told.settimeout(PATIENCE if unheard else None)
        try:
            numbers = told.recv(64)
        except TimeoutError:
            remove_parts()
            os._exit(Kind.CANCELLED.value)
        if not numbers:
            return
        for number in numbers:
            unheard = number != _HEARD and (unheard or number in (signal.SIGINT, signal.SIGTERM))
