# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording: the plain list of commands between what is described and what is executed.

A recording knows nothing of Vulkan's encoding; `str(recording)` prints it, a command a line, in the artist's names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .kernel import Kernel
from .memory import Buffer

__all__ = ["Barrier", "Command", "Copy", "CopyRegions", "Dispatch", "Recording"]


@dataclass(frozen=True)
class Dispatch:
    """Run `kernel` over `groups` workgroups.

    Attributes:
        bindings: (name in the kernel, buffer), in slot order.
        numbers: 32-bit integers that the kernel finds behind the addresses of its buffers.
        base: the first workgroup, where this is a piece of a dispatch.
    """

    kernel: Kernel
    bindings: tuple[tuple[str, Buffer], ...]
    groups: tuple[int, int, int]
    numbers: tuple[int, ...] = ()
    base: tuple[int, int, int] = (0, 0, 0)

    def __str__(self) -> str:
        names = ", ".join(name for name, _ in self.bindings)
        piece = f" from {'x'.join(map(str, self.base))}" if any(self.base) else ""
        return f"Dispatch {self.kernel.name} [{names}] {'x'.join(map(str, self.groups))}{piece}"


@dataclass(frozen=True)
class Copy:
    """Copy `size` bytes between buffers: uploads and downloads are copies from and to host memory."""

    source: Buffer
    target: Buffer
    size: int
    source_offset: int = 0
    target_offset: int = 0

    def __str__(self) -> str:
        return f"Copy {self.source.name} -> {self.target.name} ({self.size} bytes)"


@dataclass(frozen=True, eq=False)
class CopyRegions:
    """Copy several pieces between two buffers at once.

    Attributes:
        regions: (n, 3) of offset in the source, offset in the target, and size, in bytes.
    """

    source: Buffer
    target: Buffer
    regions: npt.NDArray[np.uint64]

    def __str__(self) -> str:
        size = int(self.regions[:, 2].sum())
        return f"Copy {self.source.name} -> {self.target.name} ({size} bytes in {len(self.regions)} pieces)"


@dataclass(frozen=True)
class Barrier:
    """All commands before it are finished, and what they wrote is visible to all commands after it."""

    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"Barrier ({', '.join(self.because)})" if self.because else "Barrier"


Command: TypeAlias = Dispatch | Copy | CopyRegions | Barrier


@dataclass
class Recording:
    """A list of commands with a name for messages."""

    name: str
    commands: list[Command] = field(default_factory=list)

    def __iter__(self) -> Iterator[Command]:
        return iter(self.commands)

    def __str__(self) -> str:
        return "\n".join([f"{self.name}:", *(f"  {command}" for command in self.commands)])
