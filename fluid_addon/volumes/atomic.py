# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all.

A file is written under a hidden name beside its target, brought to the disk, and renamed over the target. Whoever reads
the target sees the old file or the new one. Whatever goes wrong, the hidden file is removed and the target untouched.
Where the process is killed, the hidden file stays until somebody who alone writes there calls `remove_stale_parts`.

Tests let the disk fail at the points of `DISK_FAULTS` (see the module `faults`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..diagnostics import FluidError, fail
from ..faults import fault

try:
    import fcntl
except ImportError:  # Windows
    _full_flush = None
else:  # macOS: fsync alone leaves the bytes in the drive's own memory
    _full_flush = getattr(fcntl, "F_FULLFSYNC", None)

__all__ = [
    "DISK_FAULTS",
    "atomic_write",
    "disk_point",
    "disk_problem",
    "flush_folder",
    "free_space",
    "goes_with_process",
    "process_lives",
    "probe_disk",
    "remove_parts",
    "remove_parts_of",
    "remove_stale_parts",
    "write_bytes_atomically",
]

#: The points at which a disk can fail, and what it says there. "disk.room" is a disk without a free byte.
DISK_FAULTS = {
    "disk.make": errno.ENOSPC,  # a folder
    "disk.lock": errno.EIO,  # the lock of a bake
    "disk.create": errno.EDQUOT,  # a part file
    "disk.write": errno.ENOSPC,  # its content
    "disk.flush": errno.EIO,
    "disk.announce": errno.ENOSPC,  # word of a new file of a bake
    "disk.busy": errno.EACCES,  # another program holds the target; Windows
    "disk.rename": errno.EIO,
    "disk.folder": errno.EIO,  # the folder, after the new name is in it
    "disk.read": errno.EIO,
    "disk.delete": errno.EACCES,
}

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_FOLDER_FLUSH = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS}  # file systems that know of no such thing
_PART = re.compile(r"\..+\.([0-9]{1,10})\.[0-9a-f]{16}\.part\Z", re.DOTALL)
_RENAME_TRIES = 5
_FIRST_WAIT = 0.05  # seconds; each further one is twice as long

_parts: set[Path] = set()  # files of this process that mean nothing without it


def disk_point(point: str, path: Path) -> None:
    """Raises what a disk says that fails here, where a test asks for it."""
    if fault(point):
        number = DISK_FAULTS[point]
        raise OSError(number, os.strerror(number), str(path))


@contextmanager
def atomic_write(
    path: str | Path, needed: int | None = None, announce: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Yield the path of an empty part file; what is written there becomes `path` when the block ends without an error.

    `needed` is the number of bytes to come, for the message of a full disk. `announce` is given the part file when it
    is whole and about to become `path`. Raises disk-full or disk-error for every OSError, in the block too; any other
    exception passes through.
    """
    target = Path(path)
    part = target.parent / f".{target.name}.{os.getpid()}.{secrets.token_hex(8)}.part"
    done = False
    _parts.add(part)
    try:
        disk_point("disk.create", part)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), 0o666))
        yield part
        disk_point("disk.write", part)
        _flush_to_disk(part)
        if announce is not None:
            announce(part)
        new = not os.path.lexists(target)
        _replace(part, target)
        done = True
        try:
            flush_folder(target.parent)
        except OSError:
            if new:  # or it would be there, for all that is said
                target.unlink()
            raise
    except OSError as error:
        raise disk_problem(target, error, needed) from error
    finally:
        if not done:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        _parts.discard(part)


def goes_with_process(path: Path, held: bool = True) -> None:
    """Let `remove_parts` remove that file as well, or no more."""
    if held:
        _parts.add(path)
    else:
        _parts.discard(path)


def remove_parts() -> None:
    """Remove what this process is writing, in whichever thread. Only for a process that ends right after."""
    for part in list(_parts):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def remove_stale_parts(folder: Path) -> list[Path]:
    """Remove the part files that dead processes have left in `folder` and the folders in it; returns them.

    Only for whoever holds the lock of that folder: a process of another machine cannot be asked. No link is followed.
    """
    stale = []
    for inner, _, names in os.walk(folder, onerror=None, followlinks=False):
        for name in names:
            path, match = Path(inner, name), _PART.match(name)
            if match and path not in _parts and not _lives_elsewhere(int(match[1])):
                with contextlib.suppress(OSError):  # Windows refuses where somebody holds it
                    if path.is_file() and not path.is_symlink():
                        path.unlink()
                        stale.append(path)
    return stale


def _lives_elsewhere(process: int) -> bool:
    """A part with our own number that we are not writing is left from another life: containers give numbers again."""
    return process != os.getpid() and process_lives(process)


def process_lives(process: int) -> bool:
    """Whether a process of this machine goes on. On Windows always False: there, what it holds cannot be removed."""
    if os.name == "nt" or process <= 0:  # os.kill would end it, and 0 are all of a group
        return False
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def free_space(folder: Path) -> int | None:
    """Bytes that are free on the disk of `folder`, which need not exist yet; None where that cannot be told."""
    if fault("disk.room"):
        return 0
    for existing in (folder, *folder.parents):
        try:
            usage = shutil.disk_usage(existing)
        except OSError:
            continue
        return usage.free if usage.total else None  # network disks that do not know say 0 of 0
    return None


def remove_parts_of(folder: Path, process: int) -> None:
    """Remove what another process was writing anywhere in `folder`, as far as that can be looked into.

    Only for one that has ended. No link is followed.
    """
    for inner, _, names in os.walk(folder, followlinks=False):
        for name in names:
            match = _PART.match(name)
            if match and int(match[1]) == process:
                with contextlib.suppress(OSError):
                    Path(inner, name).unlink(missing_ok=True)


def write_bytes_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` as `atomic_write` does."""
    with atomic_write(path, len(data)) as part:
        part.write_bytes(data)


def disk_problem(path: Path, error: OSError, needed: int | None = None) -> FluidError:
    """disk-full or disk-error for an OSError that writing `path` met."""
    if error.errno in _FULL:
        room = [f"{needed:,} bytes are needed"] if needed is not None else []
        free = free_space(path.parent)
        if free is not None:
            room.append(f"{free:,} bytes are free")
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
    disk_point("disk.flush", part)
    descriptor = os.open(part, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
        if _full_flush is not None:
            with contextlib.suppress(OSError):  # some file systems of macOS do without
                fcntl.fcntl(descriptor, _full_flush)
    finally:
        os.close(descriptor)


def _replace(part: Path, target: Path) -> None:
    """Rename, with patience: on Windows, Blender or a virus scanner may hold the old file open for a moment."""
    disk_point("disk.rename", target)
    for attempt in range(_RENAME_TRIES + 1):
        try:
            disk_point("disk.busy", target)
            part.replace(target)
            return
        except PermissionError as error:
            if attempt == _RENAME_TRIES:
                raise _busy(target, error) from error
            time.sleep(_FIRST_WAIT * 2**attempt)


def _busy(target: Path, error: OSError) -> FluidError:
    return fail(
        "disk-error",
        f'"{target}" cannot be replaced, perhaps because another program holds it: {error.strerror or error}.',
        "Close what shows the file, or look who may write into its folder; the file that was there is as it was.",
    )


def flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. Windows cannot open folders and needs it not, as some file systems."""
    disk_point("disk.folder", folder)
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one may write into it, and not look
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FLUSH:
            raise
    finally:
        os.close(descriptor)
