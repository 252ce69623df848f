# SPDX-License-Identifier: GPL-3.0-or-later
"""The new file that is about to come to its place in a bake, and cannot be on the list of its files before it is there.

The manifest announces it, so that a writer that is killed between the two leaves nothing that belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..diagnostics import FluidError
from .export_path import checked_export_path, inside
from .frame_list import size_and_crc32

__all__ = ["ANNOUNCED", "AnnouncedFile"]

#: Its key in the manifest's head.
ANNOUNCED = "announced"


@dataclass(frozen=True)
class AnnouncedFile:
    """`path` is relative to the bake's folder; `size` and `crc32` are those of the whole file."""

    path: str
    size: int
    crc32: int

    @classmethod
    def of(cls, head: Mapping[str, Any]) -> Self | None:
        """What a manifest's head announces; None where that is nothing, or makes no sense."""
        entry = head.get(ANNOUNCED)
        if not isinstance(entry, dict):
            return None
        path, size, crc32 = entry.get("path"), entry.get("size"), entry.get("crc32")
        if not (isinstance(path, str) and isinstance(size, int) and isinstance(crc32, int)):
            return None
        return cls(path, size, crc32)

    def found(self, folder: Path) -> Path | None:
        """The file, if it came to its place in a bake's folder, and is still what was announced."""
        try:
            path = inside(folder, checked_export_path(self.path))
            return path if size_and_crc32(path) == (self.size, self.crc32) else None
        except (OSError, FluidError):
            return None
