# SPDX-License-Identifier: GPL-3.0-or-later
"""Word of a new file that is about to come to its place in a bake, and cannot be on the list before it is there.

A writer killed between the two would leave a file that belongs to nobody. So it writes down, in a hidden file of
the bake's folder, which file of which content it is; whoever writes or deletes the bake next takes that file away. The
manifest does not hold it, because one of ten thousand frames takes its time to write.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from ..diagnostics import FluidError
from .atomic import disk_point
from .export_path import checked_export_path, inside
from .frame_list import size_and_crc32

__all__ = ["ANNOUNCEMENT", "announce", "remove_unlisted", "withdraw"]

#: Names of these files. They are hidden, so that no export can take one.
ANNOUNCEMENT = re.compile(r"\.announced-[0-9a-f]{8}\Z")

_LARGEST = 1 << 16  # bytes of such a file


def announce(folder: Path, relative: str, contents: tuple[int, int]) -> None:
    """Say that a file of this size and CRC-32 is about to be at a path that is relative to the bake's folder.

    Raises OSError. A kill in the middle leaves words that mean nothing, and the file is not at its place then.
    """
    path = _file(folder, relative)
    disk_point("disk.announce", path)
    path.unlink(missing_ok=True)  # an earlier attempt's; never written through: it may be a link of somebody's
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        os.write(descriptor, json.dumps([relative, *contents]).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def withdraw(folder: Path, relative: str) -> None:
    """The file is on the list, or has never come. Raises OSError."""
    _file(folder, relative).unlink(missing_ok=True)


def remove_unlisted(folder: Path, listed: Callable[[str], object]) -> list[Path]:
    """Remove announced files that came to their place and are not on the list, and all such words; returns the files.

    What has another content than was announced belongs to somebody else and stays. Raises OSError.
    """
    removed = []
    for word in [path for path in folder.iterdir() if ANNOUNCEMENT.match(path.name)]:
        with contextlib.suppress(FluidError, FileNotFoundError):  # a link, a folder; the file has not come
            with inside(folder, (word.name,)).open("rb") as file:
                announced = _checked(file.read(_LARGEST))
            if announced is not None and not listed(announced[0]):
                path = inside(folder, checked_export_path(announced[0]))
                if size_and_crc32(path) == announced[1:]:
                    path.unlink()
                    removed.append(path)
        if word.is_file() and not word.is_symlink():
            word.unlink()
    return removed


def _file(folder: Path, relative: str) -> Path:
    """One for each path: several engines may write files of one bake at a time."""
    return folder / f".announced-{zlib.crc32(relative.encode()):08x}"


def _checked(content: bytes) -> tuple[str, int, int] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or [type(item) for item in found] != [str, int, int]:
        return None
    return found[0], found[1], found[2]
