# SPDX-License-Identifier: GPL-3.0-or-later
"""Who writes a bake: one process at a time.

The lock is the system's own, on the file `.lock` in the bake's folder, and falls away with its process, whatever
happens to that. The file says which process it is, for the message; after a crash it stays behind and means nothing.
On a network disk without locks, what the file says has to do: a living process of this machine keeps others away (but
not on Windows, where none is asked), one of another machine does not, and two machines must not be told to write the
same bake there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import stat
import sys
import weakref
from pathlib import Path

from ..diagnostics import FluidError, fail
from .atomic import disk_point, goes_with_process, process_lives

__all__ = ["LOCK", "BakeLock"]

#: The file in a bake's folder that its writer holds; hidden, so that no export can take its name.
LOCK = ".lock"

_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_LARGEST = 1024  # bytes of the file
_TRIES = 16

_held: set[Path] = set()  # by this process

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        """Lock a byte behind the text: what is locked cannot be read on Windows."""
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class BakeLock:
    """The lock of the bake in `folder`, held until `release`, or until nothing refers to it any more.

    Attributes:
        certain: whether the system keeps it; on a disk without locks it does not.

    Raises:
        FluidError: `bake-locked`.
        OSError: the file cannot be made, or is not ours.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK
        disk_point("disk.lock", path)
        descriptor, self.certain = _locked(path)
        try:
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)  # behind what was read of its last owner
            os.write(descriptor, f"{os.getpid()} {platform.node()}\n".encode())
        except OSError:  # a full disk: it is ours all the same
            pass
        goes_with_process(path)
        _held.add(path)
        self.release = weakref.finalize(self, _let_go, path, descriptor, os.getpid())


def _locked(path: Path) -> tuple[int, bool]:
    """The open file, locked, and whether the system keeps the lock."""
    for _ in range(_TRIES):
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o666)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise OSError(errno.EPERM, "it is a link or no file", str(path))
            certain = True
            try:
                _try_lock(descriptor)
            except OSError as error:
                if error.errno in _HELD:
                    raise _refused(path, *_owner(descriptor)) from None
                if error.errno not in _NO_LOCKS:
                    raise
                process, machine = _owner(descriptor)
                ours = process == os.getpid()  # or an earlier life's: containers give numbers again
                lives = path in _held if ours else process is not None and process_lives(process)
                if machine == platform.node() and lives:
                    raise _refused(path, process, machine) from None
                certain = False
            if os.name == "nt" or _is_still(path, found):
                return descriptor, certain
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last owner has just removed it
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))


def _is_still(path: Path, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), found)
    except FileNotFoundError:
        return False


def _owner(descriptor: int) -> tuple[int | None, str]:
    """Process and machine, as the file says."""
    with contextlib.suppress(OSError, ValueError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        process, _, machine = os.read(descriptor, _LARGEST).decode("utf-8", "replace").strip().partition(" ")
        return int(process), "".join(c for c in machine if c.isprintable())
    return None, ""


def _refused(path: Path, process: int | None, machine: str) -> FluidError:
    who = f"process {process}" if process is not None else "another process"
    if machine and machine != platform.node():
        who += f' of "{machine}"'
    return fail(
        "bake-locked",
        f'The bake "{path.parent.name}" is being written by {who}.',
        "Wait for the end of that run, or stop it.",
    )


def _let_go(path: Path, descriptor: int, process: int) -> None:
    if os.getpid() != process:  # a child that was forked off: the lock is its parent's
        return
    goes_with_process(path, held=False)
    _held.discard(path)
    if os.name != "nt":  # before it is let go of, or the next owner's would be removed
        with contextlib.suppress(OSError):
            if os.path.samestat(path.lstat(), os.fstat(descriptor)):
                path.unlink()
    with contextlib.suppress(OSError):  # a network disk that went away
        os.close(descriptor)
    if os.name == "nt":  # fails, as it should, where the next owner has it
        with contextlib.suppress(OSError):
            path.unlink()
