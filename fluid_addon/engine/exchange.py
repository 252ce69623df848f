# SPDX-License-Identifier: GPL-3.0-or-later
"""Halos: which planes each part needs of which other one, and how they travel through cached host memory.

Parts of other processes take part as well: what lies between two ranks is handed to the run's carrier.

Both ways in which fields are stored have x as their slowest axis, so that planes of a slab, or of a leaf, lie in one
piece: a halo is copied out, moved by the host and copied in without a kernel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from ..gpu.execution import Encoded
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Command, Copy, CopyRegions, Recording
from .carrier import Carrier, Load
from .distant_part import AnyPart, local_parts
from .field import Field
from .leaves import LEAF
from .part import Part
from .places import leaf_edge
from .slab import Slab

__all__ = ["Exchange", "Halos", "Interval", "moved_intervals", "owned_intervals"]


@dataclass(frozen=True)
class Interval:
    """Planes of the domain that one part holds and another one computes.

    Attributes:
        first: in the holder's counting, negative where it wraps around; count: how many.
        wrapped: the first one in the owner's.
    """

    holder: int
    owner: int
    first: int
    wrapped: int
    count: int


def owned_intervals(
    parts: Sequence[AnyPart], holders: Sequence[int] | None = None, owners: Sequence[int] | None = None
) -> list[Interval]:
    """What holders have of owners, in pieces that have one owner and lie in one leaf plane; by default halos."""
    found = []
    for holder in range(len(parts)) if holders is None else holders:
        slab = parts[holder].slab
        first, count = slab.held()
        x = first
        while x < first + count:
            wrapped = x % slab.planes
            owner = next(i for i in owners or range(len(parts)) if parts[i].slab.begin <= wrapped < parts[i].slab.end)
            length = min(first + count, x + LEAF - wrapped % LEAF, x + slab.planes - wrapped) - x
            if owner != holder:
                found.append(Interval(holder, owner, x, wrapped, length))
            x += length
    return found


def moved_intervals(before: Sequence[Slab], after: Sequence[Slab]) -> list[Interval]:
    """The leaf planes that other parts will compute; their holders are those parts, and their owners have them now."""
    owners, holders = (
        {plane: number for number, slab in enumerate(slabs) for plane in range(*slab.leaf_planes())}
        for slabs in (before, after)
    )
    return [
        Interval(holders[plane], owner, plane * LEAF, plane * LEAF, LEAF)
        for plane, owner in owners.items()
        if holders[plane] != owner
    ]


class Halos:
    """The halos of all parts.

    Args:
        parts: those of all ranks, in their order.

    Attributes:
        fresh: names of the fields whose halos hold what their owners have.
        seconds: that the run has waited for halos.
    """

    def __init__(self, parts: Sequence[AnyPart], carrier: Carrier) -> None:
        self._parts, self.carrier = parts, carrier
        self.fresh: set[str] = set()
        self.seconds = 0.0
        self.bytes = 0
        self._exchanges: dict[tuple[tuple[str, int], ...], Exchange] = {}
        self._words: list[tuple[Buffer, Encoded]] = []

    def exchange(self, fields: Sequence[Field]) -> Exchange:
        """What brings the halos of fields, as they stand, up to date."""
        key = tuple((field.name, field.front) for field in fields)
        if key not in self._exchanges:
            self._exchanges[key] = Exchange(self, self._parts, fields, owned_intervals(self._parts))
        return self._exchanges[key]

    def forget(self) -> None:
        """Parts hold other planes or leaves now: nothing is fresh, and nothing that was recorded fits."""
        self.fresh.clear()
        for exchange in self._exchanges.values():
            exchange.forget()

    def drop(self) -> None:
        """Buffers were replaced: forget the exchanges themselves."""
        self.fresh.clear()
        for exchange in self._exchanges.values():
            exchange.close()
        self._exchanges.clear()

    @property
    def first_slab(self) -> Slab:
        """That of the first part of all: where every rank looks, all of them plan alike."""
        return self._parts[0].slab

    def overrun(self) -> int:
        """Voxels that the halo lacked in the stage that was submitted last, on any part; 0 where it sufficed."""
        if all(part.slab.holds_all for part in self._parts):
            return 0
        began = time.perf_counter()
        parts = local_parts(self._parts)
        tickets = [part.execution.submit(encoded) for part, (_, encoded) in zip(parts, self._looks(), strict=True)]
        most = 0
        for part, (host, _), ticket in zip(parts, self._words, tickets, strict=True):
            part.execution.wait(ticket)
            host.invalidate()
            assert host.host is not None, "readback memory is always mapped"
            most = max(most, int(host.host.view(np.uint32)[0]))
        most = max(self.carrier.allgather(most))
        if most:
            for part in parts:
                assert part.overrun is not None, "parts of several have one"
                part.execution.repeat(part.overrun, bytes(4))
        self.seconds += time.perf_counter() - began
        return most

    def _looks(self) -> list[tuple[Buffer, Encoded]]:
        if not self._words:
            for part in local_parts(self._parts):
                assert part.overrun is not None, "parts of several have one"
                host = Buffer(part.device, "halo overrun", 4, Residence.READBACK)
                copy = Recording("halo overrun", [Copy(part.overrun, host, 4)])
                self._words.append((host, part.execution.encode(copy)))
        return self._words

    def close(self) -> None:
        self.drop()
        for host, encoded in self._words:
            encoded.close()
            host.close()
        self._words.clear()


class Exchange:
    """Planes of some fields that travel from part to part together."""

    def __init__(
        self, halos: Halos, parts: Sequence[AnyPart], fields: Sequence[Field], intervals: Sequence[Interval]
    ) -> None:
        self._halos, self._parts, self._fields, self._intervals = halos, parts, fields, intervals
        self._fronts = [field.front for field in fields]
        self._staging: dict[tuple[int, int], tuple[Buffer | None, Buffer | None]] = {}
        self._out: dict[int, Encoded] = {}
        self._in: dict[int, Encoded] = {}
        self._tickets: dict[int, int] = {}
        self._made = False

    # ----- moving

    def send(self) -> None:
        """Queue the copies out of the fields as they will be after everything submitted."""
        if not self._made:
            self._make()
        for number, encoded in self._out.items():
            self._tickets[number] = self._part(number).execution.submit(encoded)

    def receive(self) -> None:
        """Wait for the copies, move them, and queue the copies into the halos."""
        began = time.perf_counter()
        for number, ticket in self._tickets.items():
            self._part(number).execution.wait(ticket)
        for number, encoded in self._in.items():  # what came the last time has left the staging memory
            self._part(number).execution.wait(encoded.ticket)
        loads = []
        for (owner, holder), (source, target) in self._staging.items():
            if source is not None:
                source.invalidate()
            sender, receiver = self._rank(owner), self._rank(holder)
            here = [None if buffer is None else buffer.host for buffer in (source, target)]
            loads.append(Load(sender, receiver, *here))
            self._halos.bytes += next(buffer.size for buffer in (source, target) if buffer is not None)
        self._halos.carrier.move(loads)
        self._halos.seconds += time.perf_counter() - began
        for number, encoded in self._in.items():
            self._part(number).execution.submit(encoded)

    def _part(self, number: int) -> Part:
        part = self._parts[number]
        assert isinstance(part, Part), "only parts of this process have buffers"
        return part

    def _rank(self, number: int) -> int:
        part = self._parts[number]
        return self._halos.carrier.rank if isinstance(part, Part) else part.rank

    # ----- how they are made

    def _make(self) -> None:
        kept = [field.front for field in self._fields]
        for field, front in zip(self._fields, self._fronts, strict=True):
            field.front = front
        pieces = self._pieces()
        for (owner, holder), rows in pieces.items():
            size = int(sum(int(regions[:, 2].sum()) for _, regions in rows))
            if size == 0:
                continue
            at_owner, at_holder = self._parts[owner], self._parts[holder]
            self._staging[owner, holder] = (
                Buffer(at_owner.device, "halo to send", size, Residence.READBACK)
                if isinstance(at_owner, Part)
                else None,
                Buffer(at_holder.device, "halo received", size, Residence.UPLOAD)
                if isinstance(at_holder, Part)
                else None,
            )
        for number, part in enumerate(self._parts):
            if not isinstance(part, Part):
                continue
            out: list[Command] = []
            into: list[Command] = []
            for (owner, holder), rows in pieces.items():
                if (owner, holder) not in self._staging:
                    continue
                source, target = self._staging[owner, holder]
                begin = 0
                for field, regions in rows:
                    sizes = regions[:, 2]
                    places = begin + np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes)[:-1]]).astype(np.uint64)
                    begin += int(sizes.sum())
                    if number == owner and source is not None:
                        out.append(CopyRegions(part.buffer(field), source, _rows(regions[:, 0], places, sizes)))
                    if number == holder and target is not None:
                        into.append(CopyRegions(target, part.buffer(field), _rows(places, regions[:, 1], sizes)))
            if out:
                self._out[number] = part.execution.encode(Recording("send halos", out))
            if into:
                self._in[number] = part.execution.encode(Recording("receive halos", into))
        for field, front in zip(self._fields, kept, strict=True):
            field.front = front
        self._made = True

    def _pieces(self) -> dict[tuple[int, int], list[tuple[Field, npt.NDArray[np.uint64]]]]:
        """By owner and holder, for each field, rows of (offset at the owner, offset at the holder, bytes)."""
        found: dict[tuple[int, int], list[tuple[Field, npt.NDArray[np.uint64]]]] = {}
        for interval, field in product(self._intervals, self._fields):
            owner, holder = self._parts[interval.owner], self._parts[interval.holder]
            here = local_parts((owner, holder))
            if not here:
                continue
            regions = _leaf_regions if here[0].topology is not None else _plane_regions
            rows = regions(interval, field, owner, holder)
            if len(rows):
                found.setdefault((interval.owner, interval.holder), []).append((field, rows))
        return found

    def forget(self) -> None:
        """Forget what was recorded; it is made anew when it is next needed."""
        for number in {*self._out, *self._in}:
            self._part(number).execution.idle()
        for encoded in (*self._out.values(), *self._in.values()):
            encoded.close()
        for pair in self._staging.values():
            for buffer in pair:
                if buffer is not None:
                    buffer.close()
        self._out.clear()
        self._in.clear()
        self._staging.clear()
        self._tickets.clear()
        self._made = False

    def close(self) -> None:
        self.forget()


def _rows(*columns: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return np.stack(columns, axis=-1).astype(np.uint64)


def _plane_regions(interval: Interval, field: Field, owner: AnyPart, holder: AnyPart) -> npt.NDArray[np.uint64]:
    r = field.resolution
    _, y, z = owner.domain.at(r).size
    plane = y * z * field.format.bytes_per_voxel
    first, last = math.ceil(interval.first * r), math.ceil((interval.first + interval.count) * r)
    there = math.ceil(interval.wrapped * r) - owner.slab.held(r)[0]
    row = (there * plane, (first - holder.slab.held(r)[0]) * plane, (last - first) * plane)
    return np.array([row] if last > first else [], np.uint64).reshape(-1, 3)


def _leaf_regions(interval: Interval, field: Field, owner: AnyPart, holder: AnyPart) -> npt.NDArray[np.uint64]:
    r, edge = field.resolution, leaf_edge(field.resolution)
    pools = [part.topology.pool if isinstance(part, Part) and part.topology else None for part in (owner, holder)]
    leaves = next(pool for pool in pools if pool is not None).active_in_plane(interval.wrapped // LEAF)
    inside = interval.wrapped % LEAF
    first, last = math.ceil(inside * r), math.ceil((inside + interval.count) * r)
    plane = edge * edge * field.format.bytes_per_voxel
    begin, size = np.uint64(first * plane), np.uint64((last - first) * plane)
    slots = [np.zeros_like(leaves) if pool is None else pool.slots_of(leaves) for pool in pools]
    sources, targets = (each.astype(np.uint64) * np.uint64(edge * plane) + begin for each in slots)
    return _rows(sources, targets, np.full_like(sources, size))
