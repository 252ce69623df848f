# SPDX-License-Identifier: GPL-3.0-or-later
"""Events that have arrived and were not looked at yet: bounded, so that a run nobody looks at waits for its reader."""

from __future__ import annotations

import threading
from collections import deque

from .events import Event

__all__ = ["EventBuffer"]


class EventBuffer:
    """Hands events from one thread to another.

    Progress that nobody has seen is replaced by the next. A full buffer makes the thread that adds wait until some are
    taken, or until `open_up`.
    """

    #: As many events, and bytes of their messages, may wait here.
    EVENTS = 20_000
    BYTES = 64 << 20
    #: As many are taken at once, so that whoever draws a window in between is not held up.
    AT_ONCE = 2_000
    #: Seconds of one wait: on Windows, a Ctrl-C is heard in between alone.
    LOOK_EVERY = 0.2

    def __init__(self) -> None:
        self._events: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._open = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event, size: int = 0) -> None:
        """Append an event whose message had so many bytes."""
        with self._changed:
            latest = self._events[-1][0] if self._events else {"event": ""}
            if event["event"] == latest["event"] == "progress":
                self._bytes -= self._events.pop()[1]
            self._changed.wait_for(self._has_room)
            self._events.append((event, size))
            self._bytes += size
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._open or (len(self._events) < self.EVENTS and self._bytes < self.BYTES)

    def open_up(self) -> None:
        """From now on nobody waits for room: what is still to come is the end."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def take(self) -> list[Event]:
        """What has arrived, oldest first; never waits."""
        with self._changed:
            taken = [self._pop() for _ in range(min(self.AT_ONCE, len(self._events)))]
            self._changed.notify_all()
            return taken

    def next(self) -> Event:
        """The next event, waited for."""
        with self._changed:
            while not self._changed.wait_for(lambda: bool(self._events), self.LOOK_EVERY):
                pass
            event = self._pop()
            self._changed.notify_all()
            return event

    def _pop(self) -> Event:
        event, size = self._events.popleft()
        self._bytes -= size
        return event
