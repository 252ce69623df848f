# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of solvers in one piece, on the first of several devices: a solver's reach is the whole domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from ..gpu.memory import Residence
from .distant_part import AnyPart, DistantPart
from .exchange import Exchange, Halos, owned_intervals
from .field import Field
from .leaves import LeafBox
from .part import Part
from .slab import Slab
from .solver import Solver
from .topology import Topology

__all__ = ["Journeys", "Whole"]


class Journeys:
    """The ways of fields between the parts of all ranks and the whole domain, which the first rank holds."""

    def __init__(self, parts: Sequence[AnyPart], whole: Whole | None) -> None:
        domain = parts[0].domain
        self._parts = [*parts, whole or DistantPart(domain, Slab.whole(domain), rank=0)]
        self._ways: dict[tuple[object, ...], Exchange] = {}

    def gather(self, halos: Halos, fields: Sequence[Field]) -> None:
        """Bring to the whole what the parts compute."""
        self._travel("gather", halos, fields)

    def scatter(self, halos: Halos, field: Field) -> None:
        """Bring a field to all parts, halos included."""
        self._travel("scatter", halos, [field])

    def _travel(self, way: str, halos: Halos, fields: Sequence[Field]) -> None:
        key = (way, *((field.name, field.front) for field in fields))
        if key not in self._ways:
            last = len(self._parts) - 1
            every = range(last)
            holders, owners = ([last], every) if way == "gather" else (every, [last])
            self._ways[key] = Exchange(halos, self._parts, fields, owned_intervals(self._parts, holders, owners))
        self._ways[key].send()
        self._ways[key].receive()

    def forget(self) -> None:
        """Parts hold other planes or leaves now."""
        for exchange in self._ways.values():
            exchange.close()
        self._ways.clear()


class Whole(Part):
    """All of a domain beside the part of the same device, for the fields that solvers work on.

    Args:
        first: the first part of the simulation, whose device is shared.
    """

    def __init__(self, first: Part) -> None:
        self._first = first
        self.domain, self.storage = first.domain, replace(first.storage, slabs=False)
        self.slab = Slab.whole(first.domain)
        self.device, self.library, self.execution = first.device, first.library, first.execution
        self.kernels, self.buffers = {}, {}
        self._probe, self.overrun, self.topology = None, None, None
        self._wanted: dict[str, list[Field]] = {}  # by the solvers that want them
        with ExitStack() as opened:
            opened.callback(self._close_buffers)
            if self.storage.sparse:
                box = LeafBox(self.domain.size, self.domain.boundary)
                self.topology = Topology(self.device, self.execution, box)
                opened.callback(self.topology.close)
            self._opened = opened.pop_all()

    @property
    def _fields(self) -> dict[str, Field]:
        return {field.name: field for fields in self._wanted.values() for field in fields}

    def want(self, solver: Solver) -> None:
        """Have room for a solver's fields."""
        self._wanted[solver.definition.name] = solver.fields

    def drop(self, solver: Solver) -> None:
        """Have none for a solver that is not to be; nothing was allocated for it."""
        self._wanted.pop(solver.definition.name, None)

    def stored(self, _fields: Mapping[str, Field]) -> list[tuple[Field, int]]:
        return [(field, 1) for field in self._fields.values()]

    def rows(self) -> list[tuple[str, int, Residence]]:
        """The rows of the memory plan."""
        rows = [(f"{name}, whole", self.bytes_of(field), Residence.DEVICE) for name, field in self._fields.items()]
        if self.topology is not None:
            size = self.topology.bytes_for(self.topology.pool.box, self.topology.capacity)
            rows.append(("leaves, whole", size, Residence.DEVICE))
        return rows

    def realize(self) -> None:
        """Allocate what is not there yet; solvers find it as the fields' buffers."""
        for field in self._fields.values():
            if field.name not in self.buffers:
                back, field.has_back = field.has_back, False
                self.allocate(field)
                field.has_back = back
                front, field.front = field.front, 0
                self.fill(field, self._background(field))
                field.front = front

    def _background(self, field: Field) -> tuple[float | int, ...]:
        return field.background if self.topology is None else tuple(v.item() for v in self._first.outside(field))

    def close(self) -> None:
        self._opened.close()
