# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in `key=value` lines what Vulkan offers on this machine, for `scripts/setup.sh` and the tests.

usable=yes|no    a device with Vulkan 1.3 or newer can be opened
software=yes|no  that device is the processor (Mesa's lavapipe)
mesa=25          the major version of its Mesa driver; empty for other drivers
layer=yes|no     the Khronos validation layer is installed
device=...       the device in words
"""

from __future__ import annotations

import re

VULKAN_1_3 = (1, 3)


def devices() -> list[tuple[bool, str, str]]:
    """Every device with Vulkan 1.3: (runs on the processor, Mesa's major version or "", name and driver)."""
    import vulkan as vk

    app = vk.VkApplicationInfo(pApplicationName="probe", apiVersion=vk.VK_MAKE_VERSION(1, 3, 0))
    instance = vk.vkCreateInstance(vk.VkInstanceCreateInfo(pApplicationInfo=app), None)
    found = []
    for gpu in vk.vkEnumeratePhysicalDevices(instance):
        properties = vk.vkGetPhysicalDeviceProperties(gpu)
        version = (vk.VK_VERSION_MAJOR(properties.apiVersion), vk.VK_VERSION_MINOR(properties.apiVersion))
        if version < VULKAN_1_3:
            continue
        driver = vk.VkPhysicalDeviceDriverProperties()
        vk.vkGetPhysicalDeviceProperties2(gpu, vk.VkPhysicalDeviceProperties2(pNext=driver))
        driver_words = vk.ffi.string(driver.driverInfo).decode("utf-8", "replace")
        mesa = re.match(r"Mesa (\d+)\.", driver_words)
        on_processor = properties.deviceType == vk.VK_PHYSICAL_DEVICE_TYPE_CPU
        found.append((on_processor, mesa[1] if mesa else "", f"{properties.deviceName}, {driver_words}"))
    vk.vkDestroyInstance(instance, None)
    return sorted(found)  # a graphics card before the processor


def has_validation_layer() -> bool:
    import vulkan as vk

    return "VK_LAYER_KHRONOS_validation" in {layer.layerName for layer in vk.vkEnumerateInstanceLayerProperties()}


def main() -> None:
    # A missing loader is an OSError of the import, a missing driver a VkError: both mean the same to the asker.
    try:
        layer = has_validation_layer()
    except Exception:
        layer = False
    try:
        found, reason = devices(), "no driver offers Vulkan 1.3"
    except Exception as error:
        found, reason = [], f"{type(error).__name__} {error}".strip()
    on_processor, mesa, words = found[0] if found else (False, "", f"none ({reason})")
    print(f"usable={'yes' if found else 'no'}")
    print(f"software={'yes' if on_processor else 'no'}")
    print(f"mesa={mesa}")
    print(f"layer={'yes' if layer else 'no'}")
    print(f"device={words}")


if __name__ == "__main__":
    main()
