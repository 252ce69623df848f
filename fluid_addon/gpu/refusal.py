# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver answers instead of doing what it was asked for, as errors for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..diagnostics import FluidError, fail
from ..faults import fault
from .binding import vk

__all__ = ["lost_device", "out_of_memory", "refusals"]


def out_of_memory(message: str) -> FluidError:
    """The error where a driver has no memory left."""
    hint = "Close other programs that use the device, or make domain_size smaller."
    return fail("device-memory", message, hint)


def lost_device(device: str, what: str) -> FluidError:
    """The error where a device is lost, `what` saying when: `during "step"`."""
    return fail(
        "device-lost",
        f'The device "{device}" was lost {what}.',
        "A kernel ran too long or the driver failed; make the domain smaller, or update the driver.",
    )


@contextmanager
def refusals(device: str, what: str, point: str = "device.objects") -> Iterator[None]:
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
        raise out_of_memory(f'"{device}" has no memory left for {what}.') from error
    except vk.VkErrorMemoryMapFailed as error:
        raise out_of_memory(f'"{device}" cannot show {what} to the processor.') from error
    except vk.VkError as error:
        raise fail("device-feature", f'The driver of "{device}" refused {what} ({type(error).__name__}).') from error
