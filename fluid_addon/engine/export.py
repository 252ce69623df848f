# SPDX-License-Identifier: GPL-3.0-or-later
"""Export while the simulation goes on: a ring of host buffers that the device fills and a thread writes to disk."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, Place, fail
from ..gpu.execution import Encoded
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Copy, Recording
from ..volumes.bake import Bake, Measured
from ..volumes.grid import Grid, GridClass, GridKind
from ..volumes.nanovdb_writer import write_nvdb
from ..volumes.openvdb_files import VdbFrame, VdbGrid, write_vdb
from .domain import Domain
from .faces import at_centres
from .field import Field
from .simulation import Simulation
from .status import status_clear

__all__ = ["RING", "ExportRequest", "Exporter"]

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
    buffer: Buffer
    encoded: dict[tuple[int, ...], Encoded]


class Exporter:
    """The export ring of one simulation.

    Args:
        written: told of each finished file: the request and the size in bytes. Called by the writer thread.
    """

    def __init__(
        self,
        simulation: Simulation,
        bake: Bake,
        written: Callable[[ExportRequest, int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._simulation, self._bake, self._written, self._cancelled = simulation, bake, written, cancelled
        self._slots: list[_Slot] = []
        self._free: queue.Queue[_Slot] = queue.Queue()
        self._work: queue.Queue[tuple[ExportRequest, _Slot, int, int] | None] = queue.Queue()
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
        sizes = [f.buffer(f.name).size for f in request.fields]
        status = self._simulation.status.buffer
        self._make_room(sum(sizes) + status.size)
        slot = self._take()
        key = (id(status), *(id(f.buffer(f.name)) for f in request.fields))
        if key not in slot.encoded:
            copies, offset = [Copy(status, slot.buffer, status.size)], status.size
            for field, size in zip(request.fields, sizes, strict=True):
                copies.append(Copy(field.buffer(field.name), slot.buffer, size, target_offset=offset))
                offset += size
            slot.encoded[key] = self._simulation.execution.encode(Recording("export", list(copies)))
        ticket = self._simulation.execution.submit(slot.encoded[key])
        self._work.put((request, slot, ticket, status.size))

    def _make_room(self, size: int) -> None:
        if self._slots and self._slots[0].buffer.size >= size:
            return
        self.finish()
        self._release_slots()
        self._simulation.export_bytes = RING * size
        self._simulation.check_memory()
        for number in range(RING):
            buffer = Buffer(self._simulation.device, f"export ring {number}", size, Residence.READBACK)
            slot = _Slot(buffer, {})
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
        while (item := self._work.get()) is not None:
            request, slot, ticket, fields_at = item
            try:
                if not self._abandoned.is_set() and self._error is None:
                    self._simulation.execution.wait(ticket, self._abandoned.is_set)
                    slot.buffer.invalidate()
                    self._write(request, slot.buffer, fields_at)
            except FluidError as error:
                _forget_locals(error)
                if error.code != "cancelled":
                    self._error = error.at(request.place)
            except Exception as error:  # a fault of ours must reach the artist, not end a thread in silence
                self._error = fail(
                    "disk-error", f'"{request.path}" could not be written: {error}.', place=request.place
                )
                self._error.__cause__ = error
            finally:
                self._free.put(slot)

    def _write(self, request: ExportRequest, buffer: Buffer, fields_at: int) -> None:
        """Write the fields that begin at `fields_at`, behind the status words."""
        assert buffer.host is not None, "readback memory is always mapped"
        if not status_clear(buffer.host[:fields_at]):
            return  # the next look at the status says why
        offset, arrays = fields_at, []
        for field in request.fields:
            domain = self._simulation.domain.at(field.resolution)
            size = domain.address.voxels * field.format.bytes_per_voxel
            raw = buffer.host[offset : offset + size]
            values = domain.address.to_array(raw, field.format.dtype, field.format.components)
            arrays.append(at_centres(values, field.background, domain.boundary) if field.staggered else values)
            offset += field.buffer(field.name).size
        size = write_frame(self._bake, self._simulation.domain, request, arrays)
        self._written(request, size)

    def _release_slots(self) -> None:
        for slot in self._slots:
            for encoded in slot.encoded.values():
                encoded.close()
            slot.buffer.close()
        self._slots.clear()
        self._free = queue.Queue()

    def close(self) -> None:
        """Drop what is not yet written and release the ring."""
        self._abandoned.set()
        self._work.put(None)
        self._thread.join()
        self._simulation.execution.idle()
        self._release_slots()


def _forget_locals(error: BaseException | None) -> None:
    """Let go of the grids and arrays that the frames of a kept error would hold until the process ends."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def write_frame(bake: Bake, domain: Domain, request: ExportRequest, arrays: Sequence[npt.NDArray[Any]]) -> int:
    """Write one frame into a bake and its manifest; returns the size in bytes."""
    path = bake.frame_path(request.path)
    wide = [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]
    pairs = list(zip(request.fields, wide, strict=True))
    placed = [(field, array, domain.at(field.resolution)) for field, array in pairs]
    kinds: dict[str, GridKind]
    if request.path.lower().endswith(".nvdb"):
        grids = [
            Grid.from_dense(f.name, a, on.low, on.transform, _background(f), _grid_class(f)) for f, a, on in placed
        ]
        write_nvdb(path, grids)
        kinds = {grid.name: grid.kind for grid in grids}
    else:
        half = request.half
        made = [VdbGrid(f.name, a, on.low, on.transform, _background(f), _grid_class(f), half) for f, a, on in placed]
        kinds = write_vdb(path, VdbFrame(made, request.frame, request.time))
    return bake.add_frame(request.path, time=request.time, grids=kinds, measured=_measured(domain, pairs)).size


def _measured(domain: Domain, pairs: Sequence[tuple[Field, npt.NDArray[Any]]]) -> Measured | None:
    """What a material has to know of a frame, taken while its values are in memory."""
    box = domain.world_box
    if not np.isfinite(box).all():  # voxels of 1e308 units
        return None
    scalars = [(field, array) for field, array in pairs if field.format.components == 1]
    peaks = {field.name: _peak(array) for field, array in scalars}
    return Measured(
        {name: peak for name, peak in peaks.items() if peak is not None},
        tuple(field.name for field, _ in scalars if _grid_class(field) == "level set"),
        box,
    )


def _peak(array: npt.NDArray[Any]) -> float | None:
    """The largest value that is finite, if there is one."""
    peak = array.max()
    if not np.isfinite(peak):  # one bad voxel does not hide how large the others are
        good = array[np.isfinite(array)]
        return float(good.max()) if good.size else None
    return float(peak)


def _background(field: Field) -> Any:
    return field.background[0] if len(field.background) == 1 else field.background


def _grid_class(field: Field) -> GridClass:
    return "unknown" if field.format.components > 1 or not field.format.is_float else field.grid_class
