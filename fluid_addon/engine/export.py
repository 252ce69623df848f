# SPDX-License-Identifier: GPL-3.0-or-later
"""Export while the simulation goes on: a ring of host buffers that the device fills and a thread writes to disk."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, Place, fail
from ..gpu.execution import Encoded
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Command, Copy, Recording
from ..volumes.bake import Bake, Measured
from ..volumes.grid import Grid, GridClass, GridKind
from ..volumes.leaf_array import LeafArray
from ..volumes.nanovdb_writer import write_nvdb
from ..volumes.openvdb_files import VdbFrame, VdbGrid, write_vdb
from .carrier import Load
from .domain import Domain
from .faces import at_centres, at_centres_of_leaves
from .field import Field
from .places import leaf_edge
from .simulation import Simulation
from .slab import Slab
from .status import status_clear

__all__ = ["RING", "ExportRequest", "Exporter"]

#: A field on its way to a file: all of its domain, or its active leaves.
Values: TypeAlias = npt.NDArray[Any] | LeafArray

#: Frames that may wait for the disk while the device goes on.
RING = 2


@dataclass(frozen=True)
class ExportRequest:
    """One file to write.

    Attributes:
        path: relative to the bake's folder; ends in `.vdb` or `.nvdb`.
        fields: what to write, in this order.
        half: store floats in 16 bits.
        frame: timeline frame.
        time: seconds since the start.
        place: script line that asked for it.
    """

    path: str
    fields: tuple[Field, ...]
    half: bool
    frame: int
    time: float
    place: Place | None


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
        written: told of each finished file: the request and the size in bytes. Called by the writer thread.
    """

    def __init__(
        self,
        simulation: Simulation,
        bake: Bake | None,
        written: Callable[[ExportRequest, int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._simulation, self._bake, self._written, self._cancelled = simulation, bake, written, cancelled
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


def write_frame(
    bake: Bake,
    domain: Domain,
    request: ExportRequest,
    values: Sequence[Values],
    backgrounds: Sequence[tuple[float | int, ...]],
) -> int:
    """Write one frame into a bake and its manifest; returns the size in bytes.

    Args:
        values: of each field, all of its domain or its active leaves.
        backgrounds: of each, the value of what is not active.
    """
    path, announce = bake.frame_path(request.path), bake.announcing(request.path)
    wide = [_wide(v) for v in values]
    rows = list(zip(request.fields, wide, backgrounds, strict=True))
    placed = [(f, v, _one_or_all(b), domain.at(f.resolution)) for f, v, b in rows]
    kinds: dict[str, GridKind]
    if request.path.lower().endswith(".nvdb"):
        grids = [
            Grid.from_leaves(f.name, v, on.low, on.transform, b, _grid_class(f))
            if isinstance(v, LeafArray)
            else Grid.from_dense(f.name, v, on.low, on.transform, b, _grid_class(f))
            for f, v, b, on in placed
        ]
        write_nvdb(path, grids, announce=announce)
        kinds = {grid.name: grid.kind for grid in grids}
    else:
        half = request.half
        made = [VdbGrid(f.name, v, on.low, on.transform, b, _grid_class(f), half) for f, v, b, on in placed]
        kinds = write_vdb(path, VdbFrame(made, request.frame, request.time), announce)
    measured = _measured(domain, rows)
    return bake.add_frame(request.path, time=request.time, grids=kinds, measured=measured).size


def _wide(values: Values) -> Values:
    """Halves as floats."""
    if isinstance(values, LeafArray):
        return values.with_values(values.values.astype(np.float32)) if values.values.dtype == np.float16 else values
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _measured(domain: Domain, rows: Sequence[tuple[Field, Values, tuple[float | int, ...]]]) -> Measured | None:
    """What a material has to know of a frame, taken while its values are in memory."""
    box = domain.world_box
    if not np.isfinite(box).all():  # voxels of 1e308 units
        return None
    scalars = [(field, values, background) for field, values, background in rows if field.format.components == 1]
    peaks = {
        field.name: values.peak(background[0]) if isinstance(values, LeafArray) else _peak(values)
        for field, values, background in scalars
    }
    return Measured(
        {name: peak for name, peak in peaks.items() if peak is not None},
        tuple(field.name for field, _, _ in scalars if _grid_class(field) == "level set"),
        box,
    )


def _peak(array: npt.NDArray[Any]) -> float | None:
    """The largest value that is finite, if there is one."""
    peak = array.max()
    if not np.isfinite(peak):  # one bad voxel does not hide how large the others are
        good = array[np.isfinite(array)]
        return float(good.max()) if good.size else None
    return float(peak)


def _one_or_all(background: tuple[float | int, ...]) -> Any:
    return background[0] if len(background) == 1 else background


def _grid_class(field: Field) -> GridClass:
    return "unknown" if field.format.components > 1 or not field.format.is_float else field.grid_class
