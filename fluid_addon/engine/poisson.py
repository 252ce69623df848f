# SPDX-License-Identifier: GPL-3.0-or-later
"""A solver on a device: its buffers, its recordings, and the loop that runs cycles until the residual is small enough.

A cycle is a recording that was encoded once. It ends with the norm of the residual, which the host reads to decide
whether another one follows. The cycle is the V-cycle of Trottenberg, Oosterlee and Schüller, "Multigrid", 2001, ch. 2,
begun between its two halves: what is to be smoothed before a coarse correction is smoothed at the end of the cycle
before. So the residual that is brought to the coarser grid is that of the answer, and its norm costs next to nothing.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..gpu.device import Device
from ..gpu.execution import Encoded, Execution
from ..gpu.kernel import Kernel
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Barrier, Command, Copy, Dispatch, Recording
from .multigrid import grids
from .poisson_level import BLACK, RED, KernelMaker, Level
from .solver import Solved, Solver

__all__ = ["Poisson"]

FAN_IN = 512
SWEEPS_AT_ONCE = 5  # of the method "sweeps", between looks at the residual
#: A right side whose part beside its mean is smaller than this part of it is a constant, but for rounding.
ROUNDING = 1e-6
NEAR_ROUNDING = 1e-5  # of |r| / |b|: below it 32-bit floats may have no more to give
#: Over-relaxation of the smoothing, but of the half sweeps next to a change of grids: there the colour that was
#: smoothed last has no residual and the one that is smoothed first needs no correction, so either takes half the work.
OMEGA = 1.15
#: A residual of this part of the unknown is made of the rounding of 32-bit floats: nothing can make it smaller.
FLOOR = 4e-7
#: Cycles in a row that leave this part of the residual or more: it will not fall any further.
STALLED, STALLS = 0.98, 3
NUMBERS = ("mean", "shift", "beta", "alpha")


class Poisson:
    """One solver of a simulation.

    Args:
        size: voxels of the domain.

    Attributes:
        solved: how the last solve ended.
        converged: whether its residual is within the tolerance, or as small as 32-bit floats let it be.
    """

    def __init__(
        self,
        device: Device,
        execution: Execution,
        maker: KernelMaker,
        solver: Solver,
        size: tuple[int, int, int],
    ) -> None:
        self._device, self._execution, self.solver = device, execution, solver
        self.solved = Solved()
        self.converged = True
        self._shift = solver.definition.shift
        self._maker = maker
        self._levels: list[Level] = []
        for grid in reversed(grids(size, solver.sides)):
            coarse = self._levels[0] if self._levels else None
            self._levels.insert(0, Level(self._maker, grid, coarse, solver.faces is not None))
        self._method = solver.definition.method if len(self._levels) > 1 else "sweeps"
        self._buffers: dict[str, Buffer] = {}
        self._ticket = 0
        self._mean = 0.0
        self._encoded: dict[tuple[int, ...], dict[str, Encoded]] = {}
        self._sums: dict[tuple[str, int], Kernel] = {}

    # ----- memory

    def _sizes(self) -> dict[str, int]:
        """Bytes of each buffer by its name."""
        fine = self._levels[0].grid
        coarse = fine.coarser()
        blocks = math.prod(-(-n // 4) for n in fine.size)
        # The sums by blocks need room only while the first coarse grid is not in use.
        sizes = {"unknown 1": max(4 * coarse.cells, 16 * blocks)}
        if self._method != "sweeps":
            for number, level in enumerate(self._levels[1:], 1):
                sizes.setdefault(f"unknown {number}", 4 * level.grid.cells)
                sizes[f"rhs {number}"] = 4 * level.grid.cells
                if level.faces:
                    sizes[f"faces {number}"] = 4 * level.grid.cells
        if self._method == "conjugate":
            sizes["direction"] = sizes["previous"] = 4 * fine.cells
        most = -(-max(coarse.cells, blocks) // FAN_IN)
        sizes["sums 0"] = sizes["sums 1"] = 16 * most
        return sizes

    def rows(self) -> list[tuple[str, int, Residence]]:
        """The rows of the memory plan."""
        sizes, name = self._sizes(), self.solver.definition.name
        rows = []
        if "direction" in sizes:
            rows = [(f"{name}: search direction", sizes.pop("direction"), Residence.DEVICE)]
            rows.append((f"{name}: last answer", sizes.pop("previous"), Residence.DEVICE))
        return [*rows, (f"{name}: coarse grids", sum(sizes.values()), Residence.DEVICE)]

    @property
    def allocated(self) -> int:
        """Bytes of the plan that are allocated already."""
        return sum(b.allocated for b in self._buffers.values() if b.residence is Residence.DEVICE)

    def realize(self) -> None:
        """Allocate what is not there yet."""
        if self._buffers:
            return
        name = self.solver.definition.name
        for part, size in self._sizes().items():
            self._buffers[part] = Buffer(self._device, f"{name} {part}", size)
        for part in ("numbers", "coarse numbers"):
            self._buffers[part] = Buffer(self._device, f"{name} {part}", 4 * len(NUMBERS), Residence.UPLOAD)
        self._buffers["result"] = Buffer(self._device, f"{name} result", 16, Residence.READBACK)
        halves = {}
        for half in itertools.product((RED, BLACK), (1.0, OMEGA)):
            buffer = Buffer(self._device, f"{name} half sweep", 8, Residence.UPLOAD)
            assert buffer.host is not None, "upload memory is always mapped"
            buffer.host[:] = np.frombuffer(struct.pack("<if", *half), np.uint8)
            halves[half] = self._buffers[f"half sweep {half}"] = buffer
        for number, level in enumerate(self._levels):
            level.halves = halves
            level.numbers = self._buffers["coarse numbers" if number else "numbers"]
            if number and self._method != "sweeps":
                level.unknown, level.rhs = self._buffers[f"unknown {number}"], self._buffers[f"rhs {number}"]
                if level.faces:
                    level.packed = self._buffers[f"faces {number}"]

    def close(self) -> None:
        for recordings in self._encoded.values():
            for encoded in recordings.values():
                encoded.close()
        self._encoded.clear()
        for buffer in self._buffers.values():
            buffer.close()
        self._buffers.clear()

    # ----- recordings

    def _coarse_correction(self, level: Level) -> Iterator[Command]:
        """A coarse grid's correction, from its right side; smoothing back to front on the way up keeps it symmetric."""
        if level.coarse is None:
            yield from level.solve()
            return
        yield from level.smooth_from_zero(OMEGA)
        yield from level.smooth((BLACK, OMEGA), (RED, OMEGA), (BLACK, 1.0))
        yield from level.restrict(RED)
        yield from self._coarse_correction(level.coarse)
        yield from level.prolong(RED)
        yield from level.smooth((BLACK, 1.0), (RED, OMEGA), (BLACK, OMEGA), (RED, OMEGA))

    def _norm(self, left: int | None, down: bool) -> Iterator[Command]:
        """The squared norm of the residual, which goes to the coarser grid as well where `down`."""
        fine = self._levels[0]
        partial = self._buffers["unknown 1"]
        yield from fine.restrict(left, partial, down)
        yield from self._summed("float", partial, fine.grid.coarser().cells)

    def _summed(self, value: str, source: Buffer, count: int) -> Iterator[Command]:
        size = 16 if value == "vec4" else 4
        side = 0
        while count > 1:
            groups = -(-count // FAN_IN)
            key = (value, count)
            if key not in self._sums:
                self._sums[key] = self._maker.make("sum", [f"VALUE {value}"], (64, 1, 1), {3: count})
            target = self._buffers[f"sums {side}"]
            yield Dispatch(self._sums[key], (("source", source), ("target", target)), (groups, 1, 1))
            yield Barrier(("sums",))
            source, count, side = target, groups, 1 - side
        yield Copy(source, self._buffers["result"], size)

    def _blocks(self) -> int:
        return math.prod(-(-n // 4) for n in self._levels[0].grid.size)

    def _commands(self) -> dict[str, Callable[[], Iterable[Command]]]:
        """The commands of each recording by its name."""
        fine, partial = self._levels[0], self._buffers["unknown 1"]
        down = self._method != "sweeps"

        def measure(centre: bool) -> Iterator[Command]:
            yield from fine.measure(partial, centre)
            yield from self._summed("vec4", partial, self._blocks())

        def begin() -> Iterator[Command]:
            yield from coarse_grids()
            yield from fine.smooth((RED, 1.0), (BLACK, 1.0))
            yield from self._norm(RED, down)

        def cycle() -> Iterator[Command]:
            assert fine.coarse is not None, "sweeps need no coarser grid"
            yield from self._coarse_correction(fine.coarse)
            yield from fine.prolong(RED)
            yield from fine.smooth((BLACK, 1.0), (RED, OMEGA), (BLACK, OMEGA), (RED, OMEGA), (BLACK, 1.0))
            yield from self._norm(RED, True)

        def coarse_grids() -> Iterator[Command]:
            if fine.faces:
                for level in self._levels[:-1]:
                    yield from level.coarsen_faces()

        def preconditioned() -> Iterator[Command]:
            """A whole V-cycle, the same backwards as forwards, and what a step along its correction needs."""
            assert fine.coarse is not None, "sweeps need no coarser grid"
            direction, previous = self._buffers["direction"], self._buffers["previous"]
            yield Copy(fine.unknown, previous, 4 * fine.grid.cells)
            yield Barrier(("last answer",))
            yield from fine.smooth((RED, OMEGA), (BLACK, OMEGA), (RED, OMEGA), (BLACK, 1.0))
            yield from fine.restrict(RED)
            yield from self._coarse_correction(fine.coarse)
            yield from fine.prolong(RED)
            yield from fine.smooth((BLACK, 1.0), (RED, OMEGA), (BLACK, OMEGA), (RED, OMEGA))
            yield from fine.measure_step(direction, previous, partial)
            yield from self._summed("vec4", partial, self._blocks())

        def step() -> Iterator[Command]:
            yield from fine.take_step(self._buffers["direction"], self._buffers["previous"])
            yield from self._norm(None, False)

        return {
            "coarse grids": coarse_grids,
            "preconditioned": preconditioned,
            "step": step,
            "residual": lambda: self._norm(None, False),
            "measure": lambda: measure(False),
            "mean": lambda: measure(True),
            "begin": begin,
            "sweep": lambda: fine.smooth((RED, 1.0), (BLACK, 1.0)),
            "norm": lambda: self._norm(RED, False),
            "cycle": cycle,
            "centre": fine.subtract_mean,
        }

    def _submit(self, name: str) -> int:
        """Queue a recording over the fields as they stand; encode it where that is new."""
        solver, fine = self.solver, self._levels[0]
        fields = [f for f in (solver.unknown, solver.rhs, solver.faces) if f is not None]
        buffers = [field.buffer(field.name) for field in fields]
        recordings = self._encoded.setdefault(tuple(buffer.address for buffer in buffers), {})
        if name not in recordings:
            fine.unknown, fine.rhs = buffers[:2]
            if len(buffers) == 3:
                fine.packed = buffers[2]
            commands = list(self._commands()[name]())
            recordings[name] = self._execution.encode(Recording(f"{solver.definition.name} {name}", commands))
        self._ticket = self._execution.submit(recordings[name])
        return self._ticket

    # ----- solving

    def solve(self, dt: float) -> Solved:
        """Solve from the unknown's present values, in a step of `dt` seconds; waits for the answer.

        Raises:
            FluidError: `cancelled`, `device-lost`.
        """
        self.realize()
        definition = self.solver.definition
        if definition.shift_per_dt > 0 and dt <= 0:  # an infinite shift leaves nothing
            self._clear()
            self.solved = Solved()
            return self.solved
        self._shift = definition.shift + (definition.shift_per_dt / dt if definition.shift_per_dt > 0 else 0.0)
        self.converged = True
        self.solved = self._solve()
        return self.solved

    def _solve(self) -> Solved:
        self._set_numbers(mean=0.0)
        total, squares, cells, air = self._read("measure")
        singular = self._shift == 0 and air == 0 and cells > 0
        if singular:
            whole = squares
            mean = total / cells
            self._set_numbers(mean=mean)
            _, squares, _, _ = self._read("measure")
            squares = 0.0 if squares <= ROUNDING**2 * whole else squares
        if not math.isfinite(squares):
            self.converged = False
            return Solved(math.nan, 0)
        if squares == 0:
            self._clear()
            return Solved(0.0, 0)
        norm = math.sqrt(squares)
        residual, iterations = self._iterate(norm)
        if not math.isfinite(residual):  # the start was not finite, or became so
            self._clear()
            residual, iterations = self._iterate(norm)
        if not residual <= self.solver.definition.tolerance:
            _, of_unknown, _, _ = self._read("mean")
            self.converged = residual * norm <= FLOOR * math.sqrt(of_unknown)
        if singular:
            total, _, cells, _ = self._read("mean")
            self._set_numbers(mean=total / cells)
            self._submit("centre")
        return Solved(residual, iterations)

    def _iterate(self, norm: float) -> tuple[float, int]:
        definition = self.solver.definition
        if self._method == "sweeps":
            return self._sweep(norm)
        if self._method == "conjugate":
            return self._conjugate(norm)
        residual = math.sqrt(self._read("begin")[0]) / norm
        iterations = stalls = 0
        while residual > definition.tolerance and iterations < definition.most and stalls < STALLS:
            last, residual = residual, math.sqrt(self._read("cycle")[0]) / norm
            stalls = stalls + 1 if residual >= STALLED * last else 0
            iterations += 1
        return residual, iterations

    def _sweep(self, norm: float) -> tuple[float, int]:
        definition = self.solver.definition
        residual, iterations = math.inf, 0
        while residual > definition.tolerance and iterations < definition.most:
            for _ in range(min(SWEEPS_AT_ONCE, definition.most - iterations)):
                self._submit("sweep")
                iterations += 1
            residual = math.sqrt(self._read("norm")[0]) / norm
        return residual, iterations

    def _conjugate(self, norm: float) -> tuple[float, int]:
        """Conjugate gradients preconditioned by a V-cycle, made A-orthogonal to the last direction alone.

        Notay, "Flexible conjugate gradients", SIAM J. Sci. Comput. 22, 2000: right even where the cycle is not quite
        symmetric.
        """
        definition = self.solver.definition
        if self.solver.faces is not None:
            self._submit("coarse grids")
        mean = self._mean
        residual, iterations = math.sqrt(self._read("residual")[0]) / norm, 0
        last = math.inf
        while residual > definition.tolerance and iterations < definition.most:
            self._set_numbers(mean=mean)
            zaz, zap, pap, zr = self._read("preconditioned")
            lost = residual < NEAR_ROUNDING and residual > last  # the last direction is made of rounding: begin anew
            beta = -zap / pap if iterations and pap != 0 and not lost else 0.0
            curvature = zaz + 2 * beta * zap + beta * beta * pap
            alpha = zr / curvature if curvature != 0 else 1.0
            self._set_numbers(mean=mean, beta=beta, alpha=alpha)
            last, residual = residual, math.sqrt(self._read("step")[0]) / norm
            iterations += 1
        return residual, iterations

    def _clear(self) -> None:
        unknown = self.solver.unknown
        self._execution.repeat(unknown.buffer(unknown.name), bytes(4))

    def _read(self, name: str) -> tuple[float, float, float, float]:
        """Run a recording and wait for the sums that it ends with."""
        self._execution.wait(self._submit(name))
        result = self._buffers["result"]
        result.invalidate()
        assert result.host is not None, "readback memory is always mapped"
        a, b, c, d = result.host[:16].view(np.float32).tolist()
        return a, b, c, d

    def _set_numbers(self, **changed: float) -> None:
        """Set what changes from solve to solve, once nothing of this solver is under way any more."""
        self._execution.wait(self._ticket)
        self._mean = changed.get("mean", 0.0)
        for name, mean in (("numbers", self._mean), ("coarse numbers", 0.0)):
            host = self._buffers[name].host
            assert host is not None, "upload memory is always mapped"
            values = [mean, self._shift, changed.get("beta", 0.0), changed.get("alpha", 0.0)]
            host[:] = np.array(values, np.float32).view(np.uint8)
