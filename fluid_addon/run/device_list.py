# SPDX-License-Identifier: GPL-3.0-or-later
"""The Vulkan devices of this machine as data that can leave the process which asked the drivers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ..diagnostics import FluidError

if TYPE_CHECKING:
    from ..gpu.device import DeviceInfo

__all__ = ["DeviceList", "ListedDevice"]


@dataclass(frozen=True)
class ListedDevice:
    """A device in words and numbers. Sizes are in bytes; `why_not` says why a run cannot take it, or is empty."""

    index: int
    name: str
    kind: str
    driver: str
    api: str
    memory: int
    largest_piece: int
    half_storage: bool
    why_not: str

    @staticmethod
    def of(info: DeviceInfo) -> ListedDevice:
        api = ".".join(map(str, info.api))
        return ListedDevice(
            info.index,
            info.name,
            info.kind,
            info.driver,
            api,
            info.memory,
            info.max_allocation,
            info.half_storage,
            info.why_not,
        )


@dataclass(frozen=True)
class DeviceList:
    """What there is.

    Attributes:
        devices: usable or not, in the order of the Vulkan loader.
        taken: index of the one that a run takes by itself; None where none can run kernels.
        problem, hint: why there is none; empty where there is one.
        exit_code: of the command line.
    """

    devices: tuple[ListedDevice, ...] = ()
    taken: int | None = None
    problem: str = ""
    hint: str = ""
    exit_code: int = 0

    @staticmethod
    def ask() -> DeviceList:
        """Ask the drivers, in this process. Vulkan is loaded here and not with the module, which Blender has, too."""
        from ..gpu.device import choose, list_devices

        found: list[DeviceInfo] = []
        try:
            found = list_devices()
            taken = choose(found, None).index
        except FluidError as error:
            first = error.diagnostics[0]
            listed = tuple(map(ListedDevice.of, found))
            return DeviceList(listed, None, first.message, first.hint or "", error.kind.value)
        return DeviceList(tuple(map(ListedDevice.of, found)), taken)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> DeviceList:
        """The inverse of `to_json`. Raises ValueError, KeyError or TypeError for any other text."""
        data = json.loads(text)
        return DeviceList(**{**data, "devices": tuple(ListedDevice(**device) for device in data["devices"])})
