# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels of one grid of a solver, and the commands that run them over its buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..gpu.compiler import Compiler
from ..gpu.device import DeviceInfo
from ..gpu.kernel import Kernel, KernelLibrary
from ..gpu.memory import Buffer
from ..gpu.recording import Barrier, Command, Dispatch
from .declarations import shader_text
from .multigrid import Grid

__all__ = ["KernelMaker", "Level", "RED", "BLACK"]

RED, BLACK = 0, 1


def workgroup(extent: Sequence[int], invocations: int = 64) -> tuple[int, int, int]:
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
        coarse: the next coarser level, or None.
        faces: whether a field says how open faces are.

    Attributes:
        unknown, rhs, packed, numbers: the buffers that the commands work on; `packed` are the faces.
        halves: a colour and an over-relaxation as kernels read them.
    """

    unknown: Buffer
    rhs: Buffer
    packed: Buffer
    numbers: Buffer
    halves: dict[tuple[int, float], Buffer]

    def __init__(self, maker: KernelMaker, grid: Grid, coarse: Level | None, faces: bool) -> None:
        self._maker, self.grid, self.coarse, self.faces = maker, grid, coarse, faces
        self._kernels: dict[tuple[object, ...], Kernel] = {}
        x, _, z = grid.size
        self._rows = next(n for n in (4, 2, 1) if x % n == 0) if maker.software else 1
        self._pairs = next(n for n in (2, 1) if z % (2 * n) == 0 or n == 1) if maker.software else 1

    # ----- commands

    def smooth(self, *halves: tuple[int, float]) -> Iterator[Command]:
        """Half a sweep for each colour and over-relaxation."""
        x, y, z = self.grid.size
        extent = (-(-z // (2 * self._pairs)), y, -(-x // self._rows))
        for colour, omega in halves:
            for turn in self._turns():
                variant = [f"ROWS {self._rows}", f"PAIRS {self._pairs}"]
                yield self._run("smooth", variant, extent, self._half(colour, omega), {9: turn})
                yield Barrier(("unknown",))

    def smooth_from_zero(self, omega: float) -> Iterator[Command]:
        """The first half sweep, red, of an unknown that is 0 everywhere, whatever its buffer holds."""
        x, y, z = self.grid.size
        extent = (-(-z // (2 * self._pairs)), y, -(-x // self._rows))
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
        bindings = [("unknown", self.unknown), ("correction", self.coarse.unknown)]
        if self.faces:
            bindings += [("faces", self.packed), ("coarse faces", self.coarse.packed)]
        yield from self._between("prolong", [], bindings, left)

    def coarsen_faces(self) -> Iterator[Command]:
        """The faces of the coarser grid."""
        assert self.coarse is not None, "only the coarsest has none"
        x, y, z = self.coarse.grid.size
        bindings = [("faces", self.packed), ("coarse faces", self.coarse.packed)]
        yield self._run("coarse_faces", [], (z, y, x), bindings, {})
        yield Barrier(("coarse faces",))

    def solve(self) -> Iterator[Command]:
        """The coarsest grid, solved."""
        bindings = self._bound("unknown", "rhs", "numbers")
        yield self._run("coarsest", [], (64, 1, 1), bindings, {})
        yield Barrier(("unknown",))

    def measure(self, sums: Buffer, centre: bool = False) -> Iterator[Command]:
        """The sums of `measure.comp`, of the right side or, to centre it, of the unknown."""
        x, y, z = (-(-n // 4) for n in self.grid.size)
        bindings = [*self._bound("unknown", "rhs", "numbers"), ("sums", sums)]
        yield self._run("measure", ["CENTRE"] if centre else [], (z, y, x), bindings, {})
        yield Barrier(("sums",))

    def subtract_mean(self) -> Iterator[Command]:
        x, y, z = self.grid.size
        yield self._run("centre", [], (z, y, x), [("unknown", self.unknown), ("numbers", self.numbers)], {})
        yield Barrier(("unknown",))

    def measure_step(self, direction: Buffer, previous: Buffer, sums: Buffer) -> Iterator[Command]:
        """The products that a step of conjugate gradients is chosen by."""
        x, y, z = (-(-n // 4) for n in self.grid.size)
        steps: list[tuple[str, Buffer]] = [("direction", direction), ("previous", previous), ("sums", sums)]
        bindings = [*self._bound("unknown", "rhs", "numbers"), *steps]
        yield self._run("direction", [], (z, y, x), bindings, {})
        yield Barrier(("sums",))

    def take_step(self, direction: Buffer, previous: Buffer) -> Iterator[Command]:
        """The step: the next direction, and the unknown moved along it."""
        x, y, z = self.grid.size
        bindings = [("unknown", self.unknown), ("numbers", self.numbers)]
        bindings += [("direction", direction), ("previous", previous)]
        yield self._run("advance", [], (z, y, x), bindings, {})
        yield Barrier(("unknown", "direction"))

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
        x, y, z = coarse.size
        pairs = 2 if self._maker.software and z % 2 == 0 and self.grid.size[2] > 1 else 1
        special = {8: RED if left is None else left, 34: int(left is None or self.grid.odd_wrap)}
        extra = self.grid.restriction_constants(coarse) if shader == "restrict" else None
        special |= extra if extra is not None else self.grid.prolongation_constants(coarse)
        yield self._run(shader, [f"PAIRS {pairs}", *variant], (z // pairs, y, x), bindings, special)
        yield Barrier(("between grids",))

    def _run(
        self,
        shader: str,
        variant: list[str],
        extent: tuple[int, int, int],
        bindings: list[tuple[str, Buffer]],
        special: dict[int, int],
    ) -> Command:
        key = (shader, *variant, *special.items())
        if key not in self._kernels:
            words = [*variant, "FACES"] if self.faces else variant
            self._kernels[key] = self._maker.make(shader, words, workgroup(extent), self.grid.constants() | special)
        kernel = self._kernels[key]
        return Dispatch(kernel, tuple(bindings), kernel.groups(extent))
