# SPDX-License-Identifier: GPL-3.0-or-later
"""A solver on a device: its buffers, its recordings, and the loop that runs cycles until the residual is small enough.

A cycle is a recording that was encoded once. It ends with the norm of the residual, which the host reads to decide
whether another one follows. The cycle is the V-cycle of Trottenberg, Oosterlee and Schüller, "Multigrid", 2001, ch. 2,
begun between its two halves: what is to be smoothed before a coarse correction is smoothed at the end of the cycle
before. So the residual that is brought to the coarser grid is that of the answer, and its norm costs next to nothing.

In a sparse domain only the cells of active leaves are unknowns; the others are open air. The grids whose cells fit
into leaves lie in bricks, one for each active leaf, and the coarser ones are dense and know what is air by their faces.
Sums are taken leaf by leaf on the device and added up by the host in the order of the leaves' linear indices, so that
neither the storage nor leaves of zeros change a bit of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np

from ..gpu.device import Device
from ..gpu.execution import Encoded, Execution
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Barrier, Command, Copy, Recording
from .part import Part
from .poisson_buffers import OMEGA, PoissonBuffers
from .poisson_level import BLACK, RED, KernelMaker, Level
from .poisson_sizes import level_shapes, method_of
from .solver import Solved, Solver
from .topology import Topology

__all__ = ["Poisson"]

SWEEPS_AT_ONCE = 5  # of the method "sweeps", between looks at the residual
#: A right side whose part beside its mean is smaller than this part of it is a constant, but for rounding.
ROUNDING = 1e-6
NEAR_ROUNDING = 1e-5  # of |r| / |b|: below it 32-bit floats may have no more to give
#: A residual of this part of the unknown is made of the rounding of 32-bit floats: nothing can make it smaller.
FLOOR = 4e-7
#: Cycles in a row that leave this part of the residual or more: it will not fall any further.
STALLED, STALLS = 0.98, 3
#: Recordings that end with four sums and not one.
OF_FOUR = ("measure", "mean", "preconditioned")


class Poisson:
    """One solver of a simulation.

    Args:
        size: voxels of the domain, in those of the solver's fields.
        topology: the active leaves of a sparse domain; the unknown has 0 for its background there. None: it is dense.

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
        topology: Topology | None = None,
    ) -> None:
        self._execution, self.solver, self._topology = execution, solver, topology
        self.solved = Solved()
        self.converged = True
        self._shift = solver.definition.shift
        self._levels = _levels(maker, solver, size, topology)
        self._method = method_of(solver, self._levels)
        name = solver.definition.name
        self._buffers = PoissonBuffers(device, execution, name, self._levels, self._method)
        self._version = self._seen = -1
        self._ticket = 0
        self._mean = 0.0
        self._encoded: dict[tuple[int, ...], dict[str, Encoded]] = {}

    # ----- memory

    def rows(self, part: Part | None = None) -> list[tuple[str, int, Residence]]:
        """The rows of the memory plan on a part's device, by default the first one's."""
        return self._buffers.rows() if part is None else []

    def allocated(self, part: Part | None = None) -> int:
        """Bytes of those rows that are allocated already."""
        return self._buffers.allocated if part is None else 0

    def growth(self, topology: Topology, slots: int) -> int:
        """Bytes on the device more than now, once a pool of leaves has so many slots."""
        return sum(self._buffers.sizes(slots).values()) - self._buffers.allocated if topology is self._topology else 0

    def realize(self) -> None:
        """Allocate what is not there yet, and anew what the pool of a sparse domain has outgrown."""
        version = self._topology.version if self._topology else 0
        if version != self._version:
            self.close()
            self._buffers.allocate()
            self._version, self._seen = version, -1

    def close(self) -> None:
        self._execution.idle()
        for recordings in self._encoded.values():
            for encoded in recordings.values():
                encoded.close()
        self._encoded.clear()
        self._buffers.close()

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
        squares = self._buffers["unknown 1"]
        yield from fine.restrict(left, squares, down)
        yield from self._summed("float", squares)

    def _summed(self, value: Literal["float", "vec4"], source: Buffer) -> Iterator[Command]:
        sums, result = self._buffers["sums"], self._buffers["result"]
        yield from self._levels[0].sum_by_leaves(value, source, sums)
        yield Copy(sums, result, (16 if value == "vec4" else 4) * self._buffers.leaves)

    def _commands(self) -> dict[str, Callable[[], Iterable[Command]]]:
        """The commands of each recording by its name."""
        fine, blocks = self._levels[0], self._buffers[self._buffers.of_blocks]
        down = self._method != "sweeps"

        def measure(centre: bool) -> Iterator[Command]:
            yield from fine.measure(blocks, centre)
            yield from self._summed("vec4", blocks)

        def begin() -> Iterator[Command]:
            if fine.faces:
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
            for level in self._levels[:-1]:
                if level.coarse is not None and level.coarse.faces:
                    yield from level.coarsen_faces()

        def preconditioned() -> Iterator[Command]:
            """A whole V-cycle, the same backwards as forwards, and what a step along its correction needs."""
            assert fine.coarse is not None, "sweeps need no coarser grid"
            direction, previous = self._buffers["direction"], self._buffers["previous"]
            yield Copy(fine.unknown, previous, 4 * fine.stored)
            yield Barrier(("last answer",))
            yield from fine.smooth((RED, OMEGA), (BLACK, OMEGA), (RED, OMEGA), (BLACK, 1.0))
            yield from fine.restrict(RED)
            yield from self._coarse_correction(fine.coarse)
            yield from fine.prolong(RED)
            yield from fine.smooth((BLACK, 1.0), (RED, OMEGA), (BLACK, OMEGA), (RED, OMEGA))
            yield from fine.measure_step(direction, previous, blocks)
            yield from self._summed("vec4", blocks)

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
        if self._topology is not None and self._topology.changed != self._seen:
            self._submit("coarse grids")  # what is air on the dense ones
            self._seen = self._topology.changed
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
            curvature = zaz + (2 * beta * zap + beta * beta * pap if beta else 0.0)  # there may be no last direction
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
        result, width = self._buffers["result"], 4 if name in OF_FOUR else 1
        result.invalidate()
        assert result.host is not None, "readback memory is always mapped"
        leaves = self._topology.count if self._topology else self._buffers.leaves
        sums = result.host[: 4 * width * leaves].view(np.float32).reshape(leaves, width)
        if not leaves:
            return 0.0, 0.0, 0.0, 0.0
        with np.errstate(all="ignore"):  # what is not finite stays so, and is seen to by those who asked
            total = np.add.accumulate(sums, axis=0, dtype=np.float64)[-1]
        a, b, c, d = [*total.tolist(), 0.0, 0.0, 0.0][:4]
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


def _levels(maker: KernelMaker, solver: Solver, size: tuple[int, int, int], topology: Topology | None) -> list[Level]:
    """The grids, the finest first; those whose cells fit into leaves lie in bricks where there is a topology."""
    levels: list[Level] = []
    for shape in reversed(level_shapes(solver, size, topology is not None)):
        levels.insert(0, Level(maker, shape, levels[0] if levels else None, topology if shape.in_bricks else None))
    return levels
