# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory a worker may hold, as a whole: Python, Lua, the driver, and what stands in for a device's memory."""

from __future__ import annotations

from ..diagnostics import FluidError, fail, human_bytes
from .process_figures import machine_memory, resident_memory

__all__ = ["MemoryLimit", "usual_limit"]

#: Room that is left to Blender and the system: this share of the machine's memory, and no less than so many bytes.
SHARE_LEFT = 0.125
LEAST_LEFT = 1 << 30


def usual_limit() -> int | None:
    """Bytes that a worker may hold where nobody says otherwise; None where the machine does not say what it has."""
    whole = machine_memory()
    return None if whole is None else max(whole // 2, whole - max(LEAST_LEFT, int(whole * SHARE_LEFT)))


class MemoryLimit:
    """The limit of this process.

    Args:
        megabytes: of 1024 × 1024 bytes; None for `usual_limit`.
    """

    def __init__(self, megabytes: int | None = None) -> None:
        self.bytes = usual_limit() if megabytes is None else megabytes << 20

    def exceeded(self) -> FluidError | None:
        """worker-memory with both numbers, once this process holds more."""
        held = resident_memory()
        if self.bytes is None or held is None or held <= self.bytes:
            return None
        return fail(
            "worker-memory",
            f"The run holds {human_bytes(held)} of memory; it may hold {human_bytes(self.bytes)}.",
            "Finished frames are kept. Use a smaller domain, a sparse one, or fewer fields. --memory allows more.",
        )
