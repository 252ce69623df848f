# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as scripts see it: declare fields and stencils, step, look, export."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, fail
from ..gpu.compiler import Compiler
from ..volumes.export_path import checked_export_path, timeline_frame
from .declarations import Declarations, shader_includes
from .domain import Domain, parse_boundary
from .environment import EngineEnvironment
from .export import Exporter, ExportRequest
from .export_choice import exportable, numbered
from .field import Field, Value, check_value, find_field
from .grid_source import GridSource, grid_path
from .kernel_source import Constants
from .pace import MAX_SUBSTEPS, Pace, check_run
from .reduction import OPERATIONS, check_operation
from .simulation import CONSTANTS_BYTES, Simulation
from .stencil import StencilDefinition

__all__ = ["FluidEngine"]

_FIXED = struct.Struct("<ffif")


class FluidEngine:
    """A simulation: fields on a domain, stencils that run in the order of their declaration.

    Args:
        domain_size: voxels along x, y, z; may be left out where a grid file gives it.
        voxel_size: world units, default 0.1.
        origin: world position of the domain's low corner, default zero.
        gpu_count: devices to use; more than one runs on one for now, and the run says so.
        device: index or part of the name of a Vulkan device; None takes the best.
        grid_file: `.nvdb` or `.vdb` file that places the domain and starts the fields of its grids' names.
        sparse: for now a domain is dense either way, and the run says so.
        boundary: "open", "clamp" or "periodic", one or one per axis.
        environment: what the run around the engine gives.

    Raises:
        FluidError: `missing-option`, `bad-extent`, `bad-argument`, `grid-file-…`, `no-vulkan`, `no-device`.
    """

    def __init__(
        self,
        *,
        domain_size: Sequence[int] | None = None,
        voxel_size: float | None = None,
        origin: Sequence[float] | None = None,
        gpu_count: int | None = None,
        device: int | str | None = None,
        grid_file: str | None = None,
        sparse: bool | None = None,
        boundary: str | Sequence[str] | None = None,
        environment: EngineEnvironment | None = None,
    ) -> None:
        self._environment = environment or EngineEnvironment()
        self._simulation: Simulation | None = None
        self._exporter: Exporter | None = None
        self._source: GridSource | None = None
        self._frame, self._time = 0, 0.0
        self._failed: set[str] = set()
        self.guessed = False  # in a check, values were asked for that only a run knows
        self._announced: tuple[int, int] | None = None
        rules = parse_boundary(boundary)
        if grid_file is not None:
            self._source = GridSource(grid_path(self._environment.folder, grid_file))
            self.domain = self._source.domain(domain_size, rules)
            if voxel_size is not None or origin is not None:
                self._environment.note(
                    f'voxel_size and origin come from "{grid_file}"; the script\'s own are not used.'
                )
        elif domain_size is None:
            raise fail("missing-option", "FluidEngine.new needs domain_size.", "Write domain_size = {64, 64, 64}.")
        else:
            self.domain = Domain.box(domain_size, voxel_size, origin, rules)
        self._say_what_is_degraded(gpu_count, sparse)
        compiler = Compiler(shader_includes(), self._environment.cache)
        self._declarations = Declarations(compiler)
        if not self._environment.check:
            wanted = self._environment.device if self._environment.device is not None else device
            cache, cancelled = self._environment.cache, self._environment.cancelled
            self._simulation = Simulation(
                self.domain, self._declarations, compiler, wanted=wanted, cache=cache, cancelled=cancelled
            )

    def _say_what_is_degraded(self, gpu_count: int | None, sparse: bool | None) -> None:
        environment = self._environment
        wanted = environment.gpu_count if environment.gpu_count is not None else gpu_count
        if wanted is not None and wanted < 1:
            raise fail("bad-argument", f'"gpu_count" is {wanted}; it is at least 1.')
        if wanted is not None and wanted > 1:
            environment.note(f"gpu_count = {wanted}: this version runs on one device; the results are the same.")
        if sparse or (sparse is None and self._source is not None):
            environment.note("sparse: this version computes every voxel of the domain; the results are the same.")

    # ----- declarations

    @property
    def frame(self) -> int:
        """Frames computed so far."""
        return self._frame

    @property
    def time(self) -> float:
        """Seconds simulated so far."""
        return self._time

    @property
    def fields(self) -> dict[str, Field]:
        """The declared fields by name."""
        return self._declarations.fields

    def add_field(self, name: str, format: int, init: Value = 0.0) -> None:  # noqa: A002 - the artist's own word
        """Declare a field; `init` is its background.

        Raises:
            FluidError: `bad-name`, `duplicate-name`, `unknown-format`, `bad-argument`, `not-finite`, `grid-mismatch`,
                `domain-too-large`, `device-feature`.
        """
        field = self._declarations.add_field(name, format, init)
        values = self._source.values(field, self.domain) if self._source else None
        if self._simulation is not None:
            self._simulation.check_field(field)
            if values is not None:
                self._simulation.start_from(field, values)

    def add_stencil(self, definition: StencilDefinition) -> None:
        """Check and compile a stencil; nothing of it runs before all of it is right.

        Raises:
            FluidError: with every problem found, at the lines of the script.
        """
        constants = Constants(tuple(self._environment.parameters.names()))
        try:
            stencil = self._declarations.add_stencil(definition, constants)
            if self._simulation is not None:
                self._simulation.prepare(stencil)
        except FluidError as error:
            if self._environment.problem is None:
                raise
            self._environment.problem(error.at(self._environment.place()))
            self._failed.add(definition.name)

    def set_enabled(self, stencil: str, enabled: bool) -> None:
        """Whether `step` runs a stencil. Raises FluidError `unknown-stencil`."""
        if stencil not in self._failed:
            self._declarations.set_enabled(stencil, enabled)

    # ----- stepping

    def step(self, dt: float) -> None:
        """Run every enabled stencil once (each as often as it iterates) and count one frame.

        Args:
            dt: seconds, above 0.

        Raises:
            FluidError: `bad-argument`, `cancelled`, `device-lost`, or the error of an export under way.
        """
        self._check_dt(dt)
        self._advance(dt, self._frame + 1)
        self._frame += 1
        self._tell_step()

    def run_stencil(self, name: str, dt: float | None = None) -> None:
        """Run one stencil by hand; time and frame stay. `dt` is what the code sees, default 0."""
        if name in self._failed:
            return
        self._declarations.stencil(name)
        if self._simulation is not None and not self._after_last(self._frame + 1):
            self._raise_pending()
            self._announce_plan()
            self._simulation.run_stencil(name, self._constants(dt or 0.0, max(self._frame, 1)))

    def run(
        self,
        *,
        frames: int,
        fps: float = 24.0,
        substeps: int | Literal["auto"] = 1,
        cfl: float = 3.0,
        export: str | None = None,
        fields: Sequence[str] | None = None,
        half: bool = False,
    ) -> None:
        """Compute frames, each 1/fps seconds long, and export each.

        Args:
            substeps: steps per frame, or "auto": as many as let nothing travel more than `cfl` voxels in a step, by
                the largest length of the field "velocity" in world units per second; the last one lands on the frame.
            export, fields, half: as for `export_vdb`; the path has #### for the frame's number.

        Raises FluidError `bad-argument`, `unknown-field` ("auto" without a velocity), and those of `step` and exports.
        """
        check_run(self.fields, frames, fps, substeps, cfl, export)
        self._environment.observe("plan", {"frames": frames})
        for _ in range(frames):
            number, end = self._frame + 1, self._time + 1.0 / fps
            self._run_frame(1.0 / fps, substeps, cfl, number)
            self._time, self._frame = end, number
            self._tell_step()
            if export is not None:
                self.export_vdb(numbered(export, number), fields, half)

    def _run_frame(self, seconds: float, substeps: int | Literal["auto"], cfl: float, number: int) -> None:
        if substeps != "auto":
            for _ in range(substeps):
                self._advance(seconds / substeps, number)
            return
        for dt in self._adaptive(seconds, cfl, number):
            self._advance(dt, number)

    def _adaptive(self, seconds: float, cfl: float, frame: int) -> Iterator[float]:
        """Step lengths that land on the frame, each chosen when the ones before it are computed."""
        pace = Pace(seconds, cfl, self.domain.voxel_size)
        while pace.left > 0:
            speed = 0.0
            if self._simulation is not None and not self._after_last(frame):
                (speed,) = self._simulation.reduce(self.fields["velocity"], "length")
            yield pace.next_step(speed, frame)
        if pace.exceeded:
            self._environment.note(f"Frame {frame} would need over {MAX_SUBSTEPS} substeps; its last step is longer.")

    def _check_dt(self, dt: float) -> None:
        if not (dt > 0 and math.isfinite(dt)):
            raise fail("bad-argument", f'"dt" is {dt:g}; it is a number of seconds above 0.', "Write sim:step(1/24).")

    def _after_last(self, frame: int) -> bool:
        last = self._environment.last_frame
        return last is not None and frame > last

    def _advance(self, dt: float, frame: int) -> None:
        if self._simulation is not None and not self._after_last(frame):
            if self._environment.cancelled():
                raise fail("cancelled", "The run was cancelled.")
            self._raise_pending()
            self._announce_plan()
            self._simulation.step(self._constants(dt, frame))
        self._time += dt

    def _constants(self, dt: float, frame: int) -> bytes:
        parameters = self._environment.parameters
        names = parameters.names()
        values = [parameters.value_at(name, frame) for name, _ in names]
        kinds = "".join("I" if is_bool else "f" for _, is_bool in names)
        packed = _FIXED.pack(dt, self._time, frame, self.domain.voxel_size) + struct.pack("<" + kinds, *values)
        if len(packed) > CONSTANTS_BYTES:
            raise fail("bad-argument", f"A script declares at most {(CONSTANTS_BYTES - _FIXED.size) // 4} parameters.")
        return packed

    def _announce_plan(self) -> None:
        if self._simulation is None:
            return
        state = (self._declarations.version, self._simulation.export_bytes)
        if state != self._announced:
            self._announced = state
            self._simulation.check_memory()
            plan = self._simulation.plan()
            details = {"table": plan.table(), "bytes": plan.total(), "device": self._simulation.device.info.name}
            self._environment.observe("memory", details)

    def _tell_step(self) -> None:
        if not self._after_last(self._frame):
            details = {"frame": self._frame, "time": self._time, "voxels": self.domain.address.voxels}
            self._environment.observe("step", details)

    # ----- values

    def reduce(self, field: str, op: str) -> float | int | tuple[float | int, ...]:
        """One number for a whole field: "sum", "min", "max" (by component) or "norm" (over all components).

        Raises:
            FluidError: `unknown-field`, `bad-argument`.
        """
        found = find_field(self.fields, field)
        check_operation(op)
        if self._simulation is not None:
            values = self._simulation.reduce(found, op)
        else:  # in a check a field is what it was at its start
            self.guessed = True
            scale = self.domain.address.voxels if op == "sum" else 1
            values = tuple(v * scale for v in found.background)
            values = (math.hypot(*values),) if OPERATIONS[op].root else values
        return values[0] if len(values) == 1 else values

    def read(self, field: str, coord: Sequence[int]) -> float | int | tuple[float | int, ...]:
        """The value of one voxel.

        Raises:
            FluidError: `unknown-field`, `bad-argument` for a coordinate outside the domain.
        """
        found = find_field(self.fields, field)
        if len(coord) != 3 or any(int(c) != c or not 0 <= c < n for c, n in zip(coord, self.domain.size, strict=True)):
            given = ", ".join(f"{c:g}" for c in coord)
            size = ", ".join(str(n) for n in self.domain.size)
            raise fail(
                "bad-argument", f"There is no voxel {{{given}}} in a domain of {{{size}}}.", "Voxels count from 0."
            )
        x, y, z = (int(c) for c in coord)
        self.guessed = self.guessed or self._simulation is None
        values = self._simulation.read(found, (x, y, z)) if self._simulation else found.background
        return values[0] if len(values) == 1 else values

    def fill(self, field: str, value: Value) -> None:
        """Set every voxel of a field. Raises FluidError `unknown-field`, `bad-argument`, `not-finite`."""
        found = find_field(self.fields, field)
        parts = check_value(field, found.format, value)
        if self._simulation is not None:
            self._announce_plan()
            self._simulation.fill(found, parts)

    def array(self, field: str) -> npt.NDArray[Any]:
        """A copy of a field as numpy sees it, shape (nx, ny, nz) or (nx, ny, nz, components); background in a check."""
        found = find_field(self.fields, field)
        if self._simulation is not None:
            return self._simulation.array(found)
        shape = self.domain.address.shape(found.format.components)
        return np.broadcast_to(np.array(found.background, found.format.dtype), shape).copy()

    # ----- export

    def export_vdb(self, path: str, fields: Sequence[str] | None = None, half: bool = False) -> None:
        """Write fields as an OpenVDB frame into the bake's folder; the simulation goes on meanwhile.

        Args:
            path: relative to the bake's folder; the number at the end of the name is its timeline frame.
            fields: names; None takes every field that VDB can hold.
            half: store floats in 16 bits.

        Raises:
            FluidError: `export-path`, `unknown-field`, `export-field`, and those of exports under way.
        """
        self._export(path, ".vdb", fields, half)

    def export_nvdb(self, path: str, fields: Sequence[str] | None = None) -> None:
        """Write fields as a NanoVDB file into the bake's folder. Raises as `export_vdb`."""
        self._export(path, ".nvdb", fields, False)

    def _export(self, path: str, suffix: str, fields: Sequence[str] | None, half: bool) -> None:
        if not path.lower().endswith(suffix):
            raise fail("export-path", f'"{path}" does not end in "{suffix}".', f'Write "{path}{suffix}".')
        chosen = exportable(self.fields, fields)
        checked_export_path(path)
        frame = timeline_frame(path)
        frame = self._frame if frame is None else frame
        environment = self._environment
        first, last = environment.first_frame, environment.last_frame
        outside = (first is not None and frame < first) or (last is not None and frame > last)
        if self._simulation is None or outside:
            return
        if environment.open_bake is None:
            raise fail("export-path", "This engine has no bake folder to export into.")
        self._announce_plan()
        self._simulation.realize()
        if self._exporter is None:
            bake = environment.open_bake(self._simulation.device.info.name)
            self._exporter = Exporter(self._simulation, bake, self._written, environment.cancelled)
        request = ExportRequest(path, tuple(chosen), half, frame, self._time, environment.place())
        self._exporter.export(request)
        self._announce_plan()

    def _written(self, request: ExportRequest, size: int) -> None:
        self._environment.observe("export", {"path": request.path, "frame": request.frame, "bytes": size})

    def _raise_pending(self) -> None:
        if self._exporter is not None:
            self._exporter.raise_pending()

    # ----- end

    def finish(self) -> None:
        """Wait until every step is computed and every export is on disk.

        Raises:
            FluidError: of an export that could not be written, `cancelled`, `device-lost`.
        """
        if self._exporter is not None:
            self._exporter.finish()
        if self._simulation is not None:
            self._simulation.execution.wait_all()

    def close(self) -> None:
        """Release the device and everything on it; exports not yet written are dropped. Closing twice does nothing."""
        if self._exporter is not None:
            self._exporter.close()
            self._exporter = None
        if self._simulation is not None:
            self._simulation.close()
            self._simulation = None
