# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run will take of its devices and send between them, told by a check: nothing is allocated for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..gpu.compiler import Compiler
from ..gpu.device import DeviceInfo, choose_several, list_devices
from ..gpu.memory import MemoryPlan, Residence
from .carrier import LocalCarrier
from .declarations import Declarations
from .device_speed import device_weights, measured_speed
from .distant_part import DistantPart
from .domain import Domain
from .exchange import Interval, owned_intervals
from .field import Field
from .grid_source import GridSource
from .leaves import LEAF, Indices, Integers, LeafBox, grown_capacity
from .part import buffer_bytes, voxels_of_planes
from .places import Storage, leaf_edge
from .poisson_fine import finest_sizes, leaves_in
from .poisson_sizes import buffer_sizes, level_shapes, method_of, plan_rows
from .poisson_slabs import HALO, can_be_cut, coarse_fields
from .rebalancing import Balance
from .run_memory import Row, leaf_rows
from .schedule import Plan
from .simulation import FAR_HALO
from .slab import HALO_STEP, Slab, cut
from .solver import Solver
from .stages import planned, program
from .topology import Topology

__all__ = ["ExchangePlan", "FieldPlan", "PartPlan", "Planner", "RunPlan"]


@dataclass(frozen=True)
class FieldPlan:
    """A field on one device, in bytes.

    Attributes:
        own: what the device computes; halo: what it holds for reading.
        spare: room for leaves to wake, and what fills up the last word.
        back: of the back buffer, 0 where there is none.
    """

    name: str
    own: int
    halo: int
    spare: int
    back: int


@dataclass(frozen=True)
class PartPlan:
    """One device of a run.

    Attributes:
        begin, end, halo: its planes of the domain along x, and those that it holds beyond either end.
        leaves, halo_leaves: active leaves at the start that it computes and holds; None in a dense domain.
        leaf_bytes: that one more active leaf takes in fields and back buffers.
        other: name and bytes of what is no field: the leaves, and what solvers need.
    """

    device: int
    name: str
    memory: int
    begin: int
    end: int
    halo: int
    leaves: int | None
    halo_leaves: int | None
    leaf_bytes: int
    fields: tuple[FieldPlan, ...]
    other: tuple[tuple[str, int], ...]

    @property
    def bytes(self) -> int:
        """All of it."""
        return sum(f.own + f.halo + f.spare + f.back for f in self.fields) + sum(size for _, size in self.other)


@dataclass(frozen=True)
class ExchangePlan:
    """What travels between devices in each step.

    Attributes:
        when: "before" a stencil or solver, "after" a solver, or "in each cycle of" one.
        what: its name.
    """

    when: str
    what: str
    fields: tuple[str, ...]
    bytes: int

    @property
    def in_cycles(self) -> bool:
        """Whether it happens as often as a solver has cycles."""
        return self.when == "in each cycle of"


@dataclass(frozen=True)
class RunPlan:
    """All devices of a run, and a step of it once it goes steadily.

    Attributes:
        size: voxels of the domain along x, y, z.
        leaves: of the box; None in a dense domain.
    """

    size: tuple[int, int, int]
    leaves: int | None
    parts: tuple[PartPlan, ...]
    exchanges: tuple[ExchangePlan, ...]


class Planner:
    """What is known of a run before it runs.

    Args:
        wanted: device by index, part of its name, or None; count: of devices.

    Attributes:
        boxes: corners, in voxels, of the boxes whose leaves are awake from the start.
        rules: names of the fields that leaves follow.
    """

    def __init__(
        self,
        domain: Domain,
        declarations: Declarations,
        compiler: Compiler,
        wanted: int | str | None,
        count: int,
        sparse: bool,
    ) -> None:
        self._domain, self._declarations, self._compiler = domain, declarations, compiler
        self._wanted, self._count, self._sparse = wanted, count, sparse
        self.boxes: list[tuple[Integers, Integers]] = []
        self.rules: set[str] = set()

    def check(self) -> None:
        """Let stencils be compiled as for the devices. Raises FluidError `too-many-devices`."""
        self._declarations.storage = Storage(self._domain, self._sparse, self._count > 1)
        cut(self._domain, [1.0] * self._count, HALO_STEP)

    def plan(self, source: GridSource | None) -> RunPlan:
        """What a run takes; devices are looked up, and measured where they differ.

        Args:
            source: of the leaves that are active at the start.

        Raises:
            FluidError: `no-vulkan`, `no-device`.
        """
        devices = choose_several(list_devices(), self._wanted, self._count)
        weights = device_weights(devices, LocalCarrier(), partial(measured_speed, compiler=self._compiler))
        start = None
        if self._sparse:
            box = LeafBox(self._domain.size, self._domain.boundary)
            found = [box.touched(*each) for each in self.boxes]
            if source is not None:
                found.append(source.leaves(self._domain))
            nothing = np.empty(0, np.int32) if self.rules else box.everything()
            start = _Start(box, np.unique(np.concatenate(found)) if found else nothing, len(self.rules))
        return _planned_run(self._domain, self._declarations, devices, weights, start)


@dataclass(frozen=True)
class _Start:
    """The active leaves at the start, by linear index and sorted, and the rules that they follow."""

    box: LeafBox
    active: Indices
    rules: int


def _planned_run(
    domain: Domain,
    declarations: Declarations,
    devices: Sequence[DeviceInfo],
    weights: Sequence[float],
    start: _Start | None,
) -> RunPlan:
    several = len(devices) > 1
    reaches = [max(FAR_HALO if stencil.far else 0, stencil.reach) for stencil in declarations.stencils.values()]
    reaches += [HALO for solver in declarations.solvers.values() if can_be_cut(solver, domain.size)]
    halo = max([HALO_STEP, *(-(-reach // HALO_STEP) * HALO_STEP for reach in reaches)])
    slabs = cut(domain, weights, halo) if several else [Slab.whole(domain)]
    load = None
    if start is not None:
        load = np.bincount(start.box.planes(start.active), minlength=start.box.shape[0])
        slabs = Balance(domain, weights).better(slabs, load) or slabs
    parts = []
    for number, (info, slab) in enumerate(zip(devices, slabs, strict=True)):
        own = held = capacity = 0
        other: list[Row] = []
        if start is not None:
            planes = start.box.planes(start.active)
            computes = slab.computes(planes)
            own, held = int(computes.sum()), int((slab.holds(planes) & ~computes).sum())
            capacity = grown_capacity(own + held + 1, start.box)
            other += leaf_rows(start.box, capacity, start.rules)
        fields = declarations.fields.values()
        other += _solver_rows(domain, declarations, start, slab if several else None, capacity, number == 0)
        sparse = start is not None
        parts.append(
            PartPlan(
                info.index,
                info.name,
                info.memory,
                slab.begin,
                slab.end,
                slab.halo if several else 0,
                own if sparse else None,
                held if sparse else None,
                sum(_slot_bytes(f) * (1 + f.has_back) for f in fields) if sparse else 0,
                tuple(_leaf_field(f, own, held, capacity) if sparse else _plane_field(f, domain, slab) for f in fields),
                tuple((name, size) for name, size, where in MemoryPlan(tuple(other)).rows if where is Residence.DEVICE),
            )
        )
    exchanges = _exchanges(domain, declarations, slabs, load) if several else []
    return RunPlan(domain.size, start.box.count if start is not None else None, tuple(parts), tuple(exchanges))


def _slot_bytes(f: Field) -> int:
    return int(leaf_edge(f.resolution) ** 3) * f.format.bytes_per_voxel


def _leaf_field(f: Field, own: int, held: int, capacity: int) -> FieldPlan:
    slot, size = _slot_bytes(f), buffer_bytes(f, capacity * leaf_edge(f.resolution) ** 3)
    return FieldPlan(f.name, own * slot, held * slot, size - (own + held) * slot, size if f.has_back else 0)


def _plane_field(f: Field, domain: Domain, slab: Slab) -> FieldPlan:
    (begin, end), (_, count) = slab.own(f.resolution), slab.held(f.resolution)
    size = buffer_bytes(f, voxels_of_planes(domain, f, count))
    per_voxel = f.format.bytes_per_voxel
    own = voxels_of_planes(domain, f, end - begin) * per_voxel
    halo = voxels_of_planes(domain, f, count) * per_voxel - own
    return FieldPlan(f.name, own, halo, size - own - halo, size if f.has_back else 0)


def _solver_rows(
    domain: Domain, declarations: Declarations, start: _Start | None, slab: Slab | None, capacity: int, first: bool
) -> list[Row]:
    """What solvers have beside the part of a device.

    Args:
        slab: its own; None where it is the only one.
        capacity: slots of its pool of leaves.
        first: the first device also has the coarser grids, and the whole of fields that cannot be cut.
    """
    rows: list[Row] = []
    of_whole = grown_capacity(len(start.active) + 1, start.box) if start is not None else 0
    whole: dict[str, Field] = {}
    for solver in declarations.solvers.values():
        name, size = solver.definition.name, domain.at(solver.unknown.resolution).size
        if slab is not None and can_be_cut(solver, domain.size):
            leaves = capacity if start is not None else leaves_in(slab, size)
            beside = [_Held(f, domain, slab, capacity).bytes for f in coarse_fields(solver, start is not None)]
            rows.append((f"{name}: finest grid", sum(finest_sizes(leaves).values()) + sum(beside), Residence.DEVICE))
        elif slab is not None:
            whole |= {f.name: f for f in solver.fields}
        if first:
            shapes = level_shapes(solver, size, start is not None)
            rows += plan_rows(name, buffer_sizes(shapes, method_of(solver, shapes), of_whole))
    if first and slab is not None:
        everything = Slab.whole(domain)
        rows += [
            (f"{f.name}, whole", _Held(f, domain, everything, of_whole).bytes, Residence.DEVICE) for f in whole.values()
        ]
        if start is not None:
            rows.append(("leaves, whole", Topology.bytes_for(start.box, of_whole), Residence.DEVICE))
    return rows


@dataclass(frozen=True)
class _Held:
    """A buffer of a field on a device, whose pool of leaves has `capacity` slots; 0 in a dense domain."""

    field: Field
    domain: Domain
    slab: Slab
    capacity: int

    @property
    def bytes(self) -> int:
        if self.capacity:
            return buffer_bytes(self.field, self.capacity * leaf_edge(self.field.resolution) ** 3)
        return buffer_bytes(
            self.field, voxels_of_planes(self.domain, self.field, self.slab.held(self.field.resolution)[1])
        )


def _exchanges(
    domain: Domain, declarations: Declarations, slabs: Sequence[Slab], load: Integers | None
) -> list[ExchangePlan]:
    parts = [DistantPart(domain, slab, 0) for slab in slabs]
    whole = [*parts, DistantPart(domain, Slab.whole(domain), 0)]
    last, every = len(parts), range(len(parts))
    halos = owned_intervals(parts)
    gather, scatter = owned_intervals(whole, [last], every), owned_intervals(whole, every, [last])

    def send(when: str, what: str, fields: Sequence[Field], *ways: Sequence[Interval]) -> None:
        travelling = [(f, interval) for f, way in zip(fields, ways, strict=True) for interval in way]
        size = sum(_travelling(f, interval, domain, load) for f, interval in travelling)
        found.append(ExchangePlan(when, what, tuple(f.name for f in fields), size))

    found: list[ExchangePlan] = []
    for stage in _steady(declarations, slabs[0]):
        if isinstance(stage, Solver):
            fields, name, unknown = stage.fields, stage.definition.name, [stage.unknown]
            if can_be_cut(stage, domain.size):
                residual, correction, *faces = coarse_fields(stage, load is not None)
                send("before", name, [*fields, *faces], *[halos] * len(fields), *[gather] * len(faces))
                send("in each cycle of", name, [*unknown, residual, correction], halos, gather, scatter)
                send("after", name, unknown, halos)
            else:
                send("before", name, fields, *[gather] * len(fields))
                send("after", name, unknown, scatter)
        elif stage.exchanged:
            fields = [declarations.fields[name] for name in stage.exchanged]
            send("before", stage.stretches[0].stencil.definition.name, fields, *[halos] * len(fields))
    return found


def _steady(declarations: Declarations, slab: Slab) -> list[Plan | Solver]:
    """The stages of a step as it is once others went before."""
    fresh = set(declarations.fields)
    while True:
        before = set(fresh)
        stages = list(planned(program(declarations), fresh, 0 if slab.holds_all else slab.halo))
        if fresh == before:
            return stages


def _travelling(f: Field, interval: Interval, domain: Domain, load: Integers | None) -> int:
    """Bytes of an interval of a field."""
    r = f.resolution
    if load is None:
        planes = math.ceil((interval.first + interval.count) * r) - math.ceil(interval.first * r)
        return voxels_of_planes(domain, f, planes) * f.format.bytes_per_voxel
    inside = interval.wrapped % LEAF
    planes = math.ceil((inside + interval.count) * r) - math.ceil(inside * r)
    return int(load[interval.wrapped // LEAF]) * planes * leaf_edge(r) ** 2 * f.format.bytes_per_voxel
