# SPDX-License-Identifier: GPL-3.0-or-later
"""The device's side of an engine: buffers of the fields, kernels of the stencils, and steps recorded once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail
from ..gpu.compiler import Compiler
from ..gpu.device import Device
from ..gpu.execution import Encoded, Execution
from ..gpu.kernel import Kernel, KernelLibrary
from ..gpu.memory import Buffer, MemoryPlan, Residence, check_plan
from ..gpu.recording import Copy, Recording
from .block import largest_block
from .declarations import Declarations, Stencil
from .domain import Domain
from .field import RESOLUTIONS, Field
from .kernel_source import other_sizes
from .nan_check import FIRST_WORD
from .reduction import Reductions
from .schedule import record_stencils
from .solver import Solver
from .solvers import Solvers
from .status import Moment, Status, Watch
from .stencil import BACK_BUFFER_SUFFIX

__all__ = ["CONSTANTS_BYTES", "Simulation"]

#: Room for dt, time, frame and 1021 parameters.
CONSTANTS_BYTES = 4096


@dataclass
class _RecordedPart:
    """Stencils that are submitted together, up to a solver or the end of a step."""

    recording: Recording
    encoded: Encoded
    fronts: dict[str, int]


class Simulation:
    """Fields and stencils on a device.

    Args:
        wanted: device by index, part of its name, or None.
        cache: folder for pipeline caches, or None.
        cancelled: asked while waiting.

    Raises:
        FluidError: `no-vulkan`, `no-device`.
    """

    def __init__(
        self,
        domain: Domain,
        declarations: Declarations,
        compiler: Compiler,
        *,
        wanted: int | str | None = None,
        cache: Path | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.domain, self._declarations = domain, declarations
        self._kernels: dict[str, Kernel] = {}
        self._steps: dict[Any, list[_RecordedPart | str]] = {}
        self._version = -1
        self._initial: dict[str, npt.NDArray[Any]] = {}
        self._probe: Buffer | None = None
        self.export_bytes = 0
        with ExitStack() as opened:  # what is open when a later part fails is closed again
            self.device = Device(wanted)
            opened.callback(self.device.close)
            info = self.device.info
            declarations.largest_blocks = {r: largest_block(info, domain.at(r).size) for r in RESOLUTIONS}
            self._library = KernelLibrary(self.device, cache)
            opened.callback(self._library.close)
            self.execution = Execution(self.device, self._library, CONSTANTS_BYTES, cancelled)
            opened.callback(self.execution.close)
            self._compiler, self._reductions = compiler, dict[Fraction, Reductions]()
            opened.callback(self._close_reductions)
            self.status = Status(self.device, self.execution)
            opened.callback(self.status.close)
            self.solvers = Solvers(self.device, self._library, self.execution, compiler)
            opened.callback(self.solvers.close)
            self._opened = opened.pop_all()

    # ----- memory

    def plan(self) -> MemoryPlan:
        """What the declared fields, back buffers and the export ring need."""
        rows = []
        for field in self._declarations.fields.values():
            size = self._field_bytes(field)
            rows.append((field.name, size, Residence.DEVICE))
            if field.has_back:
                rows.append((field.name + BACK_BUFFER_SUFFIX, size, Residence.DEVICE))
        rows += self.solvers.rows()
        if self.export_bytes:
            rows.append(("export ring", self.export_bytes, Residence.READBACK))
        return MemoryPlan(tuple(rows))

    def _field_bytes(self, field: Field) -> int:
        # Kernels load whole words of 8 bytes, copies and fills go by words of 4.
        voxels = self.domain.at(field.resolution).address.voxels
        return -(-voxels * field.format.bytes_per_voxel // 8) * 8

    def allocated_bytes(self) -> int:
        """Bytes of the plan that are allocated already."""
        fields = self._declarations.fields.values()
        return sum(b.allocated for f in fields for b in f.buffers) + self.solvers.allocated

    def check_field(self, field: Field) -> None:
        """Hold the plan and the format against the device.

        Raises:
            FluidError: `domain-too-large`, `device-feature`.
        """
        if field.format.is_half and not self.device.info.half_storage:
            message = f'"{self.device.info.name}" cannot store 16-bit floats, which "{field.name}" asks for.'
            raise fail("device-feature", message, "Use a 32-bit format.")
        self.check_memory()

    def check_memory(self) -> None:
        """Raises FluidError `domain-too-large` when the plan does not fit."""
        check_plan(self.device, self.plan(), self.allocated_bytes())

    def start_from(self, field: Field, values: npt.NDArray[Any]) -> None:
        """Let a field start from an array of its shape."""
        self._initial[field.name] = values

    def prepare(self, stencil: Stencil) -> None:
        """Make a stencil's kernel.

        Raises:
            FluidError: `device-feature` when the driver refuses it, `domain-too-large`.
        """
        domain = self.domain.at(stencil.resolution)
        address = domain.address
        workgroup = address.workgroup(stencil.block)
        groups = [-(-e // w) for e, w in zip(address.extent(stencil.block), workgroup, strict=True)]
        if any(g > m for g, m in zip(groups, self.device.info.max_groups, strict=True)):
            raise fail("domain-too-large", f'The domain has more workgroups than "{self.device.info.name}" takes.')
        self.check_memory()
        name = stencil.definition.name
        outputs = {output: output.removesuffix(BACK_BUFFER_SUFFIX) for output in stencil.definition.outputs}
        floats = {o: field for o, field in outputs.items() if self._declarations.fields[field].format.is_float}
        first = self.status.watch(Watch(stencil.definition, o, field, address) for o, field in floats.items())
        constants = domain.constants() | other_sizes(self.domain, stencil.others) | {FIRST_WORD: first}
        self._kernels[name] = self._library.make(name, stencil.spirv, workgroup, constants)

    def add_solver(self, solver: Solver) -> None:
        """Make room for a solver in the plan. Raises FluidError `domain-too-large`."""
        self.solvers.add(solver, self.domain.at(solver.unknown.resolution).size)
        self.check_memory()

    def realize(self) -> bool:
        """Allocate and fill what is declared and not yet there. True when anything was."""
        changed = False
        for field in self._declarations.fields.values():
            size = self._field_bytes(field)
            if not field.buffers:
                field.buffers.append(Buffer(self.device, field.name, size))
                initial = self._initial.pop(field.name, None)
                if initial is not None:
                    self.execution.upload(field.buffers[0], initial.astype(field.format.dtype, copy=False))
                else:
                    self.execution.repeat(field.buffers[0], field.pattern(field.background))
                changed = True
            if field.has_back and len(field.buffers) == 1:
                field.buffers.append(Buffer(self.device, field.name + BACK_BUFFER_SUFFIX, size))
                changed = True
        self.solvers.realize()
        return changed

    # ----- stepping

    def step(self, constants: bytes, moment: Moment) -> None:
        """Run every enabled stencil; returns as soon as the work is queued. Raises FluidError of earlier steps."""
        self._run(("step",), None, constants, moment)

    def run_stencil(self, name: str, constants: bytes, moment: Moment) -> None:
        """Run one stencil or solver. Raises as `step`."""
        self._run(("stencil", name), [self._declarations.entry(name)], constants, moment)

    def recording(self) -> Recording:
        """The recording of the next step's stencils, for people to read."""
        parts = [part.recording for part in self._recorded(("step",), None) if isinstance(part, _RecordedPart)]
        return Recording("step", [command for part in parts for command in part])

    def _run(
        self, key: tuple[str, ...], entries: list[Stencil | Solver] | None, constants: bytes, moment: Moment
    ) -> None:
        for part in self._recorded(key, entries):
            if isinstance(part, str):
                self.solvers.solve(part, moment.dt)
                self.status.check()  # what came before the solve is finished; NaN there is the cause, not the solve
                continue
            self.status.submit(part.encoded, constants, moment)
            for name, front in part.fronts.items():
                self._declarations.fields[name].front = front

    def _recorded(self, key: tuple[str, ...], entries: list[Stencil | Solver] | None) -> list[_RecordedPart | str]:
        """The parts of a step in order; a text is the name of a solver."""
        declarations = self._declarations
        if self._version != declarations.version:
            self._forget_steps()
            self.status.make_room()
            self.realize()
            self._version = declarations.version
        fields = declarations.fields
        fronts = {name: field.front for name, field in fields.items()}
        full_key = (key, tuple(fronts.values()))
        if full_key not in self._steps:
            parts: list[_RecordedPart | str] = []
            for is_solver, group in groupby(
                declarations.steps() if entries is None else entries, lambda entry: isinstance(entry, Solver)
            ):
                if is_solver:
                    parts += [entry.definition.name for entry in group]
                    continue
                stencils = [entry for entry in group if isinstance(entry, Stencil)]
                recording = record_stencils(
                    " ".join(key), stencils, self._kernels, fields, self.domain, self.status.buffer
                )
                after = {name: field.front for name, field in fields.items()}
                parts.append(_RecordedPart(recording, self.execution.encode(recording), after))
            for name, front in fronts.items():
                fields[name].front = front
            self._steps[full_key] = parts
        return self._steps[full_key]

    def _forget_steps(self) -> None:
        if self._steps:
            self.execution.idle()
        for part in chain.from_iterable(self._steps.values()):
            if isinstance(part, _RecordedPart):
                part.encoded.close()
        self._steps.clear()

    # ----- values

    def reduce(self, field: Field, operation: str) -> tuple[float | int, ...]:
        self.realize()
        resolution = field.resolution
        if resolution not in self._reductions:
            domain = self.domain.at(resolution)
            made = Reductions(self.device, self._library, self.execution, self._compiler, domain)
            self._reductions[resolution] = made
        values = self._reductions[resolution](field, operation)
        self.status.check()
        return values

    def _close_reductions(self) -> None:
        for reductions in self._reductions.values():
            reductions.close()

    def read(self, field: Field, coord: tuple[int, int, int]) -> tuple[float | int, ...]:
        """The value of one voxel, after everything submitted."""
        self.realize()
        if self._probe is None:
            self._probe = Buffer(self.device, "probe", 16, Residence.READBACK)
        size = field.format.bytes_per_voxel
        offset = self.domain.at(field.resolution).address.index(coord) * size
        self.execution.run(Recording("read", [Copy(field.buffer(field.name), self._probe, size, offset)]))
        self.status.check()
        self._probe.invalidate()
        assert self._probe.host is not None, "readback memory is always mapped"
        return tuple(v.item() for v in self._probe.host[:size].view(field.format.dtype))

    def fill(self, field: Field, value: tuple[float | int, ...]) -> None:
        """Set every voxel of a field."""
        self.realize()
        self.execution.repeat(field.buffer(field.name), field.pattern(value))

    def write(self, field: Field, values: npt.NDArray[Any]) -> None:
        """Set a field from an array of its shape, after everything submitted; waits for it."""
        self.realize()
        self.execution.upload(field.buffer(field.name), values.astype(field.format.dtype, copy=False))

    def array(self, field: Field) -> npt.NDArray[Any]:
        """A copy of a field, shape (nx, ny, nz) or (nx, ny, nz, components)."""
        self.realize()
        source = field.buffer(field.name)
        host = Buffer(self.device, "readback", source.size, Residence.READBACK)
        try:
            self.execution.run(Recording("readback", [Copy(source, host, source.size)]))
            self.status.check()
            host.invalidate()
            assert host.host is not None, "readback memory is always mapped"
            address = self.domain.at(field.resolution).address
            raw = np.array(host.host[: address.voxels * field.format.bytes_per_voxel])
            return address.to_array(raw, field.format.dtype, field.format.components)
        finally:
            host.close()

    def close(self) -> None:
        """Wait for the device and release everything."""
        self.execution.idle()
        self._forget_steps()
        for field in self._declarations.fields.values():
            for buffer in field.buffers:
                buffer.close()
            field.buffers.clear()
        if self._probe is not None:
            self._probe.close()
        self._library.save()
        self._opened.close()
