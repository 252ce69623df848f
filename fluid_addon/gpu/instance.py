# SPDX-License-Identifier: GPL-3.0-or-later
"""The Vulkan instance, and what the validation layer says about us."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .binding import ffi, no_vulkan, vk
from .lifetime import Lifetime

__all__ = ["Instance", "clear_validation_messages", "validation_messages", "validation_wanted"]

VALIDATION_LAYER = "VK_LAYER_KHRONOS_validation"
PORTABILITY = "VK_KHR_portability_enumeration"
DEBUG_UTILS = "VK_EXT_debug_utils"

_messages: list[str] = []


def validation_wanted() -> bool:
    """Whether FLUID_SCRIPT_VALIDATION=1 asks for the Khronos validation layer with synchronisation validation."""
    return os.environ.get("FLUID_SCRIPT_VALIDATION", "") not in ("", "0")


def validation_messages() -> tuple[str, ...]:
    """Warnings and errors of the validation layer since the last `clear_validation_messages`."""
    return tuple(_messages)


def clear_validation_messages() -> None:
    _messages.clear()


def _collect(_severity: int, kind: int, data: Any, _user: Any) -> int:
    # The loader itself reports broken drivers of other vendors; only what validation says about us counts.
    if kind & (vk.VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | vk.VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT):
        message = ffi.string(data.pMessage).decode("utf-8", "replace")
        _messages.append(message)
        if log := os.environ.get("FLUID_SCRIPT_VALIDATION_LOG"):
            # Whoever started this process cannot see the list: a line a message, with the process that it comes from.
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {' '.join(message.split())}\n")
    return 0


class Instance:
    """One Vulkan 1.3 instance.

    Args:
        validation: load the validation layer; its messages are read with `validation_messages`.

    Raises:
        FluidError: `no-vulkan` when there is no loader, no driver, or the layer is asked for and missing.
    """

    def __init__(self, validation: bool | None = None) -> None:
        self.validation = validation_wanted() if validation is None else validation
        self._lifetime = Lifetime()
        extensions = {e.extensionName for e in vk.vkEnumerateInstanceExtensionProperties(None)}
        wanted = [PORTABILITY] if PORTABILITY in extensions else []
        flags = vk.VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR if wanted else 0
        layers = []
        following = None
        if self.validation:
            if VALIDATION_LAYER not in {layer.layerName for layer in vk.vkEnumerateInstanceLayerProperties()}:
                raise no_vulkan(f'validation was asked for, and the layer "{VALIDATION_LAYER}" is not installed')
            layers.append(VALIDATION_LAYER)
            wanted += [DEBUG_UTILS, "VK_EXT_validation_features"]
            enabled = [vk.VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT]
            following = vk.VkValidationFeaturesEXT(pEnabledValidationFeatures=enabled)
        app = vk.VkApplicationInfo(pApplicationName="Fluid Script", apiVersion=vk.VK_MAKE_VERSION(1, 3, 0))
        info = vk.VkInstanceCreateInfo(
            pNext=following,
            flags=flags,
            pApplicationInfo=app,
            ppEnabledLayerNames=layers,
            ppEnabledExtensionNames=wanted,
        )
        try:
            handle = vk.vkCreateInstance(info, None)
        except vk.VkErrorIncompatibleDriver as error:
            raise no_vulkan("the loader is there, but no driver of a device") from error
        except vk.VkError as error:
            raise no_vulkan(f"the loader refused to start ({type(error).__name__})") from error
        self.handle = self._lifetime.own("instance", handle, lambda h: vk.vkDestroyInstance(h, None))
        if self.validation:
            self._listen()

    def _listen(self) -> None:
        severity = vk.VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT | vk.VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT
        kinds = vk.VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | vk.VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT
        info = vk.VkDebugUtilsMessengerCreateInfoEXT(
            messageSeverity=severity, messageType=kinds, pfnUserCallback=_collect
        )
        create = vk.vkGetInstanceProcAddr(self.handle, "vkCreateDebugUtilsMessengerEXT")
        destroy = vk.vkGetInstanceProcAddr(self.handle, "vkDestroyDebugUtilsMessengerEXT")
        messenger = create(self.handle, info, None)
        self._callback = info  # the C side calls into it for as long as the messenger lives
        self._lifetime.own("messenger", messenger, lambda h: destroy(self.handle, h, None))

    def close(self) -> None:
        self._lifetime.close()
