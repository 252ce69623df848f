# SPDX-License-Identifier: GPL-3.0-or-later
"""How voxels lie in memory: coordinate to index to array, for a dense domain.

The twin of `shaders/include/address.glsl`; nothing else in the engine knows the order of voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from .block import Block

__all__ = ["Boundary", "DenseAddress"]


class Boundary(IntEnum):
    """What a read outside the domain gives. The numbers are the GLSL twin's."""

    OPEN = 0  # the field's background
    CLAMP = 1  # the nearest voxel inside
    PERIODIC = 2  # the voxel on the other side


@dataclass(frozen=True)
class DenseAddress:
    """Every voxel of a box, z fastest.

    Attributes:
        size: voxels along x, y, z.
    """

    size: tuple[int, int, int]

    @property
    def voxels(self) -> int:
        return self.size[0] * self.size[1] * self.size[2]

    def index(self, coord: tuple[int, int, int]) -> int:
        """The place of a voxel inside the box in a field's buffer."""
        x, y, z = coord
        return (x * self.size[1] + y) * self.size[2] + z

    def coord(self, index: int) -> tuple[int, int, int]:
        """The voxel that lies at a place in a field's buffer."""
        row, z = divmod(index, self.size[2])
        return *divmod(row, self.size[1]), z

    def extent(self, block: Block) -> tuple[int, int, int]:
        """Invocations of a kernel that covers the box in blocks, for the dispatch's x, y, z."""
        return self.size[2] // block.along_z, self.size[1], self.size[0] // block.along_x

    def workgroup(self, block: Block, invocations: int = 64) -> tuple[int, int, int]:
        """A workgroup that lies along the fastest axes and wastes little on thin boxes."""
        shape = [1, 1, 1]
        left = invocations
        for axis, extent in enumerate(self.extent(block)):
            shape[axis] = min(left, 1 << (extent - 1).bit_length())
            left //= shape[axis]
        return shape[0], shape[1], shape[2]

    def shape(self, components: int) -> tuple[int, ...]:
        """The numpy shape in which a field's buffer is read: (nx, ny, nz) or (nx, ny, nz, components)."""
        return self.size if components == 1 else (*self.size, components)

    def to_array(self, raw: npt.NDArray[np.uint8], dtype: np.dtype[Any], components: int) -> npt.NDArray[Any]:
        """A field's bytes as an array of `shape`, without a copy."""
        return raw.view(dtype).reshape(self.shape(components))

    def constants(self, boundary: tuple[Boundary, Boundary, Boundary]) -> dict[int, int]:
        """Specialisation constants of the GLSL twin, by id."""
        return dict(zip(range(3, 9), (*self.size, *boundary), strict=True))
