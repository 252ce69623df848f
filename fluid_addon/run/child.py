# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Python of our own is started beside this process: the same interpreter, the same packages, no console window.

`sys.executable` is that interpreter also inside Blender, which ships one of its own; Blender itself is
`bpy.app.binary_path`. Packages that came as wheels of an extension are on `sys.path` alone, so it is handed over.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["child_command", "child_environment", "child_flags"]

_PACKAGE_FOLDER = Path(__file__).resolve().parent.parent.parent


def child_command(module: str, *arguments: str, python: str | None = None) -> list[str]:
    """The command that runs a module of this package, such as "fluid_addon.run.worker"."""
    return [python or sys.executable, "-P", "-m", module, *arguments]


def child_environment() -> dict[str, str]:
    """This process's environment, in which a child finds what this process finds."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(_PACKAGE_FOLDER), *(path for path in sys.path if path)])
    return environment


def child_flags(*, background: bool = False) -> int:
    """`creationflags` of subprocess: no console window on Windows, and behind this process if `background`."""
    names = ["CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW"] + (["BELOW_NORMAL_PRIORITY_CLASS"] if background else [])
    return sum(getattr(subprocess, name, 0) for name in names)
