# SPDX-License-Identifier: GPL-3.0-or-later
"""Export while the simulation goes on: a ring of host buffers that the device fills and a thread writes to disk."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, fail
from ..gpu.execution import Encoded
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Command, Copy, Recording
from ..volumes.bake import Bake
from ..volumes.leaf_array import LeafArray
from .carrier import Load
from .domain import Domain
from .faces import at_centres, at_centres_of_leaves
from .field import Field
from .frame_file import ExportRequest, Values, write_frame
from .places import leaf_edge
from .simulation import Simulation
from .slab import Slab
from .status import status_clear

__all__ = ["RING", "Exporter", "forget_locals"]

#: Frames that may wait for the disk while the device goes on.
RING = 2


@dataclass
class _Slot:
    """Room for a frame: of each part, the bytes of its status words and of its fields, one behind the other."""

    buffers: list[Buffer]
    encoded: dict[tuple[int, ...], list[Encoded]]


@dataclass(frozen=True)
class _Share:
    """What one part has of a frame.

    Attributes:
        slab: its planes.
        starts: where each field begins in its bytes, and where the last one ends.
        leaves: the coordinates (n, 3) and the slots (n,) of its leaves; None for a dense domain.
    """

    slab: Slab
    starts: tuple[int, ...]
    leaves: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None


@dataclass(frozen=True)
class _Frame:
    """A frame under way to the disk.

    Attributes:
        tickets: of the copy of each part of this process.
        shares: of all parts.
        arrived: the bytes of the parts of other processes, which follow those of this one.
    """

    request: ExportRequest
    slot: _Slot
    tickets: list[int]
    shares: list[_Share]
    arrived: list[npt.NDArray[np.uint8]]


class Exporter:
    """The export ring of one simulation.

    Args:
        bake: None on other ranks than the first, which send to that what their parts hold.
        writing: surrounds the writing of a file. Called by the writer thread, as `written`.
        written: told of each finished file: the request and the size in bytes.
    """

    def __init__(
        self,
        simulation: Simulation,
        bake: Bake | None,
        writing: Callable[[ExportRequest], AbstractContextManager[None]],
        written: Callable[[ExportRequest, int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._simulation, self._bake = simulation, bake
        self._writing, self._written, self._cancelled = writing, written, cancelled
        self._slots: list[_Slot] = []
        self._free: queue.Queue[_Slot] = queue.Queue()
        self._work: queue.Queue[_Frame | None] = queue.Queue()
        self._error: FluidError | None = None
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="fluid export", daemon=True)
        self._thread.start()

    def export(self, request: ExportRequest) -> None:
        """Queue a frame. Waits only while the ring is full.

        Raises:
            FluidError: of an earlier frame that could not be written, or `domain-too-large`, `cancelled`.
        """
        self.raise_pending()
        parts = self._simulation.parts
        shares = []
        for part in parts:
            starts = accumulate([part.status.buffer.size, *(part.buffer(f).size for f in request.fields)])
            shares.append(_Share(part.slab, tuple(starts), part.leaves_held()))
        self._make_room([share.starts[-1] for share in shares])
        slot = self._take()
        key = tuple(
            number for p in parts for number in (id(p.status.buffer), *(id(p.buffer(f)) for f in request.fields))
        )
        if key not in slot.encoded:
            slot.encoded[key] = []
            for part, buffer, share in zip(parts, slot.buffers, shares, strict=True):
                copies: list[Command] = [Copy(part.status.buffer, buffer, part.status.buffer.size)]
                for field, begin in zip(request.fields, share.starts, strict=False):
                    source = part.buffer(field)
                    copies.append(Copy(source, buffer, source.size, target_offset=begin))
                slot.encoded[key].append(part.execution.encode(Recording("export", copies)))
        tickets = [part.execution.submit(e) for part, e in zip(parts, slot.encoded[key], strict=True)]
        if self._simulation.carrier.ranks == 1:
            self._work.put(_Frame(request, slot, tickets, shares, []))
        else:
            self._bring_together(_Frame(request, slot, tickets, shares, []))

    def _bring_together(self, frame: _Frame) -> None:
        """Queue a frame of what all ranks hold on the first one, and let go of it on the others."""
        carrier = self._simulation.carrier
        every = carrier.allgather(frame.shares)
        distant = [(rank, share) for rank, shares in enumerate(every) for share in shares if rank]
        if carrier.rank:
            held = [host[: share.starts[-1]] for host, share in zip(self._held(frame), frame.shares, strict=True)]
            carrier.move([Load(carrier.rank, 0, content, None) for content in held])
            self._free.put(frame.slot)
            return
        arrived = [np.empty(share.starts[-1], np.uint8) for _, share in distant]
        carrier.move([Load(rank, 0, None, room) for (rank, _), room in zip(distant, arrived, strict=True)])
        shares = [*frame.shares, *(share for _, share in distant)]
        self._work.put(replace(frame, shares=shares, arrived=arrived))

    def _held(self, frame: _Frame) -> list[npt.NDArray[np.uint8]]:
        """What each part of this process has of a frame; waits for it."""
        contents = []
        for part, ticket, buffer in zip(self._simulation.parts, frame.tickets, frame.slot.buffers, strict=True):
            part.execution.wait(ticket, self._abandoned.is_set)
            buffer.invalidate()
            assert buffer.host is not None, "readback memory is always mapped"
            contents.append(buffer.host)
        return contents

    def _make_room(self, sizes: Sequence[int]) -> None:
        if self._slots and all(b.size >= size for b, size in zip(self._slots[0].buffers, sizes, strict=True)):
            return
        self.finish()
        self._release_slots()
        self._simulation.memory.export_bytes = RING * max(sizes)
        self._simulation.memory.check()
        for number in range(RING):
            name = f"export ring {number}"
            pairs = zip(self._simulation.parts, sizes, strict=True)
            slot = _Slot([Buffer(part.device, name, size, Residence.READBACK) for part, size in pairs], {})
            self._slots.append(slot)
            self._free.put(slot)

    def _take(self) -> _Slot:
        while True:
            self.raise_pending()
            if self._cancelled():
                raise fail("cancelled", "The run was cancelled.")
            try:
                return self._free.get(timeout=0.05)
            except queue.Empty:
                continue

    def raise_pending(self) -> None:
        """Raise the error of a frame that could not be written."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Wait until every queued frame is on disk.

        Raises:
            FluidError: of a frame that could not be written, or `cancelled`.
        """
        taken = [self._take() for _ in self._slots]
        for slot in taken:
            self._free.put(slot)
        self.raise_pending()

    def _write_all(self) -> None:
        while (frame := self._work.get()) is not None:
            request = frame.request
            try:
                if not self._abandoned.is_set() and self._error is None:
                    self._write(frame)
            except FluidError as error:
                forget_locals(error)
                if error.code != "cancelled":
                    self._error = error.at(request.place)
            except Exception as error:  # a fault of ours must reach the artist, not end a thread in silence
                self._error = fail(
                    "disk-error", f'"{request.path}" could not be written: {error}.', place=request.place
                )
                self._error.__cause__ = error
            finally:
                self._free.put(frame.slot)

    def _write(self, frame: _Frame) -> None:
        contents, shares = [*self._held(frame), *frame.arrived], frame.shares
        notes = self._simulation.parts[0].status.notes
        states = [content[: share.starts[0]] for content, share in zip(contents, shares, strict=True)]
        if not all(status_clear(state, notes) for state in states):
            return  # the next look at the status says why
        values: list[Values] = []
        backgrounds = []
        for number, field in enumerate(frame.request.fields):
            raw = [
                content[slice(*share.starts[number : number + 2])].view(field.format.dtype)
                for content, share in zip(contents, shares, strict=True)
            ]
            domain = self._simulation.domain.at(field.resolution)
            held = [share.leaves for share in shares if share.leaves is not None]
            if not held:
                dense = _dense(field, domain, [share.slab for share in shares], raw)
                values.append(at_centres(dense, field.background, domain.boundary) if field.staggered else dense)
                backgrounds.append(field.background)
            else:
                leaves, outside = _leaves(field, domain, held, raw)
                staggered = at_centres_of_leaves(leaves, outside, domain.boundary) if field.staggered else leaves
                values.append(staggered)
                backgrounds.append(outside)
        assert self._bake is not None, "frames are written by the first rank"
        with self._writing(frame.request):
            size = write_frame(self._bake, self._simulation.domain, frame.request, values, backgrounds)
        self._written(frame.request, size)

    def _release_slots(self) -> None:
        for slot in self._slots:
            for encoded in chain.from_iterable(slot.encoded.values()):
                encoded.close()
            for buffer in slot.buffers:
                buffer.close()
        self._slots.clear()
        self._free = queue.Queue()

    def close(self) -> None:
        """Drop what is not yet written and release the ring."""
        self._abandoned.set()
        self._work.put(None)
        self._thread.join()
        self._simulation.idle()
        self._release_slots()


def forget_locals(error: BaseException | None) -> None:
    """Let go of the grids and arrays that the frames of a kept error would hold until the process ends."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # what failed while a failure was handled may lead back to it
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _dense(field: Field, domain: Domain, slabs: Sequence[Slab], raw: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """A field from what each part holds of it, (nx, ny, nz) or with components."""
    r, components = field.resolution, field.format.components
    _, y, z = domain.size
    shape = (y, z) if components == 1 else (y, z, components)
    planes = []
    for slab, content in zip(slabs, raw, strict=True):
        (first, count), (begin, end) = slab.held(r), slab.own(r)
        held = content[: count * y * z * components].reshape(count, *shape)
        planes.append(held[begin - first : end - first])
    return planes[0] if len(planes) == 1 else np.concatenate(planes)


def _leaves(
    field: Field,
    domain: Domain,
    held: Sequence[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]],
    raw: Sequence[npt.NDArray[Any]],
) -> tuple[LeafArray, tuple[float | int, ...]]:
    """The active leaves of a field, and the value of all others."""
    edge, components = leaf_edge(field.resolution), field.format.components
    shape = (edge, edge, edge) if components == 1 else (edge, edge, edge, components)
    size = edge**3 * components
    pools = [content[: len(content) // size * size].reshape(-1, *shape) for content in raw]
    values = np.concatenate([pool[slots] for pool, (_, slots) in zip(pools, held, strict=True)])
    outside = tuple(v.item() for v in np.atleast_1d(pools[0][0, 0, 0, 0]))
    return LeafArray(np.concatenate([coords for coords, _ in held]), values, domain.size), outside
