# SPDX-License-Identifier: GPL-3.0-or-later
"""The grids of the pressure solver: how a domain is coarsened, and the metric of each grid.

Two cells along an axis become one, until few are left. An axis of one cell is coarsened no further; the others go on,
so the cells of a thin domain stay cubes for as long as there is anything to solve along its thin axis. Where the number
of cells is odd, the last coarse cell holds one cell and is half as wide; the outermost layer of an open side is air and
belongs to no coarse cell, so the first and the last one are narrower by a voxel. Finite volumes on such cells
(Patankar, "Numerical Heat Transfer and Fluid Flow", 1980, ch. 4) need their widths and the distances of their centres:
along an axis all alike but at its ends. `shaders/include/poisson.glsl` is the twin.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from .solver import Side

__all__ = ["Axis", "Grid", "float_bits", "grids"]

MOST_COARSEST = 4  # cells along each axis of the coarsest grid, so that 64 invocations hold it


@dataclass(frozen=True)
class Axis:
    """The cells of a grid along one axis.

    Attributes:
        cells: (low end, high end) of each in voxels, where voxel i reaches from i - 0.5 to i + 0.5; a layer of open air
            has no extent and lies at its centre.
        low, high: what the ends are.
        voxels: of the domain along the axis.
    """

    cells: tuple[tuple[float, float], ...]
    low: Side
    high: Side
    voxels: int

    @staticmethod
    def of(voxels: int, low: Side, high: Side) -> Axis:
        cells = [(i - 0.5, i + 0.5) for i in range(voxels)]
        if low is Side.OPEN:
            cells[0] = (0.0, 0.0)
        if high is Side.OPEN:
            cells[-1] = (voxels - 1.0, voxels - 1.0)
        return Axis(tuple(cells), low, high, voxels)

    def coarser(self) -> Axis:
        """Two cells become one; a layer of air next to a cell of the fluid is dropped."""
        pairs = [self.cells[i : i + 2] for i in range(0, len(self.cells), 2)]
        joined = []
        for pair in pairs:
            filled = [cell for cell in pair if cell[1] > cell[0]] or list(pair)
            joined.append((filled[0][0], filled[-1][1]))
        return self if len(self.cells) == 1 else Axis(tuple(joined), self.low, self.high, self.voxels)

    @cached_property
    def centres(self) -> tuple[float, ...]:
        return tuple((low + high) / 2 for low, high in self.cells)

    @property
    def wraps_oddly(self) -> bool:
        """Whether the last cell and the first, which meet, have the same colour."""
        return self.low is Side.PERIODIC and len(self.cells) % 2 == 1 and len(self.cells) > 1

    def slope(self, index: int) -> float:
        """One over the distance between the centres of cells index-1 and index; 0 through a wall."""
        count, centres = len(self.cells), self.centres
        if 0 < index < count:
            return 1.0 / (centres[index] - centres[index - 1])
        if self.low is Side.PERIODIC:
            return 0.0 if count == 1 else 1.0 / (centres[0] - centres[-1] + self.voxels)
        at_low = index <= 0
        side, cell = (self.low, self.cells[0]) if at_low else (self.high, self.cells[-1])
        if side is Side.CLOSED or cell[0] == cell[1]:
            return 0.0
        return 1.0 / (centres[0] if at_low else self.voxels - 1 - centres[-1])

    def width_inverse(self, index: int) -> float:
        low, high = self.cells[index]
        return 1.0 / (high - low) if high > low else 1.0

    def towards(self, index: int, coarse: Axis) -> float:
        """How far the centre of a cell lies from that of its coarse cell towards the next one, 0 … 1."""
        if len(self.cells) == 1 or not 0 <= index < len(self.cells):
            return 0.0
        own, here = coarse.centres[index // 2], self.centres[index]
        step = -1 if index % 2 == 0 else 1
        number = index // 2 + step
        if 0 <= number < len(coarse.cells):
            beyond = coarse.centres[number]
        elif self.low is Side.PERIODIC:
            beyond = coarse.centres[number % len(coarse.cells)] + step * self.voxels
        elif (self.low if step < 0 else self.high) is Side.OPEN:
            beyond = 0.0 if step < 0 else self.voxels - 1.0
        else:
            return 0.0
        return max(0.0, (here - own) / (beyond - own)) if beyond != own else 0.0


def float_bits(value: float) -> int:
    """A float as a specialisation constant takes it."""
    return int.from_bytes(struct.pack("<f", value), "little")


@dataclass(frozen=True)
class Grid:
    """One grid of the hierarchy.

    Attributes:
        axes: x, y, z.
        finest: it is the domain itself.
    """

    axes: tuple[Axis, Axis, Axis]
    finest: bool

    @property
    def size(self) -> tuple[int, int, int]:
        x, y, z = (len(axis.cells) for axis in self.axes)
        return x, y, z

    @property
    def cells(self) -> int:
        return self.size[0] * self.size[1] * self.size[2]

    @property
    def odd_wrap(self) -> bool:
        """Whether two colours do not part all neighbours: a periodic axis has an odd number of cells."""
        return any(axis.wraps_oddly for axis in self.axes)

    @property
    def is_coarsest(self) -> bool:
        return max(self.size) <= MOST_COARSEST

    def coarser(self) -> Grid:
        x, y, z = (axis.coarser() for axis in self.axes)
        return Grid((x, y, z), False)

    def constants(self) -> dict[int, int]:
        """The specialisation constants 3 to 33 and 60 of the GLSL twin, but for the colour and the class."""
        periodic = sum(1 << i for i, axis in enumerate(self.axes) if axis.low is Side.PERIODIC)
        ends = [cell for axis in self.axes for cell in (axis.cells[0], axis.cells[-1])]
        air = sum(1 << i for i, (low, high) in enumerate(ends) if low == high)
        values = dict(zip(range(3, 8), (*self.size, periodic, air), strict=True))
        for number, axis in enumerate(self.axes):
            count = len(axis.cells)
            middle = count // 2 + (1 if count <= 3 else 0)
            slopes = [axis.slope(i) for i in (0, 1, count - 1, count, middle)]
            if count == 1:
                slopes = [axis.slope(0), axis.slope(1), axis.slope(0), axis.slope(1), 0.0]
            widths = [axis.width_inverse(i) for i in (0, count - 1, min(count // 2, count - 1))]
            for offset, value in enumerate((*slopes, *widths)):
                values[10 + 8 * number + offset] = float_bits(value)
        if not self.finest:
            edge = max(high - low for axis in self.axes for low, high in axis.cells)
            values[60] = float_bits(1.0 / edge**2)
        return values

    def restriction_constants(self, coarse: Grid) -> dict[int, int]:
        """The specialisation constants 35 to 43 of `restrict.comp`."""
        values = {}
        for number, axis in enumerate(coarse.axes):
            count = len(axis.cells)
            for offset, index in enumerate((0, count - 1, count // 2)):
                values[35 + 3 * number + offset] = float_bits(axis.width_inverse(index))
        return values

    def prolongation_constants(self, coarse: Grid) -> dict[int, int]:
        """The specialisation constants 35 to 46 of `prolong.comp`."""
        values = {}
        for number, (axis, beyond) in enumerate(zip(self.axes, coarse.axes, strict=True)):
            count = len(axis.cells)
            for offset, index in enumerate((0, 1, count - 2, count - 1)):
                values[35 + 4 * number + offset] = float_bits(axis.towards(index, beyond))
        return values


def grids(size: Sequence[int], sides: Sequence[Side]) -> list[Grid]:
    """The domain and its coarser grids, down to one of a few cells; a domain of one voxel has no other."""
    x, y, z = (Axis.of(n, sides[2 * i], sides[2 * i + 1]) for i, n in enumerate(size))
    found = [Grid((x, y, z), True)]
    while (found[-1].finest and found[-1].cells > 1) or not found[-1].is_coarsest:
        found.append(found[-1].coarser())
    return found
