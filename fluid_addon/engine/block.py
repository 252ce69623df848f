# SPDX-License-Identifier: GPL-3.0-or-later
"""How many voxels one invocation of a kernel computes.

One on a graphics card, whose caches and width make up for reading a neighbour again. On a software device every load
is a slow gather, however wide: there an invocation computes a block of voxels along z and x, loads each row once in
64-bit words, and uses it for all of the block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..gpu.device import DeviceInfo
from .formats import Format

__all__ = ["Block", "Chunk", "largest_block"]

LANES = 8  # voxels that a software device computes at once, along z
WORD = 8  # bytes of the widest load


@dataclass(frozen=True)
class Chunk:
    """Voxels of a format that are loaded and stored together: one, or as many along z as fill whole 64-bit words.

    Attributes:
        words: 64-bit words; 0 where a single voxel goes as it is.
    """

    voxels: int = 1
    words: int = 0

    @property
    def loads(self) -> int:
        """Loads that the chunk takes, where it is a chunk of words."""
        return max(self.words, 1)


@dataclass(frozen=True)
class Block:
    """The voxels of one invocation.

    Attributes:
        along_z: 1, 2, 4, or 8 in leaves; it divides the domain's size along z.
        along_x: 1, 2, 4, or 8 in leaves; it divides the domain's size along x.
        words: the device loads 64-bit words, and gains by it.
    """

    along_z: int = 1
    along_x: int = 1
    words: bool = False

    @property
    def voxels(self) -> int:
        return self.along_z * self.along_x

    def halved(self) -> Block:
        """The next smaller block: half as long along its longer side."""
        if self.along_z > self.along_x:
            return replace(self, along_z=self.along_z // 2)
        return replace(self, along_x=self.along_x // 2)

    def chunk(self, format_: Format) -> Chunk:
        """What is loaded together of a field of that format."""
        size = format_.bytes_per_voxel
        voxels = next(n for n in (1, 2, 4) if n * size % WORD == 0)
        if not self.words or self.along_z % voxels:
            return Chunk()
        return Chunk(voxels, voxels * size // WORD)


def largest_block(device: DeviceInfo, size: tuple[int, int, int], leaf_edge: int | None = None) -> Block:
    """The largest block that suits a device and a domain of `size` voxels, in leaves of so many along an edge."""
    if device.kind != "software" or not device.int64:
        return Block()
    if leaf_edge is not None:
        # A row of blocks through the whole leaf: what lies in the next leaf is so for all of them, or for none.
        along_x, along_z = (next(n for n in (8, 4, 2, 1) if k % n == 0 and leaf_edge % n == 0) for k in size[::2])
        return Block(along_z, along_x, True)
    along_z = next(n for n in (4, 2, 1) if size[2] % n == 0 and (n == 1 or size[2] // n >= LANES))
    along_x = next(n for n in (4, 2, 1) if size[0] % n == 0)
    return Block(along_z, along_x, True)
