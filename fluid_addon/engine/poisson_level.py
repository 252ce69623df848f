# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels of one grid of a solver, and the commands that run them over its buffers.

A grid is dense, or lies in bricks: one for each slot of a sparse domain, see `shaders/include/poisson.glsl`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from ..gpu.compiler import Compiler
from ..gpu.device import DeviceInfo
from ..gpu.kernel import Kernel, KernelLibrary
from ..gpu.memory import Buffer
from ..gpu.recording import Barrier, Command, Dispatch
from .declarations import shader_text
from .poisson_sizes import LevelShape
from .slab import Slab
from .topology import Topology

__all__ = ["KernelMaker", "Level", "RED", "BLACK"]

RED, BLACK = 0, 1
LANES = 64  # invocations of a workgroup
MOST_ALONG_X = 32768  # workgroups, where what they do is counted along x and y


def workgroup(extent: Sequence[int], invocations: int = LANES) -> tuple[int, int, int]:
    """A workgroup that lies along the first axes and wastes little on thin boxes."""
    shape, left = [1, 1, 1], invocations
    for axis, size in enumerate(extent):
        shape[axis] = min(left, 1 << (size - 1).bit_length())
        left //= shape[axis]
    return shape[0], shape[1], shape[2]


class KernelMaker:
    """Makes the kernels of a simulation's solvers from `shaders/poisson/`; solvers that are alike share theirs."""

    def __init__(self, library: KernelLibrary, compiler: Compiler, info: DeviceInfo) -> None:
        self._library, self._compiler = library, compiler
        self._spirv: dict[tuple[str, ...], bytes] = {}
        self._kernels: dict[tuple[object, ...], Kernel] = {}
        self.software = info.kind == "software"

    def make(
        self, shader: str, variant: Sequence[str], shape: tuple[int, int, int], constants: dict[int, int]
    ) -> Kernel:
        """A kernel of `shaders/poisson/{shader}.comp` where `variant` is defined."""
        key = (shader, *variant)
        if key not in self._spirv:
            text = "".join(f"#define {word}\n" for word in variant)
            self._spirv[key] = self._compiler.compile(shader_text(f"poisson/{shader}.comp"), {"variant": text})
        kernel = (*key, shape, *sorted(constants.items()))
        if kernel not in self._kernels:
            self._kernels[kernel] = self._library.make(f"solver: {shader}", self._spirv[key], shape, constants)
        return self._kernels[kernel]


class Level:
    """A grid with its kernels, made when they are first asked for, and its buffers.

    Args:
        shape: the grid, with leaves of at least 2 cells along each edge on the finest.
        coarse: the next coarser level, or None.
        topology: the active leaves, where the grid lies in bricks.
        slab: the planes of the finest grid that are here, where others are on other devices.

    Attributes:
        unknown, rhs, packed, numbers: the buffers that the commands work on; `packed` are the faces.
        halves: a colour and an over-relaxation as kernels read them.
        block: cells along each edge of those that `measure` and `measure_step` add up at once.
    """

    unknown: Buffer
    rhs: Buffer
    packed: Buffer
    numbers: Buffer
    halves: dict[tuple[int, float], Buffer]

    def __init__(
        self,
        maker: KernelMaker,
        shape: LevelShape,
        coarse: Level | None,
        topology: Topology | None = None,
        slab: Slab | None = None,
    ) -> None:
        self._maker, self.shape, self.coarse, self.topology = maker, shape, coarse, topology
        self._slab = slab
        self.grid, self.faces, self.leaf, self.block = shape.grid, shape.faces, shape.leaf, shape.block
        self._kernels: dict[tuple[object, ...], Kernel] = {}
        x, _, z = self.grid.size if topology is None else (self.leaf,) * 3
        # What an invocation does at once: more in a leaf, so that it is worth asking for the leaf's neighbours.
        most_rows, most_pairs = ((8, 4) if topology else (4, 2)) if maker.software else (1, 1)
        self._rows = math.gcd(x, most_rows)
        self._pairs = math.gcd(z // 2, most_pairs) if z % 2 == 0 else 1

    @property
    def stored(self) -> int:
        """Cells that a buffer of the grid has room for."""
        return self.shape.stored(self.topology.capacity if self.topology else 0)

    # ----- commands

    def smooth(self, *halves: tuple[int, float]) -> Iterator[Command]:
        """Half a sweep for each colour and over-relaxation."""
        extent = self._extent(self._rows, 1, 2 * self._pairs)
        for colour, omega in halves:
            for turn in self._turns():
                variant = [f"ROWS {self._rows}", f"PAIRS {self._pairs}"]
                yield self._run("smooth", variant, extent, self._half(colour, omega), {9: turn})
                yield Barrier(("unknown",))

    def smooth_from_zero(self, omega: float) -> Iterator[Command]:
        """The first half sweep, red, of an unknown that is 0 everywhere, whatever its buffer holds."""
        extent = self._extent(self._rows, 1, 2 * self._pairs)
        variant = [f"ROWS {self._rows}", f"PAIRS {self._pairs}", "FROM_ZERO"]
        yield self._run("smooth", variant, extent, self._half(RED, omega), {})
        yield Barrier(("unknown",))

    def restrict(self, left: int | None, squares: Buffer | None = None, down: bool = True) -> Iterator[Command]:
        """The residual, brought to the coarser grid where `down`, and its squares, summed up by coarse cells.

        Args:
            left: the one colour that has a residual; None: both.
        """
        bindings = self._bound("unknown", "rhs", "numbers")
        variant = []
        if down:
            assert self.coarse is not None, "only the coarsest has none"
            variant.append("COARSE")
            bindings.append(("coarse right side", self.coarse.rhs))
        if squares is not None:
            variant.append("NORM")
            bindings.append(("squares", squares))
        yield from self._between("restrict", variant, bindings, left)

    def prolong(self, left: int | None) -> Iterator[Command]:
        """The coarser grid's correction, added to the cells of one colour, or of both."""
        assert self.coarse is not None, "only the coarsest has none"
        variant = []
        bindings = [("unknown", self.unknown), ("correction", self.coarse.unknown)]
        if self.faces:
            bindings.append(("faces", self.packed))
        if self.coarse.faces:
            variant.append("COARSE_FACES")
            bindings.append(("coarse faces", self.coarse.packed))
        yield from self._between("prolong", variant, bindings, left)

    def coarsen_faces(self) -> Iterator[Command]:
        """The faces of the coarser grid."""
        assert self.coarse is not None, "only the coarsest has none"
        bindings = [("faces", self.packed)] if self.faces else []
        bindings.append(("coarse faces", self.coarse.packed))
        yield self._run("coarse_faces", [], self._coarse_extent(1), bindings, {}, self._by_coarse_leaves)
        yield Barrier(("coarse faces",))

    def solve(self) -> Iterator[Command]:
        """The coarsest grid, solved."""
        bindings = self._bound("unknown", "rhs", "numbers")
        yield self._run("coarsest", [], (LANES, 1, 1), bindings, {}, by_leaves=False)
        yield Barrier(("unknown",))

    def measure(self, sums: Buffer, centre: bool = False) -> Iterator[Command]:
        """The sums of `measure.comp`, of the right side or, to centre it, of the unknown."""
        variant = [f"BLOCK {self.block}", *(["CENTRE"] if centre else [])]
        bindings = [*self._bound("unknown", "rhs", "numbers"), ("sums", sums)]
        extent = self._extent(self.block, self.block, self.block, self._own_planes)
        yield self._run("measure", variant, extent, bindings, {}, held=False)
        yield Barrier(("sums",))

    def subtract_mean(self) -> Iterator[Command]:
        bindings = [("unknown", self.unknown), ("numbers", self.numbers)]
        extent = self._extent(self._rows, 1, 1, self._own_planes)
        yield self._run("centre", [f"ROWS {self._rows}"], extent, bindings, {}, held=False)
        yield Barrier(("unknown",))

    def measure_step(self, direction: Buffer, previous: Buffer, sums: Buffer) -> Iterator[Command]:
        """The products that a step of conjugate gradients is chosen by."""
        steps: list[tuple[str, Buffer]] = [("direction", direction), ("previous", previous), ("sums", sums)]
        bindings = [*self._bound("unknown", "rhs", "numbers"), *steps]
        extent = self._extent(self.block, self.block, self.block)
        yield self._run("direction", [f"BLOCK {self.block}"], extent, bindings, {})
        yield Barrier(("sums",))

    def take_step(self, direction: Buffer, previous: Buffer) -> Iterator[Command]:
        """The step: the next direction, and the unknown moved along it."""
        bindings = [("unknown", self.unknown), ("numbers", self.numbers)]
        bindings += [("direction", direction), ("previous", previous)]
        yield self._run("advance", [f"ROWS {self._rows}"], self._extent(self._rows, 1, 1), bindings, {})
        yield Barrier(("unknown", "direction"))

    def sum_by_leaves(self, value: Literal["float", "vec4"], source: Buffer, sums: Buffer) -> Iterator[Command]:
        """The squares that `restrict` left (float), or the sums of `measure` and `measure_step` (vec4), leaf by leaf.

        The sums are in the order of the leaves' linear indices; of a sparse domain those of the active ones.
        """
        squares = value == "float"
        edge = self.leaf // 2 if squares else self.leaf // self.block
        part = 2 if squares else self.block
        size = self.grid.coarser().size if squares else tuple(-(-n // part) for n in self.grid.size)
        if self.topology is None:
            size = (-(-self._own_planes // part), *size[1:])
        variant = [f"VALUE {value}", f"EDGE {edge}", *([] if self.topology is None else [f"BRICK {edge}"])]
        key = ("leaf_sums", value)
        if key not in self._kernels:
            special = dict(zip(range(3, 6), size, strict=True))
            self._kernels[key] = self._maker.make("leaf_sums", variant, (LANES, 1, 1), special)
        leaves = self.topology.capacity if self.topology else math.prod(-(-n // edge) for n in size)
        bindings = (*self._leaves(), ("source", source), ("sums", sums))
        yield Dispatch(self._kernels[key], bindings, _counted_groups(leaves))
        yield Barrier(("sums",))

    # ----- how they are made

    def _bound(self, *names: str) -> list[tuple[str, Buffer]]:
        bindings = [(name, getattr(self, name)) for name in names]
        return [*bindings, ("faces", self.packed)] if self.faces else bindings

    def _half(self, colour: int, omega: float) -> list[tuple[str, Buffer]]:
        return [*self._bound("unknown", "rhs", "numbers"), ("half sweep", self.halves[colour, omega])]

    def _turns(self) -> list[int]:
        """The classes of cells that have their turns one after the other: see `wrap_class` in poisson.glsl."""
        if not self.grid.odd_wrap:
            return [-1]
        odd = [1 << i for i, axis in enumerate(self.grid.axes) if axis.wraps_oddly]
        return [turn for turn in range(8) if turn & sum(odd) == turn]

    def _between(
        self, shader: str, variant: list[str], bindings: list[tuple[str, Buffer]], left: int | None
    ) -> Iterator[Command]:
        """A kernel between this grid and the coarser one, over its cells."""
        coarse = self.grid.coarser()
        pairs = 1
        if self._maker.software and self.grid.size[2] > 1 and (self._by_coarse_leaves or self.topology is None):
            pairs = math.gcd(self.leaf // 2, 4) if self._by_coarse_leaves else math.gcd(coarse.size[2], 2)
        special = {8: RED if left is None else left, 34: int(left is None or self.grid.odd_wrap)}
        extra = self.grid.restriction_constants(coarse) if shader == "restrict" else None
        special |= extra if extra is not None else self.grid.prolongation_constants(coarse)
        words = [f"PAIRS {pairs}", *variant]
        yield self._run(shader, words, self._coarse_extent(pairs), bindings, special, self._by_coarse_leaves)
        yield Barrier(("between grids",))

    # ----- dispatches

    def _planes(self) -> dict[int, int]:
        """Specialisation constants of a slab."""
        assert self._slab is not None, "asked for of slabs"
        first, planes = self._slab.held()
        return {47: first, 48: planes, 49: self._slab.begin, 50: self._slab.end - self._slab.begin}

    @property
    def _by_coarse_leaves(self) -> bool:
        """Whether the coarser grid lies in bricks as well: one of an odd edge cannot."""
        return self.topology is not None and self.leaf % 2 == 0

    @property
    def _own_planes(self) -> int:
        """Planes of the grid that are computed here."""
        return self.grid.size[0] if self._slab is None else self._slab.end - self._slab.begin

    @property
    def _held_planes(self) -> int:
        return self.grid.size[0] if self._slab is None else self._slab.held()[1]

    def _extent(self, along_x: int, along_y: int, along_z: int, planes: int | None = None) -> tuple[int, int, int]:
        """Blocks of cells along z, y, x: of the grid (by default of all planes that are held), or of a leaf."""
        x, y, z = self.grid.size if self.topology is None else (self.leaf,) * 3
        if self.topology is None:
            x = self._held_planes if planes is None else planes
        return -(-z // along_z), -(-y // along_y), -(-x // along_x)

    def _coarse_extent(self, along_z: int) -> tuple[int, int, int]:
        """The same for blocks of coarse cells."""
        x, y, z = (self.leaf // 2,) * 3 if self._by_coarse_leaves else self.grid.coarser().size
        if self._slab is not None and self.topology is None:
            x = -(-self._held_planes // 2)
        return z // along_z, y, x

    def _leaves(self) -> list[tuple[str, Buffer]]:
        known = self.topology
        if known is None:
            return []
        return [("leaf order", known.order), ("leaf records", known.records), ("leaf table", known.table)]

    def _run(
        self,
        shader: str,
        variant: list[str],
        extent: tuple[int, int, int],
        bindings: list[tuple[str, Buffer]],
        special: dict[int, int],
        by_leaves: bool = True,
        held: bool = True,
    ) -> Command:
        """A kernel over `extent` invocations; over as many for each slot where `by_leaves` and there are leaves.

        Args:
            held: it works on the halo of a slab as well.
        """
        by_leaves = by_leaves and self.topology is not None
        key = (shader, *variant, *special.items())
        if key not in self._kernels:
            words = [*variant, *(["FACES"] if self.faces else [])]
            words += [] if self.topology is None else [f"BRICK {self.leaf}"]
            if self._slab is not None:
                words += ["SLAB"] if self.topology is None else ["HELD"] * held
                special = special | self._planes()
            shape = (LANES, 1, 1) if by_leaves else workgroup(extent)
            self._kernels[key] = self._maker.make(shader, words, shape, self.grid.constants() | special)
        kernel = self._kernels[key]
        groups = kernel.groups(extent)
        if by_leaves and self.topology is not None:
            groups = _counted_groups(self.topology.capacity * math.prod(extent))
        return Dispatch(kernel, (*self._leaves(), *bindings), groups)


def _counted_groups(invocations: int) -> tuple[int, int, int]:
    groups = -(-invocations // LANES)
    return min(groups, MOST_ALONG_X), -(-groups // MOST_ALONG_X), 1
