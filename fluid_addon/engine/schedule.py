# SPDX-License-Identifier: GPL-3.0-or-later
"""From stencils to a recording: order, the sides of buffers, and the barriers that reads and writes ask for."""

from __future__ import annotations

from collections.abc import Iterable

from ..gpu.kernel import Kernel
from ..gpu.memory import Buffer
from ..gpu.recording import Barrier, Dispatch, Recording
from .declarations import Stencil
from .domain import Domain
from .field import Field

__all__ = ["Hazards", "record_stencils"]


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


def record_stencils(
    name: str,
    stencils: Iterable[Stencil],
    kernels: dict[str, Kernel],
    fields: dict[str, Field],
    domain: Domain,
    status: Buffer,
) -> Recording:
    """A recording of stencils in their order, each as often as it iterates.

    The fields' buffers change sides while this goes: afterwards each field's front is where the recording leaves it.

    Args:
        domain: the box whose voxels the stencils run over, each at its resolution.
        status: the words in which kernels say what they noticed.
    """
    recording = Recording(name)
    hazards = Hazards()
    for stencil in stencils:
        kernel = kernels[stencil.definition.name]
        groups = kernel.groups(domain.at(stencil.resolution).address.extent(stencil.block))
        for _ in range(stencil.definition.iterations):
            bindings = {slot: _buffer(fields, slot) for slot in stencil.slots}
            reads = {slot: bindings[slot] for slot in stencil.slots if slot in stencil.read}
            writes = {slot: bindings[slot] for slot in stencil.slots if slot in stencil.written}
            barrier = hazards.barrier_before(reads, writes)
            if barrier:
                recording.commands.append(barrier)
            recording.commands.append(Dispatch(kernel, (*bindings.items(), ("status", status)), groups))
            for field_name in stencil.swaps:
                fields[field_name].swap()
    return recording


def _buffer(fields: dict[str, Field], role: str) -> Buffer:
    field = fields.get(role) or fields[role.removesuffix("_new")]
    return field.buffer(role)
