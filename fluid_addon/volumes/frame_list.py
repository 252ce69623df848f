# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a bake lists: as entries, as the lines of its manifest, and by how they are spelled."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..diagnostics import FluidError
from .atomic import disk_point
from .export_path import checked_export_path, inside, same_file_key
from .manifest import BakedFrame, frame_line, manifest_text

__all__ = ["FrameList", "damage", "size_and_crc32", "ways"]


class FrameList:
    """One thread may change it while others look at it."""

    def __init__(self, frames: Iterable[BakedFrame]) -> None:
        self._frames = {frame.path: frame for frame in frames}
        self._lines: dict[str, str] = {}  # made when they are first written, and kept: so a long bake stays cheap
        self._spelling: dict[str, str] | None = None  # made when first asked for
        self._lock = threading.Lock()

    def all(self) -> list[BakedFrame]:
        """In the order in which they were first put here."""
        with self._lock:
            return list(self._frames.values())

    def get(self, path: str) -> BakedFrame | None:
        with self._lock:
            return self._frames.get(path)

    def put(self, path: str, frame: BakedFrame | None) -> None:
        """Add a file, in the place of an earlier one of its path; None takes that out."""
        with self._lock:
            self._lines.pop(path, None)
            if frame is None:
                self._frames.pop(path, None)
                self._spelling = None
            else:
                self._frames[path] = frame
                if self._spelling is not None:
                    self._spelling |= ways(path)

    def spelled(self, path: str) -> str:
        """A path, or one that is here, or a folder of one, which some system takes for it or for a folder of it."""
        with self._lock:
            if self._spelling is None:
                self._spelling = {key: way for known in self._frames for key, way in ways(known).items()}
            return next(
                (known for key, way in ways(path).items() if (known := self._spelling.get(key, way)) != way), path
            )

    def text(self, head: Mapping[str, Any]) -> bytes:
        """The manifest with everything else in `head`."""
        with self._lock:
            for path in self._frames.keys() - self._lines.keys():
                self._lines[path] = frame_line(self._frames[path])
            return manifest_text(head, map(self._lines.__getitem__, self._frames)).encode()


def ways(path: str) -> dict[str, str]:
    """A file and the folders that lead to it, by what some systems take them for."""
    parts = path.split("/")
    found = ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return {same_file_key(way): way for way in found}


def damage(folder: Path, frame: BakedFrame, checksum: bool = False) -> str | None:
    """What is wrong with the file of a frame: it is missing, or has another size (or checksum, if asked for)."""
    try:
        path = inside(folder, checked_export_path(frame.path))
        size = path.stat().st_size
        if size not in {whole for whole, _ in frame.contents}:
            return f"has {size:,} bytes instead of {frame.size:,}"
        if checksum and size_and_crc32(path) not in frame.contents:
            return "has a wrong checksum"
    except OSError as error:
        return error.strerror or str(error)
    except FluidError as error:
        return str(error)
    return None


def size_and_crc32(path: Path) -> tuple[int, int]:
    """Of a file. Raises OSError."""
    disk_point("disk.read", path)
    size = crc32 = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size += len(block)
            crc32 = zlib.crc32(block, crc32)
    return size, crc32
