# SPDX-License-Identifier: GPL-3.0-or-later
"""Deterministic release of Vulkan objects, and the counts that prove it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Lifetime", "live_counts"]

T = TypeVar("T")
_live: Counter[str] = Counter()


def live_counts() -> dict[str, int]:
    """Vulkan objects of this process that are alive now, by kind; empty when all were released."""
    return {kind: count for kind, count in sorted(_live.items()) if count}


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
