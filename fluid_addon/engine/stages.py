# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a simulation as stages: recorded once, run in their order on all parts, and again with wider halos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

from ..gpu.execution import Encoded
from ..gpu.recording import Recording
from .declarations import Declarations, Stencil
from .exchange import Exchange, Halos
from .part import Part
from .places import Storage
from .schedule import Plan, Stretch, plan_stages, record
from .solver import Solver
from .status import Findings, Moment

__all__ = ["Stages", "planned", "program"]


@dataclass
class _Stage:
    """What the devices do without hearing of each other; see `schedule.Plan`."""

    plan: Plan
    encoded: list[Encoded]
    interior: list[Encoded]
    exchange: Exchange | None
    fronts: dict[str, int]
    written: frozenset[str]  # the fields whose halos are out of date once it has run


class Stages:
    """What the parts of a simulation run.

    Args:
        solve: runs a solver.
        widen: gives all parts a halo of at least so many voxels.
        realize: allocates what is declared.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        declarations: Declarations,
        storage: Storage,
        halos: Halos,
        findings: Findings,
        *,
        solve: Callable[[Solver, Moment], None],
        widen: Callable[[int], None],
        realize: Callable[[], object],
    ) -> None:
        self.parts, self._declarations, self._storage, self.halos = parts, declarations, storage, halos
        self._findings, self._solve, self._widen, self._realize = findings, solve, widen, realize
        self._recordings: dict[Any, list[_Stage | Solver]] = {}
        self._version: tuple[int, ...] = ()

    def recording(self) -> Recording:
        """The recording of the next step's stencils on the first device, for people to read."""
        self._renew()
        fronts = self._fronts()
        commands = []
        for stage in self._planned(None, set(self.halos.fresh), 0):
            if isinstance(stage, Plan):
                commands += record("step", stage.stretches, self.parts[0], self._declarations.fields).commands
        self._set_fronts(fronts)
        return Recording("step", commands)

    def run(
        self, key: tuple[str, ...], entries: list[Stencil | Solver] | None, constants: bytes, moment: Moment
    ) -> None:
        """Run a step, or what stands for it in `entries`, of which `key` is the name.

        Raises:
            FluidError: of what kernels noticed in earlier steps, `cancelled`, `device-lost`.
        """
        stages = self._recorded(key, entries, 0)
        position = 0
        while position < len(stages):
            stage = stages[position]
            position += 1
            if isinstance(stage, Solver):
                self._solve(stage, moment)
            elif not self._run_stage(stage, constants, moment):
                stages, position = self._recorded(key, entries, stage.plan.first), 0  # once more, with wider halos

    def _run_stage(self, stage: _Stage, constants: bytes, moment: Moment) -> bool:
        """False: a read went beyond the halo, which is wider now; the stage is to run again."""
        self._findings.tell(chain.from_iterable(part.status.look_ahead() for part in self.parts))
        if stage.exchange is not None:
            stage.exchange.send()
            for part, encoded in zip(self.parts, stage.interior, strict=False):
                part.execution.submit(encoded, constants)
            stage.exchange.receive()
        for part, encoded in zip(self.parts, stage.encoded, strict=True):
            part.status.submit(encoded, constants, moment)
        self.halos.fresh.update(stage.plan.exchanged)
        if stage.plan.looked_at and (missing := self.halos.overrun()):
            self._widen(self.parts[0].slab.halo + missing)
            return False
        self.halos.fresh -= stage.written
        self._set_fronts(stage.fronts)
        return True

    def _fronts(self) -> dict[str, int]:
        return {name: field.front for name, field in self._declarations.fields.items()}

    def _set_fronts(self, fronts: dict[str, int]) -> None:
        for name, front in fronts.items():
            self._declarations.fields[name].front = front

    def _renew(self) -> None:
        """Forget what was recorded where it is out of date."""
        topologies = [part.topology.version for part in self.parts if part.topology is not None]
        version = (self._declarations.version, *topologies)
        if self._version != version:
            self.forget()
            for part in self.parts:  # what they find is raised when the next stage looks
                part.status.make_room()
            self._realize()
            self._version = version

    def _planned(self, entries: list[Stencil | Solver] | None, fresh: set[str], first: int) -> Iterator[Plan | Solver]:
        slab = self.halos.first_slab
        halo = (0 if slab.holds_all else slab.halo) if self._storage.slabs else None
        return planned(program(self._declarations, entries), fresh, halo, first)

    def _recorded(
        self, key: tuple[str, ...], entries: list[Stencil | Solver] | None, first: int
    ) -> list[_Stage | Solver]:
        """The stages of a step in order, from the entry `first` of its program on."""
        self._renew()
        fronts = self._fronts()
        full_key = (key, first, tuple(fronts.values()), frozenset(self.halos.fresh) if self._storage.slabs else None)
        if full_key not in self._recordings:
            planned = self._planned(entries, set(self.halos.fresh), first)
            name = " ".join(key)
            self._recordings[full_key] = [p if isinstance(p, Solver) else self._stage(name, p) for p in planned]
            self._set_fronts(fronts)
        return self._recordings[full_key]

    def _stage(self, name: str, plan: Plan) -> _Stage:
        fields, fronts = self._declarations.fields, self._fronts()
        exchange = self.halos.exchange([fields[field] for field in plan.exchanged]) if plan.exchanged else None
        encoded, interior = [], []
        for part in self.parts:
            self._set_fronts(fronts)
            if plan.interior:
                interior.append(part.execution.encode(record(f"{name}: interior", plan.interior, part, fields)))
            encoded.append(part.execution.encode(record(name, plan.stretches, part, fields)))
        written = frozenset(chain.from_iterable(stretch.stencil.writes_fields for stretch in plan.stretches))
        return _Stage(plan, encoded, interior, exchange, self._fronts(), written)

    def forget(self) -> None:
        """Drop what is recorded; it is recorded anew when it is next run."""
        for part in self.parts if self._recordings else ():
            part.execution.idle()
        for stage in chain.from_iterable(self._recordings.values()):
            if isinstance(stage, _Stage):
                for encoded in (*stage.encoded, *stage.interior):
                    encoded.close()
        self._recordings.clear()


def program(declarations: Declarations, entries: list[Stencil | Solver] | None = None) -> list[Stencil | Solver]:
    """What runs one after another, by default in a step: each stencil as often as it iterates."""
    whole: list[Stencil | Solver] = []
    for entry in declarations.steps() if entries is None else entries:
        whole += [entry] * (entry.definition.iterations if isinstance(entry, Stencil) else 1)
    return whole


def planned(
    entries: Sequence[Stencil | Solver], fresh: set[str], halo: int | None, first: int = 0
) -> Iterator[Plan | Solver]:
    """The stages of a program from its entry `first` on.

    Args:
        fresh: the fields whose halos are up to date; afterwards those that are then.
        halo: as `plan_stages` has it; None: there are no slabs.
    """
    for is_solver, group in groupby(entries[first:], lambda entry: isinstance(entry, Solver)):
        some = list(group)
        stencils = [entry for entry in some if isinstance(entry, Stencil)]
        if is_solver:
            solvers = [entry for entry in some if isinstance(entry, Solver)]
            fresh.update(solver.unknown.name for solver in solvers)
            yield from solvers
        elif halo is not None:
            for plan in plan_stages(stencils, fresh, halo):
                plan.first += first
                yield plan
        else:
            yield Plan([Stretch(stencil) for stencil in stencils], first=first)
        first += len(some)
