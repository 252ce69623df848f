# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all.

A file is written under a hidden name beside its target, brought to the disk, and renamed over the target. Whoever reads
the target sees the old file or the new one. Whatever goes wrong, the hidden file is removed and the target untouched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..diagnostics import FluidError, fail

__all__ = ["atomic_write", "disk_problem", "probe_disk", "remove_parts", "write_bytes_atomically"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_RENAME_TRIES = 5
_FIRST_WAIT = 0.05  # seconds; each further one is twice as long

_parts: set[Path] = set()  # being written by this process


@contextmanager
def atomic_write(path: str | Path, needed: int | None = None) -> Iterator[Path]:
    """Yield the path of an empty part file; what is written there becomes `path` when the block ends without an error.

    `needed` is the number of bytes to come, for the message of a full disk. Raises disk-full or disk-error for every
    OSError, in the block too; any other exception passes through.
    """
    target = Path(path)
    part = target.parent / f".{target.name}.{os.getpid()}.{secrets.token_hex(8)}.part"
    done = False
    _parts.add(part)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), 0o666))
        yield part
        _flush_to_disk(part)
        _replace(part, target)
        done = True
        _flush_folder(target.parent)
    except OSError as error:
        raise disk_problem(target, error, needed) from error
    finally:
        if not done:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        _parts.discard(part)


def remove_parts() -> None:
    """Remove what this process is writing, in whichever thread. Only for a process that ends right after."""
    for part in list(_parts):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_bytes_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` as `atomic_write` does."""
    with atomic_write(path, len(data)) as part:
        part.write_bytes(data)


def disk_problem(path: Path, error: OSError, needed: int | None = None) -> FluidError:
    """disk-full or disk-error for an OSError that writing `path` met."""
    if error.errno in _FULL:
        room = [f"{needed:,} bytes are needed"] if needed is not None else []
        with contextlib.suppress(OSError):
            room.append(f"{shutil.disk_usage(path.parent).free:,} bytes are free")
        return fail(
            "disk-full",
            f'The disk is full, "{path}" was not written' + (f" ({', '.join(room)})." if room else "."),
            "Make room on the disk, or set another folder for the bake.",
        )
    return fail(
        "disk-error",
        f'"{path}" cannot be written: {error.strerror or error}.',
        "Look whether the folder exists and may be written to, and whether another program holds the file.",
    )


def probe_disk(part: Path) -> None:
    """Append a block to a file that a library left incomplete without saying why: raises the OSError of the disk."""
    with part.open("ab", buffering=0) as file:
        file.write(bytes(1 << 16))
        os.fsync(file.fileno())


def _flush_to_disk(part: Path) -> None:
    descriptor = os.open(part, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(part: Path, target: Path) -> None:
    """Rename, with patience: on Windows, Blender or a virus scanner may hold the old file open for a moment."""
    for attempt in range(_RENAME_TRIES):
        try:
            part.replace(target)
            return
        except PermissionError:
            time.sleep(_FIRST_WAIT * 2**attempt)
    part.replace(target)


def _flush_folder(folder: Path) -> None:
    """Bring the new name to the disk as well; Windows cannot open folders and needs it not."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
