# SPDX-License-Identifier: GPL-3.0-or-later
"""From stencils to stages: order, the sides of buffers, the barriers that reads and writes ask for, and the halos.

A stage is what devices do without hearing of each other: on one device the whole stretch of stencils up to a solver. A
stencil that reads beyond its slab begins a new one where the halos that it needs are out of date; one whose reads go
anywhere is a stage of its own, so that it can run again once its halo is wide enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..gpu.memory import Buffer
from ..gpu.recording import Barrier, Command, Recording
from .declarations import Stencil
from .field import Field
from .part import ALL, HIGH, INTERIOR, LOW, Part, Run
from .slab import HALO_STEP

__all__ = ["Hazards", "Plan", "Stretch", "plan_stages", "record"]


class Hazards:
    """Which buffers were read and written since the last barrier."""

    def __init__(self) -> None:
        self._read: dict[int, str] = {}
        self._written: dict[int, str] = {}

    def barrier_before(self, reads: dict[str, Buffer], writes: dict[str, Buffer]) -> Barrier | None:
        """The barrier that a command with these reads and writes needs, or None; and remember the command.

        Read after write and write after write need the data, write after read needs the order.
        """
        because = [name for name, buffer in {**reads, **writes}.items() if id(buffer) in self._written]
        because += [name for name, buffer in writes.items() if id(buffer) in self._read]
        if because:
            self._read.clear()
            self._written.clear()
        self._read.update({id(buffer): name for name, buffer in reads.items()})
        self._written.update({id(buffer): name for name, buffer in writes.items()})
        return Barrier(tuple(sorted(set(because)))) if because else None


@dataclass(frozen=True)
class Stretch:
    """One run of a stencil over some of its planes.

    Attributes:
        reach: planes of the domain at either end that are no part of the interior.
        last: the stencil is done behind it, and its fields change sides.
    """

    stencil: Stencil
    run: Run = ALL
    reach: int = 0
    last: bool = True


@dataclass
class Plan:
    """A stage before it is recorded.

    Attributes:
        exchanged: the fields whose halos are brought up to date before it.
        interior: what is computed while the halos travel.
        looked_at: whether its only stencil may read beyond the halo.
        first: the place of its first stencil among those that were planned.
    """

    stretches: list[Stretch] = field(default_factory=list)
    exchanged: tuple[str, ...] = ()
    interior: tuple[Stretch, ...] = ()
    looked_at: bool = False
    first: int = 0


def plan_stages(stencils: Sequence[Stencil], fresh: set[str], halo: int = 0) -> list[Plan]:
    """The stages of stencils in their order, on several devices.

    Args:
        fresh: the fields whose halos are up to date; afterwards those that are then.
        halo: voxels that stencils may read beyond their slabs at places that they compute; 0: as far as they like.
    """
    plans: list[Plan] = []
    for number, stencil in enumerate(stencils):
        stale = tuple(name for name in stencil.halo_fields if name not in fresh)
        if stale or stencil.far or not plans or plans[-1].looked_at:
            plans.append(Plan(exchanged=stale, looked_at=stencil.far, first=number))
        plan = plans[-1]
        if stale and (halo or not stencil.far):
            # Away from the ends nothing of the halo is read; where a computed place says otherwise, kernels note it.
            reach = max(halo if stencil.far else 0, -(-stencil.reach // HALO_STEP) * HALO_STEP)
            plan.interior = (Stretch(stencil, INTERIOR, reach, False),)
            plan.stretches = [Stretch(stencil, LOW, reach, False), Stretch(stencil, HIGH, reach)]
        else:
            plan.stretches.append(Stretch(stencil))
        fresh.update(stale)
        fresh.difference_update(name for name in stencil.writes_fields)
    return plans


def record(name: str, stretches: Sequence[Stretch], part: Part, fields: dict[str, Field]) -> Recording:
    """The commands of a part. Fields' buffers change sides while this goes."""
    recording, hazards = Recording(name), Hazards()
    for stretch in stretches:
        recording.commands += _commands(stretch, part, fields, hazards)
        if stretch.last:
            for field_name in stretch.stencil.swaps:
                fields[field_name].swap()
    return recording


def _commands(stretch: Stretch, part: Part, fields: dict[str, Field], hazards: Hazards) -> Iterator[Command]:
    stencil = stretch.stencil
    dispatch, roles = part.dispatch(stencil, fields, stretch.run, stretch.reach)
    if 0 in dispatch.groups:
        return
    reads = {slot: roles[slot] for slot in stencil.slots if slot in stencil.read}
    writes = {slot: roles[slot] for slot in stencil.slots if slot in stencil.written}
    barrier = hazards.barrier_before(reads, writes)
    if barrier:
        yield barrier
    yield dispatch
