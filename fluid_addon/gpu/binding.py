# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to Vulkan: the `vulkan` package, or a clear error at the first use where no loader is installed."""

from __future__ import annotations

import sys
from typing import Any

from ..diagnostics import FluidError, fail

__all__ = ["BUFFER_DEVICE_ADDRESS", "DISPATCH_BASE", "MEMORY_DEVICE_ADDRESS", "ffi", "lib", "no_vulkan", "vk"]

# Left out of the binding (its _KHR aliases are None), from Vulkan 1.1 and 1.2.
BUFFER_DEVICE_ADDRESS = 0x00020000  # VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT
MEMORY_DEVICE_ADDRESS = 0x00000002  # VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT
DISPATCH_BASE = 0x00000010  # VK_PIPELINE_CREATE_DISPATCH_BASE_BIT


class _MissingVulkan:
    """Stands where the binding should be, and says what to install as soon as anything of it is used."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise no_vulkan(self._reason)


def no_vulkan(reason: str) -> FluidError:
    """The error for a machine on which Vulkan cannot start: what was looked for, and what to install."""
    hint = {
        "linux": 'Install a driver: on Debian and Ubuntu "apt install mesa-vulkan-drivers"; for NVIDIA its own driver.',
        "darwin": "Install the Vulkan SDK for macOS, which brings the loader and MoltenVK.",
    }.get(sys.platform, "Install or update the driver of your graphics card; it brings the Vulkan loader.")
    return fail("no-vulkan", f"No Vulkan driver was found: {reason}.", hint)


def _load() -> tuple[Any, Any, Any]:
    try:
        import vulkan
        from vulkan import _vulkan
    except OSError as error:
        missing = _MissingVulkan(f"the Vulkan loader is not installed ({error})")
        return missing, missing, missing
    return vulkan, vulkan.ffi, _vulkan.lib


vk, ffi, lib = _load()
