# SPDX-License-Identifier: GPL-3.0-or-later
"""The buffers of a solver beside its fields: how large each is, and what has to be in it at first."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

import numpy as np

from ..gpu.device import Device
from ..gpu.execution import Execution
from ..gpu.memory import Buffer, Residence
from .poisson_level import BLACK, RED, Level
from .poisson_sizes import buffer_of_blocks, buffer_sizes, leaf_sums, plan_rows

__all__ = ["NUMBERS", "OMEGA", "PoissonBuffers"]

#: What changes from solve to solve, as `Numbers` in poisson.glsl has it.
NUMBERS = ("mean", "shift", "beta", "alpha")
#: Over-relaxation of the smoothing, but of the half sweeps next to a change of grids: there the colour that was
#: smoothed last has no residual and the one that is smoothed first needs no correction, so either takes half the work.
OMEGA = 1.15
#: The faces of a cell in a leaf that is not active: open air, to which leaks lead and faces do not.
BACKGROUND_FACES = 255 << 24


class PoissonBuffers:
    """The buffers of one solver by name; those in bricks have room for every slot of the domain.

    Args:
        levels: the grids, the finest first.
        method: one of `METHODS`.
    """

    def __init__(self, device: Device, execution: Execution, name: str, levels: Sequence[Level], method: str) -> None:
        self._device, self._execution, self._name = device, execution, name
        self._levels, self._method = levels, method
        self._buffers: dict[str, Buffer] = {}

    def __getitem__(self, part: str) -> Buffer:
        return self._buffers[part]

    def __bool__(self) -> bool:
        return bool(self._buffers)

    @property
    def of_blocks(self) -> str:
        """The buffer that has sums by blocks."""
        return buffer_of_blocks(self._method)

    # ----- sizes

    @property
    def leaves(self) -> int:
        """Sums by leaves that there is room for."""
        return leaf_sums(self._levels[0].shape, self._capacity)

    @property
    def _capacity(self) -> int:
        topology = self._levels[0].topology
        return topology.capacity if topology else 0

    def sizes(self, capacity: int | None = None) -> dict[str, int]:
        """Bytes of each buffer on the device by its name.

        Args:
            capacity: slots of the pool of leaves; None: those that it has.
        """
        shapes = [level.shape for level in self._levels]
        return buffer_sizes(shapes, self._method, self._capacity if capacity is None else capacity)

    def rows(self) -> list[tuple[str, int, Residence]]:
        """The rows of the memory plan."""
        return plan_rows(self._name, self.sizes())

    @property
    def allocated(self) -> int:
        """Bytes of the plan that are allocated already."""
        return sum(b.allocated for b in self._buffers.values() if b.residence is Residence.DEVICE)

    # ----- from nothing to nothing

    def allocate(self) -> None:
        """Make the buffers, and let the levels have theirs."""
        for part, size in self.sizes().items():
            self._make(part, size)
        for part in ("numbers", "coarse numbers"):
            self._make(part, 4 * len(NUMBERS), Residence.UPLOAD)
        self._make("result", 16 * self.leaves, Residence.READBACK)
        halves = {}
        for half in itertools.product((RED, BLACK), (1.0, OMEGA)):
            buffer = halves[half] = self._make(f"half sweep {half}", 8, Residence.UPLOAD)
            assert buffer.host is not None, "upload memory is always mapped"
            buffer.host[:] = np.frombuffer(struct.pack("<if", *half), np.uint8)
        for number, level in enumerate(self._levels):
            level.halves = halves
            level.numbers = self._buffers["coarse numbers" if number else "numbers"]
            if number and self._method != "sweeps":
                level.unknown, level.rhs = self._buffers[f"unknown {number}"], self._buffers[f"rhs {number}"]
                if level.faces:
                    level.packed = self._buffers[f"faces {number}"]
            if level.topology is not None:
                self._fill_background(level, number)

    def _make(self, part: str, size: int, residence: Residence = Residence.DEVICE) -> Buffer:
        self._buffers[part] = Buffer(self._device, f"{self._name} {part}", size, residence)
        return self._buffers[part]

    def _fill_background(self, level: Level, number: int) -> None:
        """What cells read in slot 0; nothing ever writes there."""
        parts = [f"unknown {number}", f"faces {number}"] if number else ["direction"]
        for part in parts:
            if part in self._buffers:
                content = np.full(level.leaf**3, BACKGROUND_FACES if part.startswith("faces") else 0, np.uint32)
                self._execution.upload(self._buffers[part], content)

    def close(self) -> None:
        for buffer in self._buffers.values():
            buffer.close()
        self._buffers.clear()
