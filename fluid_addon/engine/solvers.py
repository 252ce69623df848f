# SPDX-License-Identifier: GPL-3.0-or-later
"""The solvers of one simulation on its device, by name."""

from __future__ import annotations

from collections.abc import Callable

from ..gpu.compiler import Compiler
from ..gpu.device import Device
from ..gpu.execution import Execution
from ..gpu.kernel import KernelLibrary
from ..gpu.memory import Residence
from .poisson import Poisson
from .poisson_level import KernelMaker
from .solver import Solved, Solver

__all__ = ["Solvers"]


class Solvers:
    """Makes, runs and releases them. Buffers are allocated when the fields are."""

    def __init__(self, device: Device, library: KernelLibrary, execution: Execution, compiler: Compiler) -> None:
        maker = KernelMaker(library, compiler, device.info)
        self._make: Callable[[Solver, tuple[int, int, int]], Poisson] = lambda solver, size: Poisson(
            device, execution, maker, solver, size
        )
        self._poisson: dict[str, Poisson] = {}
        self._unsolved: dict[str, Solved] = {}

    def add(self, solver: Solver, size: tuple[int, int, int]) -> None:
        """A solver on a grid of `size` voxels."""
        self._poisson[solver.definition.name] = self._make(solver, size)

    def rows(self) -> list[tuple[str, int, Residence]]:
        """The rows of the memory plan."""
        return [row for poisson in self._poisson.values() for row in poisson.rows()]

    @property
    def allocated(self) -> int:
        """Bytes of the plan that are allocated already."""
        return sum(poisson.allocated for poisson in self._poisson.values())

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

    def unsolved(self) -> dict[str, Solved]:
        """The solves that stopped before their tolerance since this was last asked, the last one of each name."""
        found, self._unsolved = self._unsolved, {}
        return found

    def close(self) -> None:
        for poisson in self._poisson.values():
            poisson.close()
