# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices' side of an engine: parts of the domain, steps that are recorded once, and values that are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail
from ..gpu.compiler import Compiler
from ..gpu.recording import Recording
from .active_leaves import ActiveLeaves
from .block import Block, largest_block
from .carrier import Carrier, LocalCarrier
from .declarations import Declarations, Stencil
from .device_speed import device_weights, measured_speed
from .distant_part import AnyPart, DistantPart, bring_to_first_rank, local_parts
from .domain import Domain
from .exchange import Halos
from .field import RESOLUTIONS, Field
from .kernel_source import other_sizes
from .leaves import BACKGROUND_SLOT, LeafBox
from .part import CONSTANTS_BYTES, Part
from .places import Storage, leaf_edge
from .poisson_slabs import HALO, SlabPoisson, can_be_cut
from .rebalancing import Balance, move_leaves
from .reduction import LeafReduction, combined
from .run_memory import RunMemory
from .slab import HALO_STEP, Slab, cut
from .solver import Solver
from .solvers import Solvers, check_background
from .stages import Stages
from .status import Findings, Moment
from .status_source import FIRST_WORD
from .watches import watches
from .whole import Journeys, Whole

__all__ = ["CONSTANTS_BYTES", "Simulation"]

FAR_HALO = 8  # voxels, to begin with, for reads whose reach is not known


class Simulation:
    """Fields and stencils on one device or several.

    Args:
        devices: for each part of the domain that this process holds, a device by index, part of its name, or None.
        sparse: only active leaves are stored and computed.
        cache: folder for pipeline caches, or None.
        carrier: joins the parts of several processes; all of them make the same calls.
        cancelled: asked while waiting.
        careful: as `Execution` has it.
        note: told what kernels noticed that does not stop the run.

    Raises:
        FluidError: `no-vulkan`, `no-device`, `too-many-devices`.
    """

    def __init__(
        self,
        domain: Domain,
        declarations: Declarations,
        compiler: Compiler,
        *,
        devices: Sequence[int | str | None] = (None,),
        sparse: bool = False,
        cache: Path | None = None,
        carrier: Carrier | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        careful: bool = False,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.domain, self._declarations = domain, declarations
        self.carrier = carrier = carrier or LocalCarrier()
        self._compiler, self._findings = compiler, Findings(carrier, note)
        self._initial: dict[str, npt.NDArray[Any]] = {}
        ranks = [rank for rank, count in enumerate(carrier.allgather(len(devices))) for _ in range(count)]
        several = len(ranks) > 1
        weights = [1.0] * len(ranks)
        slabs = cut(domain, weights, HALO_STEP) if several else [Slab.whole(domain)]
        self._storage = Storage(domain, sparse, several)
        with ExitStack() as opened:  # what is open when a later part fails is closed again
            wanted, self.every_part = iter(devices), list[AnyPart]()
            for slab, rank in zip(slabs, ranks, strict=True):
                if rank != carrier.rank:
                    self.every_part.append(DistantPart(domain, slab, rank))
                else:
                    self.every_part.append(Part(domain, self._storage, slab, next(wanted), cache, cancelled, careful))
                    opened.callback(self.every_part[-1].close)
            self.parts = local_parts(self.every_part)
            first = self.parts[0]
            self.device = first.device
            infos = [part.device.info for part in self.parts]
            if several:
                weights = device_weights(infos, carrier, partial(measured_speed, compiler=compiler))
                for part, slab in zip(self.every_part, cut(domain, weights, HALO_STEP), strict=True):
                    part.slab = slab
            declarations.storage = self._storage
            edge = leaf_edge if sparse else lambda _resolution: None
            blocks = carrier.allgather(
                {r: [largest_block(i, _extent(domain, r, several), edge(r)) for i in infos] for r in RESOLUTIONS}
            )
            declarations.largest_blocks = {
                r: min((block for found in blocks for block in found[r]), key=_voxels) for r in RESOLUTIONS
            }
            self._reductions = [LeafReduction(part, compiler) for part in self.parts]
            for reduction in self._reductions:
                opened.callback(reduction.close)
            self.halos = Halos(self.every_part, carrier)
            opened.callback(self.halos.close)
            self._stages = Stages(
                self.parts,
                declarations,
                self._storage,
                self.halos,
                self._findings,
                solve=self._solve,
                widen=self._widen,
                realize=self.realize,
            )
            opened.callback(self._stages.forget)
            self.leaves = None
            self._balance = Balance(domain, weights)
            if sparse:
                box = LeafBox(domain.size, domain.boundary)
                self.leaves = ActiveLeaves(
                    self.parts,
                    box,
                    declarations.fields,
                    compiler,
                    self._moved,
                    lambda wanted: self.memory.check_room(wanted),
                    carrier,
                )
                opened.callback(self.leaves.close)
            self.solvers = Solvers(first.device, first.library, first.execution, compiler)
            opened.callback(self.solvers.close)
            self._whole = Whole(first) if several and carrier.rank == 0 else None
            self._journeys = Journeys(self.every_part, self._whole)
            opened.callback(self._journeys.forget)
            if self._whole is not None:
                opened.callback(self._whole.close)
                if self.leaves is not None:
                    self.leaves.also(self._whole)
            self.memory = RunMemory(self.parts, declarations.fields, self.leaves, self.solvers, self._whole)
            self._opened = opened.pop_all()

    # ----- what there is

    def start_from(self, field: Field, values: npt.NDArray[Any]) -> None:
        """Let a field start from an array of its shape."""
        self._initial[field.name] = values

    def prepare(self, stencil: Stencil) -> None:
        """Make a stencil's kernels.

        Raises:
            FluidError: `device-feature` when the driver refuses it, `domain-too-large`.
        """
        domain = self.domain.at(stencil.resolution)
        self.memory.check()
        for part in self.parts:
            first = {FIRST_WORD: part.status.watch(watches(stencil, self._declarations.fields, domain.address))}
            groups = part.add_kernel(stencil, domain.constants() | other_sizes(self.domain, stencil.others) | first)
            if any(g > m for g, m in zip(groups, part.device.info.max_groups, strict=True)):
                raise fail("domain-too-large", f'The domain has more workgroups than "{part.device.info.name}" takes.')
        if self._storage.slabs:
            self._widen(max(FAR_HALO if stencil.far else 0, stencil.reach))

    def add_solver(self, solver: Solver) -> None:
        """Make room for a solver in the plan. Raises FluidError `domain-too-large`."""
        topology = (self._whole or self.parts[0]).topology
        if self.leaves is not None:
            check_background(solver)
        with ExitStack() as refused:  # what does not fit leaves nothing in the plan
            refused.callback(self.solvers.drop, solver)
            if self._storage.slabs and can_be_cut(solver, self.domain.size):
                self._widen(HALO)
                every, compiler = self.every_part, self._compiler
                poisson = SlabPoisson(every, self._whole, self.halos, compiler, solver, self.domain.size)
                self.solvers.add_slabs(poisson)
            else:
                if self.carrier.rank == 0:
                    self.solvers.add(solver, self.domain.at(solver.unknown.resolution).size, topology)
                if self._whole is not None:
                    self._whole.want(solver)
                    refused.callback(self._whole.drop, solver)
            self.memory.check()
            refused.pop_all()

    def realize(self) -> bool:
        """Allocate and fill what is declared and not yet there. True when anything was."""
        changed = False
        if self.leaves is not None:
            self.leaves.begin()
            if self._initial:
                self.leaves.settle()
        for field in self._declarations.fields.values():
            missing = 1 + field.has_back - len(self.parts[0].buffers.get(field.name, ()))
            if not missing:
                continue
            changed = True
            initial = self._initial.pop(field.name, None)
            for part in self.parts:
                if part.allocate(field):
                    part.fill(field, field.background)
                    if initial is not None:
                        part.upload(field, initial)
                    self.halos.fresh.add(field.name)
        if self._whole is not None:
            self._whole.realize()
        for name, field in self._declarations.fields.items():
            field.buffers = (self._whole or self.parts[0]).buffers.get(name, field.buffers)
        self.solvers.realize()
        return changed

    def _widen(self, reach: int) -> None:
        """Have halos of at least so many voxels; what they hold is out of date then."""
        halo = -(-reach // HALO_STEP) * HALO_STEP
        if halo <= self.parts[0].slab.halo:
            return
        if self.leaves is not None:
            self.leaves.check_slabs([part.slab.widened(halo) for part in self.parts])
        else:
            self.memory.check_halo(halo)
        self.wait()
        self._stages.forget()
        for part in self.every_part:
            part.widen(halo, self._declarations.fields)
        if self.leaves is not None:
            self.leaves.spread_out()
        self._journeys.forget()
        self.halos.drop()

    def _moved(self) -> None:
        """Parts hold other leaves now."""
        self.halos.forget()
        self._journeys.forget()
        self.solvers.forget()

    # ----- stepping

    def step(self, constants: bytes, moment: Moment) -> None:
        """Run every enabled stencil; returns as soon as the work is queued. Raises FluidError of earlier steps."""
        if self.leaves is not None:
            self.realize()
            self.leaves.settle()
            self.leaves.follow(moment.dt / self.domain.voxel_size)
            self._rebalance()
        self._stages.run(("step",), None, constants, moment)

    def _rebalance(self) -> None:
        """Cut slabs anew whose active leaves have drifted apart."""
        if self.leaves is None or len(self.every_part) == 1:
            return
        slabs = self._balance.better([part.slab for part in self.every_part], self.leaves.load())
        if slabs is None:
            return
        self._stages.forget()
        self.halos.drop()
        fields = [self._declarations.fields[name] for name in self.parts[0].buffers]
        if move_leaves(self.every_part, slabs, self.leaves, fields, self.halos):
            self._moved()
            self.solvers.realize()

    def run_stencil(self, name: str, constants: bytes, moment: Moment) -> None:
        """Run one stencil or solver. Raises as `step`."""
        if self.leaves is not None:
            self.realize()
            self.leaves.settle()
        self._stages.run(("stencil", name), [self._declarations.entry(name)], constants, moment)

    def recording(self) -> Recording:
        """The recording of the next step's stencils on the first device, for people to read."""
        return self._stages.recording()

    def _solve(self, solver: Solver, moment: Moment) -> None:
        name = solver.definition.name
        if self.solvers.of_slabs(name):
            self.solvers.solve(name, moment.dt)
        else:
            if self._storage.slabs:
                self._journeys.gather(self.halos, solver.fields)
            if self.carrier.rank == 0:
                self.solvers.solve(name, moment.dt)
            if self._storage.slabs:
                self._journeys.scatter(self.halos, solver.unknown)
        if self._storage.slabs:
            self.halos.fresh.add(solver.unknown.name)
        self.check()  # what came before the solve is finished; NaN there is the cause, not the solve

    # ----- values

    def check(self) -> None:
        """Look at what kernels noticed so far; waits for it. Raises as `step`, and `cancelled`."""
        self._findings.tell(chain.from_iterable(part.status.check() for part in self.parts))

    def wait(self) -> None:
        """Wait until everything submitted is finished. Raises FluidError `cancelled`, `device-lost`."""
        for part in self.parts:
            part.execution.wait_all()

    def idle(self) -> None:
        """Wait until nothing is under way, whatever was cancelled."""
        for part in self.parts:
            part.execution.idle()

    def reduce(self, field: Field, operation: str) -> tuple[float | int, ...]:
        self.realize()
        keys = [reduction.begin(field, operation) for reduction in self._reductions]
        pairs = zip(self._reductions, keys, strict=True)
        here = [reduction.finish(key, field, operation) for reduction, key in pairs]
        self.check()
        leaves = list(chain.from_iterable(self.carrier.allgather(here)))
        if self.leaves is None:
            return combined(operation, leaves, None, 0)
        return combined(operation, leaves, self.parts[0].outside(field), self.leaves.voxels_outside(field.resolution))

    def read(self, field: Field, coord: tuple[int, int, int]) -> tuple[float | int, ...]:
        """The value of one voxel, after everything submitted."""
        self.realize()
        found = [part.voxel(field, coord) for part in self.parts if part.owns(field, coord[0])]
        self.check()
        (values,) = chain.from_iterable(self.carrier.allgather(found))
        return tuple(v.item() for v in values)

    def fill(self, field: Field, value: tuple[float | int, ...]) -> None:
        """Set every voxel of a field."""
        self.realize()
        for part in self.parts:
            part.fill(field, value)
        if self._whole is not None and field.name in self._whole.buffers:
            self._whole.fill(field, value)
        self.halos.fresh.add(field.name)

    def write(self, field: Field, values: npt.NDArray[Any]) -> None:
        """Set a field from an array of its shape, after everything submitted; waits for it."""
        self.realize()
        for part in self.parts:
            part.upload(field, values)
        self.halos.fresh.add(field.name)

    def write_leaves(
        self, field: Field, leaves: npt.NDArray[np.int32], values: npt.NDArray[Any], outside: tuple[float | int, ...]
    ) -> None:
        """Set a field of a sparse domain, after everything submitted: some leaves, which wake, and all else.

        Args:
            leaves: coordinates (n, 3).
            values: (n, E, E, E) or with components, E = 8 times the field's resolution.
            outside: the value of all other voxels.
        """
        self.fill(field, outside)
        assert self.leaves is not None, "only a sparse domain has leaves"
        index = self.leaves.box.index(leaves)
        self.leaves.wake(index)
        for part in self.parts:
            assert part.topology is not None, "the parts of a sparse domain have topologies"
            slots = part.topology.pool.slots_of(index)
            held = slots > BACKGROUND_SLOT
            part.upload_leaves(field, slots[held], values[held])

    def array(self, field: Field) -> npt.NDArray[Any]:
        """A copy of a field, shape (nx, ny, nz) or (nx, ny, nz, components); all of it on the first rank alone."""
        self.realize()
        shape = self.domain.at(field.resolution).address.shape(field.format.components)
        values = np.empty(shape, field.format.dtype)
        if self.leaves is not None:
            values[...] = (
                self.parts[0].outside(field) if field.format.components > 1 else self.parts[0].outside(field)[0]
            )
        for part in self.parts:
            part.download(field, values)
        bring_to_first_rank(self.carrier, self.every_part, field, values)
        self.check()
        return values

    def close(self) -> None:
        """Wait for the devices and release everything."""
        self.idle()
        self._opened.close()


def _extent(domain: Domain, resolution: Fraction, slabs: bool) -> tuple[int, int, int]:
    """What blocks have to divide along each axis: the domain, and what is computed at a time of a slab."""
    x, y, z = domain.at(resolution).size
    return (math.gcd(x, int(HALO_STEP * resolution)) if slabs else x), y, z


def _voxels(block: Block) -> int:
    return block.voxels
