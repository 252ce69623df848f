# SPDX-License-Identifier: GPL-3.0-or-later
"""A solver on several devices: the finest grid in their slabs, the coarser ones on the first device.

The finest grid has seven eighths of the work. A cycle asks for its halo once: what is smoothed there is wrong from the
outside in, by a plane with each half sweep, and six of eight planes are enough for all that a cycle does. Seams change
no bit, because the arithmetic of each cell is that of one device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..gpu.compiler import Compiler
from ..gpu.execution import Encoded
from ..gpu.memory import Residence
from ..gpu.recording import Command, Recording
from .distant_part import AnyPart, DistantPart, local_parts
from .exchange import Exchange, Halos, owned_intervals
from .field import DOMAIN, Field
from .formats import Format
from .multigrid import grids
from .part import Part
from .poisson import OF_FOUR, Poisson
from .poisson_fine import Beside, FineSlab
from .poisson_level import KernelMaker
from .slab import Slab
from .solver import Solved, Solver
from .topology import Topology

__all__ = ["HALO", "SlabPoisson", "can_be_cut", "coarse_fields"]

#: Planes of the halo: five half sweeps and a residual need six.
HALO = 8


def can_be_cut(solver: Solver, size: tuple[int, int, int]) -> bool:
    """Whether the finest grid of a solver may lie in slabs.

    Not where half a sweep takes several turns (periodic axes of odd length), nor where conjugate gradients or a preview
    by sweeps were asked for: their fields are brought to the first device.
    """
    every = grids(size, solver.sides)
    multigrid = solver.definition.method == "multigrid" and len(every) > 1
    return multigrid and solver.unknown.resolution == DOMAIN and not every[0].odd_wrap


def coarse_fields(solver: Solver, sparse: bool) -> list[Field]:
    """What the slabs have of the next coarser grid: the residual, the correction, and where there are any the faces."""
    name, half = solver.definition.name, DOMAIN / 2
    fields = [Field(f"{name}: {what}", Format.R32F, (0.0,), resolution=half) for what in ("residual", "correction")]
    if solver.faces is not None:
        fields.append(Field(f"{name}: coarse faces", Format.R32UI, (255 << 24 if sparse else 0,), resolution=half))
    return fields


class SlabPoisson(Poisson):
    """One solver over the slabs of all devices, of this process and others.

    Args:
        parts: of all ranks.
        whole: on the first rank, where the coarser grids are; None on others.
        size: voxels of the domain.
    """

    def __init__(
        self,
        parts: Sequence[AnyPart],
        whole: Part | None,
        halos: Halos,
        compiler: Compiler,
        solver: Solver,
        size: tuple[int, int, int],
    ) -> None:
        self.solver, self.solved, self.converged = solver, Solved(), True
        self._shift, self._mean, self._method = solver.definition.shift, 0.0, "multigrid"
        self._topology = None  # of the finest grid there is none: every slab has its own
        self._every, self._halos = list(parts), halos
        self._fine = [FineSlab(part, compiler, solver, size) for part in local_parts(parts)]
        self._coarse: Poisson | None = None
        if whole is not None:
            maker = KernelMaker(whole.library, compiler, whole.device.info)
            self._coarse = Poisson(whole.device, whole.execution, maker, solver, size, whole.topology)
        self._whole = whole
        self._air = -1  # of the topology that the coarser grids know
        self._fields = coarse_fields(solver, self._fine[0].part.topology is not None)
        self._ways: dict[tuple[str, str], Exchange] = {}
        self._state: tuple[object, ...] = ()
        self._coarse_encoded: dict[str, Encoded] = {}

    # ----- memory

    def rows(self, part: Part | None = None) -> list[tuple[str, int, Residence]]:
        fine = self._on(part)
        rows = [(f"{self.solver.definition.name}: finest grid", fine.planned(self._fields), Residence.DEVICE)]
        return rows + (self._coarse.rows() if fine is self._fine[0] and self._coarse is not None else [])

    def allocated(self, part: Part | None = None) -> int:
        fine = self._on(part)
        coarse = self._coarse.allocated() if fine is self._fine[0] and self._coarse is not None else 0
        return fine.allocated + coarse

    def _on(self, part: Part | None) -> FineSlab:
        """The finest grid on a part, by default the first of this process."""
        return next(fine for fine in self._fine if part in (None, fine.part))

    def growth(self, topology: Topology, slots: int) -> int:
        more = self._coarse.growth(topology, slots) if self._coarse is not None else 0
        theirs = [fine for fine in self._fine if fine.part.topology is topology]
        return more + sum(fine.planned(self._fields, slots) - fine.allocated for fine in theirs)

    def realize(self) -> None:
        topologies = [fine.part.topology.version for fine in self._fine if fine.part.topology is not None]
        whole = self._whole.topology.version if self._whole is not None and self._whole.topology is not None else 0
        state = (*topologies, whole, *(part.slab for part in self._every))
        if state == self._state:
            return
        self._forget_ways()
        for fine in self._fine:
            fine.allocate(self._fields)
        if self._coarse is not None:
            self._forget_coarse()
            self._coarse.realize()
        self._state, self._air = state, -1

    def forget(self) -> None:
        """Parts hold other leaves now."""
        self._forget_ways()

    def _forget_ways(self) -> None:
        for exchange in self._ways.values():
            exchange.close()
        self._ways.clear()

    def _forget_coarse(self) -> None:
        for encoded in self._coarse_encoded.values():
            encoded.close()
        self._coarse_encoded.clear()

    def close(self) -> None:
        self._forget_ways()
        for fine in self._fine:
            fine.close()
        if self._coarse is not None:
            self._coarse._execution.idle()
            self._forget_coarse()
            self._coarse.close()
        self._state = ()

    # ----- between the grids

    def _travel(self, way: str, field: Field) -> None:
        """Bring a field of the first coarser grid to the first device ("up"), or from there to all slabs ("down")."""
        key = (way, field.name)
        if key not in self._ways:
            beside = {id(fine.part): fine.beside for fine in self._fine}
            slabs: list[AnyPart] = [beside[id(part)] if isinstance(part, Part) else part for part in self._every]
            parts = [*slabs, self._coarse_part()]
            last = len(slabs)
            holders, owners = ([last], range(last)) if way == "up" else (range(last), [last])
            self._ways[key] = Exchange(self._halos, parts, [field], owned_intervals(parts, holders, owners))
        self._ways[key].send()
        self._ways[key].receive()

    def _coarse_part(self) -> AnyPart:
        """The first coarser grid of the first device as a part that fields travel to."""
        if self._whole is None or self._coarse is None:
            return self._distant()
        part = Beside(self._whole)
        below = self._coarse._levels[1]
        buffers = [below.rhs, below.unknown, *([below.packed] if len(self._fields) == 3 else [])]
        part.buffers = {field.name: [buffer] for field, buffer in zip(self._fields, buffers, strict=True)}
        return part

    def _distant(self) -> AnyPart:
        first = self._every[0]
        return DistantPart(first.domain, Slab.whole(first.domain), 0)

    def _on_coarse(self, name: str) -> None:
        """Queue what the first device does on the coarser grids."""
        coarse = self._coarse
        if coarse is None:
            return
        if name not in self._coarse_encoded:
            commands: list[Command] = []
            if name == "correction":
                commands += coarse._coarse_correction(coarse._levels[1])
            else:
                for level in coarse._levels[1:-1]:
                    if level.coarse is not None and level.coarse.faces:
                        commands += level.coarsen_faces()
            recording = Recording(f"{self.solver.definition.name} {name}", commands)
            self._coarse_encoded[name] = coarse._execution.encode(recording)
        coarse._execution.submit(self._coarse_encoded[name])

    # ----- what a solve is made of

    def _submit(self, name: str) -> int:
        for fine in self._fine:
            fine.submit(name)
        return 0

    def _read(self, name: str) -> tuple[float, float, float, float]:
        if name == "begin":
            self._begin()
        elif name == "cycle":
            unknown = self._halos.exchange([self.solver.unknown])
            unknown.send()
            self._travel("up", self._fields[0])
            self._on_coarse("correction")
            self._travel("down", self._fields[1])
            unknown.receive()
        tickets = [fine.submit(name) for fine in self._fine]
        width = 4 if name in OF_FOUR else 1
        for fine, ticket in zip(self._fine, tickets, strict=True):
            fine.part.execution.wait(ticket)
        here = np.concatenate([fine.sums(width) for fine in self._fine])
        sums = np.concatenate(self._halos.carrier.allgather(here))
        if not len(sums):
            return 0.0, 0.0, 0.0, 0.0
        with np.errstate(all="ignore"):  # as in one piece
            total = np.add.accumulate(sums, axis=0, dtype=np.float64)[-1]
        a, b, c, d = [*total.tolist(), 0.0, 0.0, 0.0][:4]
        return a, b, c, d

    def _begin(self) -> None:
        """Fresh halos, and what the coarser grids know of faces and of air."""
        exchange = self._halos.exchange(self.solver.fields)
        exchange.send()
        exchange.receive()
        changed = self._whole.topology.changed if self._whole is not None and self._whole.topology is not None else 0
        if len(self._fields) == 3:
            self._submit("coarse faces")
            self._travel("up", self._fields[2])
            self._on_coarse("faces")
        elif changed != self._air:
            self._on_coarse("faces")
        self._air = changed

    def _solve(self) -> Solved:
        solved = super()._solve()
        unknown = self._halos.exchange([self.solver.unknown])
        unknown.send()
        unknown.receive()
        return solved

    def _clear(self) -> None:
        for fine in self._fine:
            fine.part.execution.repeat(fine.part.buffer(self.solver.unknown), bytes(4))

    def _set_numbers(self, **changed: float) -> None:
        for fine in self._fine:
            fine.part.execution.wait_all()
        self._mean = changed.get("mean", 0.0)
        for fine in self._fine:
            fine.set_numbers(np.array([self._mean, self._shift, 0.0, 0.0], np.float32))
        if self._coarse is not None:
            self._coarse._shift = self._shift
            self._coarse._set_numbers(mean=0.0)
