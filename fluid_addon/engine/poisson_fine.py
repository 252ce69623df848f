# SPDX-License-Identifier: GPL-3.0-or-later
"""The finest grid of a solver on one of several devices: its slab, and what it needs of the next coarser grid there."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..gpu.compiler import Compiler
from ..gpu.execution import Encoded
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Command, Copy, Recording
from .field import Field
from .leaves import LEAF
from .part import Part, buffer_bytes
from .poisson_buffers import NUMBERS, OMEGA
from .poisson_level import BLACK, RED, KernelMaker, Level
from .poisson_sizes import level_shapes
from .slab import Slab
from .solver import Solver
from .topology import Topology

__all__ = ["Beside", "FineSlab", "finest_sizes", "leaves_in"]


def leaves_in(slab: Slab, size: tuple[int, int, int]) -> int:
    """Leaves of a dense domain that a slab computes."""
    first, stop = slab.leaf_planes()
    return (stop - first) * -(-size[1] // LEAF) * -(-size[2] // LEAF)


def finest_sizes(leaves: int) -> dict[str, int]:
    """Bytes of what the finest grid needs on a device beside fields, by so many leaves."""
    return {"squares": 4 * 64 * leaves, "blocks": 16 * 8 * leaves, "sums": 16 * leaves}


class Beside(Part):
    """The first coarser grid beside a part of the finest one, on the same device."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self.domain, self.storage = part.domain, part.storage
        self.device, self.library, self.execution = part.device, part.library, part.execution
        self.buffers = {}

    @property
    def slab(self) -> Slab:  # type: ignore[override]  # it is the part's, and changes with it
        return self._part.slab

    @property
    def topology(self) -> Topology | None:  # type: ignore[override]
        return self._part.topology


class FineSlab:
    """The finest grid's planes on one device, with what a solver needs of the next coarser one there."""

    def __init__(self, part: Part, compiler: Compiler, solver: Solver, size: tuple[int, int, int]) -> None:
        self.part, self._solver = part, solver
        self._maker = KernelMaker(part.library, compiler, part.device.info)
        self._shapes = level_shapes(solver, size, part.topology is not None)[:2]
        self.beside = Beside(part)
        self._buffers: dict[str, Buffer] = {}
        self._encoded: dict[tuple[object, ...], Encoded] = {}
        self.level: Level | None = None

    @property
    def leaves(self) -> int:
        """Leaves that are computed here."""
        if self.part.topology is not None:
            return self.part.topology.count
        return self._room

    @property
    def _room(self) -> int:
        """Sums by leaves that there is room for."""
        if self.part.topology is not None:
            return self.part.topology.capacity
        return leaves_in(self.part.slab, self._shapes[0].grid.size)

    def allocate(self, coarse: Sequence[Field]) -> None:
        """Make the buffers anew, for the planes and leaves that are held now."""
        self.close()
        name, part = self._solver.definition.name, self.part
        for key, size in finest_sizes(self._room).items():
            self._buffers[key] = Buffer(part.device, f"{name} {key}", size)
        self._buffers["numbers"] = Buffer(part.device, f"{name} numbers", 4 * len(NUMBERS), Residence.UPLOAD)
        self._buffers["result"] = Buffer(part.device, f"{name} result", 16 * self._room, Residence.READBACK)
        halves = {}
        for half in itertools.product((RED, BLACK), (1.0, OMEGA)):
            buffer = halves[half] = Buffer(part.device, f"{name} half sweep", 8, Residence.UPLOAD)
            self._buffers[f"half sweep {half}"] = buffer
            assert buffer.host is not None, "upload memory is always mapped"
            buffer.host[:] = np.frombuffer(struct.pack("<if", *half), np.uint8)
        for field in coarse:
            self.beside.allocate(field)
            self.beside.fill(field, field.background)
        below = Level(self._maker, self._shapes[1], None, part.topology if self._shapes[1].in_bricks else None)
        below.rhs, below.unknown = (self.beside.buffer(field) for field in coarse[:2])
        if len(coarse) == 3:
            below.packed = self.beside.buffer(coarse[2])
        self.level = Level(self._maker, self._shapes[0], below, part.topology, part.slab)
        self.level.halves, self.level.numbers = halves, self._buffers["numbers"]

    def planned(self, coarse: Sequence[Field], capacity: int | None = None) -> int:
        """Bytes of the buffers on the device, with a pool of so many slots or the one that there is."""
        room = self._room if capacity is None else capacity
        voxels = [self.beside.voxels(field) if capacity is None else capacity * 4**3 for field in coarse]
        beside = sum(buffer_bytes(field, count) for field, count in zip(coarse, voxels, strict=True))
        return sum(finest_sizes(room).values()) + beside

    @property
    def allocated(self) -> int:
        """Bytes on the device."""
        buffers = [*self._buffers.values(), *itertools.chain.from_iterable(self.beside.buffers.values())]
        return sum(buffer.allocated for buffer in buffers if buffer.residence is Residence.DEVICE)

    def set_numbers(self, numbers: npt.NDArray[np.float32]) -> None:
        """What changes from solve to solve; nothing of this solver may be under way."""
        host = self._buffers["numbers"].host
        assert host is not None, "upload memory is always mapped"
        host[:] = numbers.view(np.uint8)

    def submit(self, name: str) -> int:
        """Queue a recording over the fields as they stand."""
        level, part = self.level, self.part
        assert level is not None, "allocated before it is used"
        buffers = [part.buffer(field) for field in self._solver.fields]
        key = (name, *(buffer.address for buffer in buffers))
        if key not in self._encoded:
            level.unknown, level.rhs = buffers[:2]
            if len(buffers) == 3:
                level.packed = buffers[2]
            commands = list(self._commands(level)[name]())
            self._encoded[key] = part.execution.encode(Recording(f"{self._solver.definition.name} {name}", commands))
        return part.execution.submit(self._encoded[key])

    def _commands(self, level: Level) -> Mapping[str, Callable[[], Iterable[Command]]]:
        blocks, squares = self._buffers["blocks"], self._buffers["squares"]

        def measure(centre: bool) -> Iterator[Command]:
            yield from level.measure(blocks, centre)
            yield from self._summed(level, "vec4", blocks)

        def begin() -> Iterator[Command]:
            yield from level.smooth((RED, 1.0), (BLACK, 1.0))
            yield from norm()

        def cycle() -> Iterator[Command]:
            yield from level.prolong(RED)
            yield from level.smooth((BLACK, 1.0), (RED, OMEGA), (BLACK, OMEGA), (RED, OMEGA), (BLACK, 1.0))
            yield from norm()

        def norm() -> Iterator[Command]:
            yield from level.restrict(RED, squares)
            yield from self._summed(level, "float", squares)

        return {
            "measure": lambda: measure(False),
            "mean": lambda: measure(True),
            "coarse faces": level.coarsen_faces,
            "begin": begin,
            "cycle": cycle,
            "centre": level.subtract_mean,
        }

    def _summed(self, level: Level, value: Literal["float", "vec4"], source: Buffer) -> Iterator[Command]:
        sums, result = self._buffers["sums"], self._buffers["result"]
        yield from level.sum_by_leaves(value, source, sums)
        yield Copy(sums, result, (16 if value == "vec4" else 4) * self._room)

    def sums(self, width: int) -> npt.NDArray[np.float32]:
        """What the last recording found for each leaf, (leaves, width), once it is finished."""
        result = self._buffers["result"]
        result.invalidate()
        assert result.host is not None, "readback memory is always mapped"
        return np.array(result.host[: 4 * width * self.leaves].view(np.float32).reshape(self.leaves, width))

    def close(self) -> None:
        self.part.execution.idle()
        for encoded in self._encoded.values():
            encoded.close()
        self._encoded.clear()
        for buffer in (*self._buffers.values(), *itertools.chain.from_iterable(self.beside.buffers.values())):
            buffer.close()
        self._buffers.clear()
        self.beside.buffers.clear()
