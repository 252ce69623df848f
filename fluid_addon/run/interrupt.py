# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C and a termination ask a run to stop instead of tearing its process down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["on_interrupt"]


@contextmanager
def on_interrupt(action: Callable[[], None]) -> Iterator[None]:
    """While this lasts, both signals call `action`. Outside the main thread, which alone gets signals, they do not."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda *_: action())
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: Blender's own handler, which Python cannot give back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
