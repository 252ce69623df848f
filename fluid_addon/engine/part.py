# SPDX-License-Identifier: GPL-3.0-or-later
"""One device's part of a simulation: its planes of the domain, and the buffers and kernels over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..gpu.device import Device
from ..gpu.execution import Execution
from ..gpu.kernel import Kernel, KernelLibrary
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Copy, CopyRegions, Dispatch, Recording
from .address import DenseAddress
from .declarations import Stencil
from .domain import Domain
from .field import Field
from .leaves import BACKGROUND_SLOT, LeafBox
from .places import LEAVES_BINDINGS, Storage, leaf_edge
from .slab import Slab
from .status import Status
from .stencil import BACK_BUFFER_SUFFIX
from .topology import Topology

__all__ = ["Part", "Run"]

#: Room for dt, time, frame and 1021 parameters.
CONSTANTS_BYTES = 4096

#: What of its own planes a dispatch computes; the numbers are those of the leaf order's ranges.
Run = int
ALL, INTERIOR, LOW, HIGH = range(4)


def voxels_of_planes(domain: Domain, field: Field, planes: int) -> int:
    """Voxels of a dense field in so many of its planes along x."""
    _, y, z = domain.at(field.resolution).size
    return planes * y * z


def buffer_bytes(field: Field, voxels: int) -> int:
    """Of a buffer for so many voxels: kernels load whole words of 8 bytes, copies and fills go by words of 4."""
    return -(-voxels * field.format.bytes_per_voxel // 8) * 8


class Part:
    """A device, and what it holds of a simulation.

    Args:
        wanted: device by index, part of its name, or None.
        slab: its planes.
        cache: folder for pipeline caches, or None.
        cancelled: asked while waiting.
        careful: the device runs a command at a time, so that one that is lost names the kernel.

    Raises:
        FluidError: `no-vulkan`, `no-device`, `device-memory`, `device-lost`.
    """

    def __init__(
        self,
        domain: Domain,
        storage: Storage,
        slab: Slab,
        wanted: int | str | None,
        cache: Path | None,
        cancelled: Callable[[], bool],
        careful: bool = False,
    ) -> None:
        self.domain, self.storage, self.slab = domain, storage, slab
        self.kernels: dict[str, Kernel] = {}
        self.buffers: dict[str, list[Buffer]] = {}
        self._probe: Buffer | None = None
        self.topology: Topology | None = None
        self.overrun: Buffer | None = None
        with ExitStack() as opened:  # what is open when a later one fails is closed again
            self.device = Device(wanted)
            opened.callback(self.device.close)
            self.library = KernelLibrary(self.device, cache)
            opened.callback(self.library.close)
            self.execution = Execution(self.device, self.library, CONSTANTS_BYTES, cancelled, careful)
            opened.callback(self.execution.close)
            opened.callback(self._close_buffers)
            self.status = Status(self.device, self.execution)
            opened.callback(self.status.close)
            if storage.sparse:
                self.topology = Topology(self.device, self.execution, LeafBox(domain.size, domain.boundary))
                opened.callback(self.topology.close)
            if storage.slabs:
                self.overrun = Buffer(self.device, "halo overrun", 4)
                opened.callback(self.overrun.close)
                self.execution.repeat(self.overrun, bytes(4))
            self._opened = opened.pop_all()

    # ----- memory

    def voxels(self, field: Field) -> int:
        """That a buffer of the field has room for."""
        if self.topology is not None:
            return self.topology.capacity * leaf_edge(field.resolution) ** 3
        return voxels_of_planes(self.domain, field, self.slab.held(field.resolution)[1])

    def bytes_of(self, field: Field) -> int:
        """Of one buffer of the field."""
        return buffer_bytes(field, self.voxels(field))

    def stored(self, fields: Mapping[str, Field]) -> list[tuple[Field, int]]:
        """Which of the declared fields it stores, each in how many buffers."""
        return [(field, 1 + field.has_back) for field in fields.values()]

    def slot_bytes(self, field: Field) -> int:
        """Of one leaf of a field."""
        return int(leaf_edge(field.resolution) ** 3) * field.format.bytes_per_voxel

    @property
    def allocated(self) -> int:
        """Bytes of fields and topology that are allocated already."""
        topology = self.topology.allocated if self.topology else 0
        return topology + sum(b.allocated for buffers in self.buffers.values() for b in buffers)

    def allocate(self, field: Field) -> bool:
        """Make the buffers of a field that are not there yet. True when its first one, with no values yet, was made."""
        buffers = self.buffers.setdefault(field.name, [])
        first = not buffers
        if first:
            buffers.append(Buffer(self.device, field.name, self.bytes_of(field)))
        if field.has_back and len(buffers) == 1:
            buffers.append(Buffer(self.device, field.name + BACK_BUFFER_SUFFIX, self.bytes_of(field)))
            if self.topology is not None and not first:  # the background leaf is read on either side
                copy = Copy(buffers[0], buffers[1], self.slot_bytes(field))
                self.execution.run(Recording(f"background of {field.name}", [copy]))
        return first

    def buffer(self, field: Field, role: str | None = None) -> Buffer:
        """The buffer that `name` (by default) or `name_new` stands for at this moment."""
        sides = self.buffers[field.name]
        return sides[(field.front if role in (None, field.name) else 1 - field.front) % len(sides)]

    def regrow(self, fields: dict[str, Field]) -> None:
        """Make all buffers as large as they have to be now, and keep what they hold; nothing may be under way."""
        for name, buffers in self.buffers.items():
            size = self.bytes_of(fields[name])
            for side, old in enumerate(buffers):
                if old.size == size:
                    continue
                new = Buffer(self.device, old.name, size)
                self.execution.run(Recording(f"grow {old.name}", [Copy(old, new, min(old.size, size))]))
                buffers[side] = new
                old.close()

    def widen(self, halo: int, fields: dict[str, Field]) -> None:
        """Hold more planes, and keep what is computed here; nothing may be under way."""
        before, self.slab = self.slab, self.slab.widened(halo)
        for name, buffers in self.buffers.items() if self.topology is None else ():
            field = fields[name]
            _, y, z = self.domain.at(field.resolution).size
            plane = y * z * field.format.bytes_per_voxel
            begin, end = self.slab.own(field.resolution)
            there, here = (begin - slab.held(field.resolution)[0] for slab in (before, self.slab))
            for side, old in enumerate(buffers):
                buffers[side] = new = Buffer(self.device, old.name, self.bytes_of(field))
                copy = Copy(old, new, (end - begin) * plane, there * plane, here * plane)
                self.execution.run(Recording(f"widen {old.name}", [copy]))
                old.close()

    # ----- kernels

    def add_kernel(self, stencil: Stencil, constants: dict[int, int]) -> tuple[int, int, int]:
        """Make a stencil's kernel. Returns the workgroups of its largest dispatch."""
        name = stencil.definition.name
        self.kernels[name] = self.library.make(name, stencil.spirv, self._workgroup(stencil), constants)
        return self.groups(stencil)

    def _workgroup(self, stencil: Stencil) -> tuple[int, int, int]:
        if self.topology is not None:
            return min(64, self._invocations(stencil)), 1, 1
        return self.domain.at(stencil.resolution).address.workgroup(stencil.block)

    def _invocations(self, stencil: Stencil) -> int:
        """Of one leaf."""
        edge, block = leaf_edge(stencil.resolution), stencil.block
        return (edge // block.along_x) * edge * (edge // block.along_z)

    def groups(self, stencil: Stencil, run: Run = ALL, reach: int = 0) -> tuple[int, int, int]:
        """Workgroups of a dispatch."""
        kernel = self.kernels[stencil.definition.name]
        if self.topology is not None:
            return -(-self._invocations(stencil) // kernel.workgroup[0]), *self.topology.workgroups
        z, y, x = self.domain.at(stencil.resolution).address.extent(stencil.block)
        if self.storage.slabs:
            first, last = self.planes(stencil, run, reach)
            x = -(-(last - first) // stencil.block.along_x)
        return kernel.groups((z, y, x))

    def planes(self, stencil: Stencil, run: Run, reach: int) -> tuple[int, int]:
        """The planes of a dispatch, first and behind the last, of the stencil's resolution.

        Args:
            reach: planes of the domain at either end that are no part of the interior.
        """
        begin, end = self.slab.own(stencil.resolution)
        border = int(reach * stencil.resolution)
        low, high = min(begin + border, end), max(end - border, begin)
        if low >= high:
            low = high = end
        return {ALL: (begin, end), INTERIOR: (low, high), LOW: (begin, low), HIGH: (high, end)}[run]

    def dispatch(
        self, stencil: Stencil, fields: dict[str, Field], run: Run = ALL, reach: int = 0
    ) -> tuple[Dispatch, dict[str, Buffer]]:
        """A dispatch of a stencil over the fields as they stand, and its buffers by their roles."""
        roles = {slot: self._role(fields, slot) for slot in stencil.slots}
        bindings = [*roles.items(), ("status", self.status.buffer)]
        numbers: tuple[int, ...] = ()
        if self.topology is not None:
            topology = (self.topology.order, self.topology.records, self.topology.table)
            bindings += zip(LEAVES_BINDINGS, topology, strict=True)
            numbers = (run, 0)
        if self.overrun is not None:
            bindings.append(("halo overrun", self.overrun))
            if self.topology is None:
                numbers = self.planes(stencil, run, reach)
            numbers += self.slab.halos if run == INTERIOR else (0, 0)
            for resolution in (stencil.resolution, *stencil.others):
                numbers += self.slab.held(resolution)
        kernel = self.kernels[stencil.definition.name]
        return Dispatch(kernel, tuple(bindings), self.groups(stencil, run, reach), numbers), roles

    def _role(self, fields: dict[str, Field], role: str) -> Buffer:
        field = fields.get(role) or fields[role.removesuffix(BACK_BUFFER_SUFFIX)]
        return self.buffer(field, role)

    # ----- values

    def fill(self, field: Field, value: tuple[float | int, ...]) -> None:
        """Set every voxel, and what stands for those that are not active."""
        pattern = field.pattern(value)
        self.execution.repeat(self.buffer(field), pattern)
        if self.topology is not None and field.has_back:
            self._repeat_slot(field, self.buffer(field, field.name + BACK_BUFFER_SUFFIX), pattern)

    def _repeat_slot(self, field: Field, buffer: Buffer, pattern: bytes) -> None:
        leaf = np.frombuffer(pattern * (self.slot_bytes(field) // len(pattern)), np.uint8)
        self.execution.upload(buffer, leaf)

    def wake(self, field: Field, slots: npt.NDArray[np.int32]) -> CopyRegions:
        """What gives leaves the background."""
        size = self.slot_bytes(field)
        targets = np.asarray(slots, np.uint64) * np.uint64(size)
        regions = np.stack([np.zeros_like(targets), targets, np.full_like(targets, size)], axis=-1)
        buffer = self.buffer(field)
        return CopyRegions(buffer, buffer, regions)

    def upload(self, field: Field, values: npt.NDArray[Any]) -> None:
        """Set a field from an array over the whole domain, (nx, ny, nz) or with components; waits for it."""
        values = values.astype(field.format.dtype, copy=False)
        if self.topology is not None:
            pool = self.topology.pool
            held = np.union1d(pool.own, pool.halo)
            self.upload_leaves(
                field, pool.slots_of(held), bricks(values, pool.box.coords(held), leaf_edge(field.resolution))
            )
            return
        first, count = self.slab.held(field.resolution)
        if (first, count) != (0, len(values)):
            values = values.take(np.arange(first, first + count), 0, mode="wrap")
        self.execution.upload(self.buffer(field), values)

    def upload_leaves(self, field: Field, slots: npt.NDArray[np.int32], values: npt.NDArray[Any]) -> None:
        """Set leaves, (n, e, e, e) or with components, at their slots; waits for it."""
        self.execution.scatter(self.buffer(field), values.astype(field.format.dtype, copy=False), slots)

    def download(self, field: Field, into: npt.NDArray[Any]) -> None:
        """Copy what this part computes into an array over the whole domain, after everything submitted."""
        raw = self._bytes(self.buffer(field)).view(field.format.dtype)
        components = () if field.format.components == 1 else (field.format.components,)
        if self.topology is not None:
            edge = leaf_edge(field.resolution)
            leaves = raw[: self.topology.capacity * edge**3 * field.format.components]
            leaves = leaves.reshape(-1, edge, edge, edge, *components)
            pool = self.topology.pool
            spread(into, leaves[pool.slots_of(pool.own)], pool.box.coords(pool.own))
            return
        _, y, z = self.domain.at(field.resolution).size
        first, count = self.slab.held(field.resolution)
        begin, end = self.slab.own(field.resolution)
        planes = raw[: count * y * z * field.format.components].reshape(count, y, z, *components)
        into[begin:end] = planes[begin - first : end - first]

    def own_leaves(self, field: Field) -> npt.NDArray[Any]:
        """What a field holds in the leaves that this part computes, in their order: (n, E, E, E) or with components."""
        assert self.topology is not None, "only a sparse domain has leaves"
        raw = self._bytes(self.buffer(field)).view(field.format.dtype)
        edge, components = leaf_edge(field.resolution), field.format.components
        shape = (edge, edge, edge) if components == 1 else (edge, edge, edge, components)
        pool = self.topology.pool
        leaves = raw[: self.topology.capacity * edge**3 * components].reshape(-1, *shape)
        found: npt.NDArray[Any] = leaves[pool.slots_of(pool.own)]
        return found

    def leaves_held(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None:
        """The coordinates (n, 3) and the slots (n,) of the leaves that it computes now; None for a dense domain."""
        if self.topology is None:
            return None
        pool = self.topology.pool
        return pool.box.coords(pool.own), pool.slots_of(pool.own)

    def outside(self, field: Field) -> npt.NDArray[Any]:
        """The value of voxels that are not active, (components,)."""
        return self._voxel(field, BACKGROUND_SLOT)

    def voxel(self, field: Field, coord: tuple[int, int, int]) -> npt.NDArray[Any]:
        """The value of a voxel that this part computes, (components,), after everything submitted."""
        if self.topology is not None:
            edge, box = leaf_edge(field.resolution), self.topology.pool.box
            leaf, at = np.divmod(np.array(coord), edge)
            slot = int(self.topology.pool.slots_of(box.index(leaf[None]))[0])
            return self._voxel(field, slot * edge**3 + DenseAddress((edge, edge, edge)).index(tuple(at.tolist())))
        x, y, z = coord
        address = DenseAddress(self.domain.at(field.resolution).size)
        return self._voxel(field, address.index((x - self.slab.held(field.resolution)[0], y, z)))

    def owns(self, field: Field, x: int) -> bool:
        begin, end = self.slab.own(field.resolution)
        return begin <= x < end

    def _voxel(self, field: Field, index: int) -> npt.NDArray[Any]:
        if self._probe is None:
            self._probe = Buffer(self.device, "probe", 16, Residence.READBACK)
        size = field.format.bytes_per_voxel
        self.execution.run(Recording("read", [Copy(self.buffer(field), self._probe, size, index * size)]))
        self._probe.invalidate()
        assert self._probe.host is not None, "readback memory is always mapped"
        return np.array(self._probe.host[:size].view(field.format.dtype))

    def _bytes(self, source: Buffer) -> npt.NDArray[np.uint8]:
        host = Buffer(self.device, "readback", source.size, Residence.READBACK)
        try:
            self.execution.run(Recording("readback", [Copy(source, host, source.size)]))
            host.invalidate()
            assert host.host is not None, "readback memory is always mapped"
            return np.array(host.host)
        finally:
            host.close()

    # ----- end

    def _close_buffers(self) -> None:
        for buffer in (b for buffers in self.buffers.values() for b in buffers):
            buffer.close()
        self.buffers.clear()
        if self._probe is not None:
            self._probe.close()

    def close(self) -> None:
        """Release everything; nothing may be under way."""
        try:
            self.library.save()
        finally:
            self._opened.close()


def bricks(values: npt.NDArray[Any], leaves: npt.NDArray[np.int32], edge: int) -> npt.NDArray[Any]:
    """Leaves of an array over a whole domain, (n, edge, edge, edge) or with components; zeros beyond its ends."""
    pads = [(0, -n % edge) for n in values.shape[:3]] + [(0, 0)] * (values.ndim - 3)
    whole = np.pad(values, pads) if any(high for _, high in pads) else values
    x, y, z = (n // edge for n in whole.shape[:3])
    cubes = whole.reshape(x, edge, y, edge, z, edge, *values.shape[3:]).swapaxes(1, 2).swapaxes(3, 4).swapaxes(2, 3)
    found: npt.NDArray[Any] = cubes[leaves[:, 0], leaves[:, 1], leaves[:, 2]]
    return found


def spread(into: npt.NDArray[Any], values: npt.NDArray[Any], leaves: npt.NDArray[np.int32]) -> None:
    """Put leaves, (n, edge, edge, edge) or with components, into an array over a whole domain."""
    edge = values.shape[1]
    pads = [-n % edge for n in into.shape[:3]]
    whole = np.pad(into, [(0, p) for p in pads] + [(0, 0)] * (into.ndim - 3)) if any(pads) else into
    x, y, z = (n // edge for n in whole.shape[:3])
    cubes = whole.reshape(x, edge, y, edge, z, edge, *into.shape[3:]).swapaxes(1, 2).swapaxes(3, 4).swapaxes(2, 3)
    cubes[leaves[:, 0], leaves[:, 1], leaves[:, 2]] = values
    if whole is not into:
        into[...] = whole[: into.shape[0], : into.shape[1], : into.shape[2]]
