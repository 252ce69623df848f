# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker gives up as soon as it runs: rights, a dump, its place in the queue for memory, the system's language.

Its environment, its folder and its pipes are its parent's business: `child_process` and `worker_process`.
"""

from __future__ import annotations

import contextlib
import ctypes
import locale
import os
import sys
import threading
from pathlib import Path

__all__ = ["FOLDER_PREFIX", "forget_language", "isolate", "leave_folder"]

#: How the name of a worker's own folder begins.
FOLDER_PREFIX = "fluid-script-worker-"

_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS
_FIRST_TO_GO = 800  # of 1000: where memory runs out, Linux ends this process before Blender
_LEAVING = threading.Lock()  # neither of two threads that end the process does so before the other's folder is gone
_NO_DIALOGS = 0x0001 | 0x0002 | 0x8000  # SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SEM_NOOPENFILEERRORBOX


def isolate() -> None:
    """For good, and for every child of this process. What a system does not know is left out.

    Linux: no program that is started gains rights; the first to go when memory runs out. POSIX: no core dump, which
    would hold the artist's work. Windows: a crash ends the process without a dialog that waits for a click.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))
    if sys.platform == "win32":
        ctypes.WinDLL("kernel32").SetErrorMode(_NO_DIALOGS)
    else:
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _close_standard_input()


def _close_standard_input() -> None:
    """Nothing in here reads the request but its reader, which has a descriptor of its own by now."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def forget_language() -> None:
    """For C in this process, letters are those of ASCII from now on, whatever the system speaks.

    Lua asks C what is a letter (`upper`, `%a`), and a script is to give the same run everywhere. How Python names files
    was settled when it started.
    """
    locale.setlocale(locale.LC_CTYPE, "C")


def leave_folder() -> None:
    """Remove this process's own folder, as its parent may be gone, if nothing was left in it."""
    with _LEAVING, contextlib.suppress(OSError):
        folder = Path.cwd()
        os.chdir(folder.parent)
        if folder.name.startswith(FOLDER_PREFIX):
            folder.rmdir()
