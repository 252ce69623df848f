# SPDX-License-Identifier: GPL-3.0-or-later
"""Word of the new file that is about to come to its place in a bake, and cannot be on the list before it is there.

A writer that is killed between the two would leave a file that belongs to nobody. So it writes down, in `.announced` in
the bake's folder, which file of which content it is; whoever writes or deletes the bake next takes that file away. The
manifest does not hold it, because one of ten thousand frames takes its time to write.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from ..diagnostics import FluidError
from .atomic import disk_point
from .export_path import checked_export_path, inside
from .frame_list import size_and_crc32

__all__ = ["ANNOUNCEMENT", "announce", "remove_unlisted", "withdraw"]

#: Its file in a bake's folder; hidden, so that no export can take its name.
ANNOUNCEMENT = ".announced"

_LARGEST = 1 << 16  # bytes of the file


def announce(folder: Path, relative: str, contents: tuple[int, int]) -> None:
    """Say that a file of this size and CRC-32 is about to be at a path that is relative to the bake's folder.

    Raises OSError, and export-path where a link or a folder has its name. A kill in the middle leaves words that mean
    nothing, and the file is not at its place then.
    """
    path = inside(folder, (ANNOUNCEMENT,))
    disk_point("disk.announce", path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        os.write(descriptor, json.dumps([relative, *contents]).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def withdraw(folder: Path) -> None:
    """The file is on the list, or has never come. Raises OSError."""
    with contextlib.suppress(FluidError):  # it is none of ours
        inside(folder, (ANNOUNCEMENT,)).unlink(missing_ok=True)


def remove_unlisted(folder: Path, listed: Callable[[str], object]) -> Path | None:
    """Remove the announced file, where it came to its place and is not on the list; returns it.

    What has another content than was announced belongs to somebody else and stays. Raises OSError.
    """
    removed = None
    try:
        with inside(folder, (ANNOUNCEMENT,)).open("rb") as file:
            relative, size, crc32 = json.loads(file.read(_LARGEST))
        path = inside(folder, checked_export_path(relative))
        if not listed(relative) and size_and_crc32(path) == (size, crc32):
            path.unlink()
            removed = path
    except (FileNotFoundError, ValueError, TypeError, RecursionError, FluidError):
        pass  # nothing was announced, or nothing that makes sense, or it has not come
    withdraw(folder)
    return removed
