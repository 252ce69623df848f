# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver answers instead of doing what it was asked for, as errors for people.

A device that was lost, or that had no memory left for something, takes no further work: what was to be made is half
made, and nothing may go on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..diagnostics import FluidError, fail
from ..faults import fault
from .binding import vk

if TYPE_CHECKING:
    from .device import Device

__all__ = ["lost_device", "out_of_memory", "refusals"]


def out_of_memory(device: Device, what: str) -> FluidError:
    """The error where a driver has no memory left, `what` being what it did, after its name."""
    hint = "Close other programs that use the device, or make domain_size smaller."
    device.refused = fail("device-memory", f'"{device.info.name}" {what}.', hint)
    return device.refused


def lost_device(device: Device, what: str) -> FluidError:
    """The error where a device is lost, `what` saying when: `during "step"`."""
    device.refused = fail(
        "device-lost",
        f'The device "{device.info.name}" was lost {what}.',
        "A kernel ran too long or the driver failed; make the domain smaller, or update the driver.",
    )
    return device.refused


@contextmanager
def refusals(device: Device, what: str, point: str = "device.objects") -> Iterator[None]:
    """Turns what Vulkan itself raises inside into errors that name the device and what it was to make.

    Args:
        point: at which tests let the driver have no memory left.

    Raises:
        FluidError: `device-memory`, `device-lost`, `device-feature`.
    """
    try:
        if fault(point):
            raise vk.VkErrorOutOfDeviceMemory()
        yield
    except vk.VkErrorDeviceLost as error:
        raise lost_device(device, f"when it was to make {what}") from error
    except (vk.VkErrorOutOfDeviceMemory, vk.VkErrorOutOfHostMemory, vk.VkErrorTooManyObjects) as error:
        raise out_of_memory(device, f"has no memory left for {what}") from error
    except vk.VkError as error:
        message = f'The driver of "{device.info.name}" refused {what} ({type(error).__name__}).'
        raise fail("device-feature", message) from error
