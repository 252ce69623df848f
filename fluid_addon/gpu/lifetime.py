# SPDX-License-Identifier: GPL-3.0-or-later
"""Deterministic release of Vulkan objects, and the counts that prove it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol, TypeVar

__all__ = ["Lifetime", "Owned", "close_left", "left_counts", "live_counts"]

T = TypeVar("T")
_live: Counter[str] = Counter()
_left: Counter[str] = Counter()


class Owned(Protocol):
    """What its owner closes where nobody else has."""

    def close(self) -> None: ...


def live_counts() -> dict[str, int]:
    """Vulkan objects of this process that are alive now, by kind; empty when all were released."""
    return {kind: count for kind, count in sorted(_live.items()) if count}


def left_counts() -> dict[str, int]:
    """What only the owners have closed so far, by type: after an error something, else nothing."""
    return dict(_left)


def close_left(owned: dict[Owned, None]) -> None:
    """Close what nobody has closed, the latest first."""
    for each in reversed(list(owned)):
        _left[type(each).__name__] += 1
        each.close()


class Lifetime:
    """Owns Vulkan objects and destroys them in reverse order of creation."""

    def __init__(self) -> None:
        self._owned: list[tuple[str, Callable[[], None]]] = []

    def own(self, kind: str, handle: T, destroy: Callable[[T], None]) -> T:
        """Take over `handle`; it is destroyed by `close`."""
        _live[kind] += 1
        self._owned.append((kind, lambda: destroy(handle)))
        return handle

    def close(self) -> None:
        """Destroy what is owned. Closing twice does nothing."""
        while self._owned:
            kind, destroy = self._owned.pop()
            _live[kind] -= 1
            destroy()
