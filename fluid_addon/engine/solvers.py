# SPDX-License-Identifier: GPL-3.0-or-later
"""The solvers of one simulation on its device, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..diagnostics import fail
from ..gpu.compiler import Compiler
from ..gpu.device import Device
from ..gpu.execution import Execution
from ..gpu.kernel import KernelLibrary
from ..gpu.memory import Residence
from .part import Part
from .poisson import Poisson
from .poisson_level import KernelMaker
from .poisson_slabs import SlabPoisson
from .solver import Solved, Solver
from .topology import Topology

__all__ = ["Solvers", "check_background"]


def check_background(solver: Solver) -> None:
    """Raises FluidError `bad-argument` for a solver of a sparse domain whose unknown is not 0 outside."""
    if any(solver.unknown.background):
        message = f'"{solver.unknown.name}" has another background than 0, and "{solver.definition.name}" finds it.'
        hint = "Outside the active leaves of a sparse domain a solver takes 0; declare the field with 0."
        raise fail("bad-argument", message, hint)


class Solvers:
    """Makes, runs and releases them. Buffers are allocated when the fields are."""

    def __init__(self, device: Device, library: KernelLibrary, execution: Execution, compiler: Compiler) -> None:
        maker = KernelMaker(library, compiler, device.info)
        self._make: Callable[[Solver, tuple[int, int, int], Topology | None], Poisson] = partial(
            Poisson, device, execution, maker
        )
        self._poisson: dict[str, Poisson] = {}
        self._unsolved: dict[str, Solved] = {}

    def add(self, solver: Solver, size: tuple[int, int, int], topology: Topology | None = None) -> None:
        """A solver on a grid of `size` voxels, of which those of active leaves count where there is a topology."""
        self._poisson[solver.definition.name] = self._make(solver, size, topology)

    def add_slabs(self, poisson: SlabPoisson) -> None:
        """A solver whose finest grid lies in the slabs of several devices."""
        self._poisson[poisson.solver.definition.name] = poisson

    def drop(self, solver: Solver) -> None:
        """Be without a solver again, for which nothing was allocated."""
        self._poisson.pop(solver.definition.name, None)

    def of_slabs(self, name: str) -> bool:
        """Whether a solver works on the slabs as they are, on all ranks."""
        return isinstance(self._poisson.get(name), SlabPoisson)

    def forget(self) -> None:
        """Parts hold other leaves now."""
        for poisson in self._poisson.values():
            if isinstance(poisson, SlabPoisson):
                poisson.forget()

    def rows(self, part: Part | None = None) -> list[tuple[str, int, Residence]]:
        """The rows of the memory plan on a part's device; None: the first one's."""
        return [row for poisson in self._poisson.values() for row in poisson.rows(part)]

    def allocated(self, part: Part | None = None) -> int:
        """Bytes of those rows that are allocated already."""
        return sum(poisson.allocated(part) for poisson in self._poisson.values())

    def growth(self, topology: Topology, slots: int) -> int:
        """Bytes more than now, once a pool of leaves has so many slots."""
        return sum(poisson.growth(topology, slots) for poisson in self._poisson.values())

    def realize(self) -> None:
        for poisson in self._poisson.values():
            poisson.realize()

    def solve(self, name: str, dt: float) -> None:
        """Run one solver over the fields as they stand, in a step of `dt` seconds; waits for it.

        Raises:
            FluidError: `cancelled`, `device-lost`.
        """
        poisson = self._poisson[name]
        solved = poisson.solve(dt)
        if not poisson.converged:
            self._unsolved[name] = solved

    def solved(self, name: str) -> Solved:
        """How the last solve of that name ended; a residual of 0 after 0 cycles before the first."""
        return self._poisson[name].solved

    def every_solved(self) -> dict[str, Solved]:
        """How the last solve of each name ended."""
        return {name: poisson.solved for name, poisson in self._poisson.items()}

    def recall(self, name: str, solved: Solved) -> None:
        """Let this be the last solve of that name, where there is a solver of it."""
        if name in self._poisson:
            self._poisson[name].solved = solved

    def unsolved(self) -> dict[str, Solved]:
        """The solves that stopped before their tolerance since this was last asked, the last one of each name."""
        found, self._unsolved = self._unsolved, {}
        return found

    def close(self) -> None:
        for poisson in self._poisson.values():
            poisson.close()
