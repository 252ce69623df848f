# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as scripts see it: declare fields and stencils, step, look, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from ..diagnostics import FluidError, fail
from ..gpu.compiler import Compiler
from .activation import checked_rule
from .bake_exports import BakeExports
from .declarations import Declarations, shader_includes
from .device_shares import checked_count, devices_here
from .domain import Domain, parse_boundary, voxel_box
from .engine_state import ArraySink, ArraySource, restore_state, save_state
from .engine_values import EngineValues
from .environment import EngineEnvironment
from .export_choice import numbered
from .field import Value, find_field, parse_resolution
from .field_load import FieldLoads
from .grid_source import GridSource, grid_path, told_reading
from .journal import file_digest
from .kernel_source import Constants
from .pace import check_dt, check_run
from .run_plan import Planner, RunPlan
from .scene_object import declare_object
from .simulation import Simulation
from .solver import Solved, SolverDefinition
from .stencil import StencilDefinition
from .stepping import Stepping

__all__ = ["FluidEngine"]


class FluidEngine(EngineValues):
    """A simulation: fields on a domain, stencils that run in the order of their declaration.

    Args:
        domain_size: voxels along x, y, z; may be left out where a grid file gives it.
        voxel_size: world units, default 0.1.
        origin: world position of the domain's low corner, default zero.
        gpu_count: devices to use, over all processes of the run; where the machines have fewer, several logical ones
            are opened on each.
        device: index or part of the name of a Vulkan device; None takes the best.
        grid_file: `.nvdb` or `.vdb` file that places the domain and starts the fields of its grids' names.
        sparse: only active leaves are stored and computed; by default where there is a grid file.
        boundary: "open", "clamp" or "periodic", one or one per axis.
        environment: what the run around the engine gives.

    Raises:
        FluidError: `missing-option`, `bad-extent`, `bad-argument`, `grid-file-…`, `no-vulkan`, `no-device`,
            `checkpoint-mismatch`.
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
        self._source: GridSource | None = None
        self._failed: set[str] = set()
        self.guessed = False  # in a check, values were asked for that only a run knows
        rules = parse_boundary(boundary)
        if grid_file is not None:
            path = grid_path(self._environment.folder, grid_file)
            with told_reading(self._environment, path):
                self._source = GridSource(path)
            self.domain = self._source.domain(domain_size, rules)
            if voxel_size is not None or origin is not None:
                self._environment.note(
                    f'voxel_size and origin come from "{grid_file}"; the script\'s own are not used.'
                )
        elif domain_size is None:
            raise fail("missing-option", "FluidEngine.new needs domain_size.", "Write domain_size = {64, 64, 64}.")
        else:
            self.domain = Domain.box(domain_size, voxel_size, origin, rules)
        self._journal = self._environment.journal.of_engine()
        if self._source is not None and not self._environment.check:
            digest = file_digest(self._source.path)
            self._journal.same(f"file {grid_file}", digest, f'the file "{grid_file}" was changed')
        self.sparse = self._source is not None if sparse is None else sparse
        count = checked_count(self._environment, gpu_count, self.domain)
        compiler = Compiler(shader_includes(), self._environment.cache, self._environment.note)
        self._declarations = Declarations(compiler)
        wanted = self._environment.device if self._environment.device is not None else device
        self._planner = Planner(self.domain, self._declarations, compiler, wanted, count, self.sparse)
        if self._environment.check:
            self._planner.check()
        else:
            # All that can fail before there is a device to be released.
            leaves = self._source.leaves(self.domain) if self.sparse and self._source is not None else None
            compiler.prepare()
            self._simulation = Simulation(
                self.domain,
                self._declarations,
                compiler,
                devices=devices_here(self._environment, wanted, count),
                sparse=self.sparse,
                cache=self._environment.cache,
                carrier=self._environment.carrier,
                cancelled=self._environment.cancelled,
                note=self._environment.note,
                careful=self._environment.careful,
            )
            if leaves is not None and self._simulation.leaves is not None:
                self._simulation.leaves.start_from(leaves)
        self._exports = BakeExports(self._simulation, self._environment, self._journal)
        self._loads = FieldLoads(self.domain, self._simulation, self._environment)
        pending = self._exports.raise_pending
        self._stepping = Stepping(
            self.domain, self._declarations, self._simulation, self._environment, pending, self._journal
        )

    # ----- declarations

    def add_field(
        self,
        name: str,
        format: int,  # noqa: A002 - the artist's own word
        init: Value = 0.0,
        *,
        staggered: bool = False,
        resolution: float = 1.0,
    ) -> None:
        """Declare a field.

        Args:
            init: its background.
            staggered: component i lies on the low face of each voxel along axis i; for vectors of three.
            resolution: voxels along each axis for one of the domain: 1/4, 1/2, 1, 2, 3 or 4.

        Raises:
            FluidError: `bad-name`, `duplicate-name`, `unknown-format`, `bad-argument`, `not-finite`, `bad-extent`,
                `grid-mismatch`, `domain-too-large`, `device-feature`.
        """
        scale = parse_resolution(resolution)
        self.domain.check_resolution(scale)
        with self._declarations.taken_back_on_error():
            field = self._declarations.add_field(name, format, init, staggered, scale)
            grid = self._source.grid_for(field, self.domain.at(scale)) if self._source else None
            if self._simulation is not None:
                self._simulation.memory.check_field(field)
        if grid is not None and self._source is not None:
            self._loads.start(field, grid, self._source.path.name)

    def add_object(self, name: str, object: str) -> None:  # noqa: A002 - the artist's own word
        """Declare "NAME_distance" and "NAME_velocity", which follow an object of the scene.

        Raises:
            FluidError: as `add_field`, and `unknown-object`, `mesh-broken`.
        """
        made = declare_object(name, object, self.domain, self._environment, self.add_field, self.fields)
        if made is not None and self._simulation is not None:
            self._stepping.follow(made)

    def activate(
        self,
        field: str | None = None,
        *,
        above: float = 1e-3,
        below: float | None = None,
        margin: float = 1.0,
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
        default: bool = False,
    ) -> None:
        """Say which leaves of a sparse domain are active, from now on; nothing in a dense one, where all are.

        Args:
            field: leaves are awake where it differs from its background, and where that flows in the next step.
            above: a difference by more wakes leaves.
            below: a difference by less lets them sleep; default half of `above`.
            margin: leaves that are awake around; may be a part of one.
            low, high: corners of a box whose leaves are always awake, in world units along the domain's axes.
            default: this counts only as long as nothing else is said of the field.

        Raises:
            FluidError: `unknown-field`, `bad-argument`, `missing-option`, `not-finite`, `domain-too-large`.
        """
        if (low is None) != (high is None) or (field is None and low is None):
            raise fail(
                "missing-option",
                "sim:activate needs a field, or low and high.",
                'Write field = "density", or both corners of a box.',
            )
        leaves = self._simulation.leaves if self._simulation is not None else None
        if field is not None:
            rule = checked_rule(find_field(self.fields, field).name, above, below, margin)
            self._planner.rules.add(rule.field)
            if leaves is not None and default:
                leaves.defaults[rule.field] = rule
            elif leaves is not None:
                leaves.follow_field(rule)
        if low is not None and high is not None:
            box = voxel_box(self.domain, low, high)
            self._planner.boxes.append(box)
            if leaves is not None:
                leaves.keep_awake(*box)

    def add_stencil(self, definition: StencilDefinition) -> None:
        """Check and compile a stencil; nothing of it runs before all of it is right.

        Raises:
            FluidError: with every problem found, at the lines of the script.
        """
        constants = Constants(tuple(self._environment.parameters.names()))
        try:
            with self._declarations.taken_back_on_error():
                stencil = self._declarations.add_stencil(definition, constants)
                if self._simulation is not None:
                    self._simulation.prepare(stencil)
        except FluidError as error:
            if self._environment.problem is None:
                raise
            self._environment.problem(error)
            self._failed.add(definition.name)

    def add_solver(self, definition: SolverDefinition) -> None:
        """Declare a solver; it takes its place in the order of stencils. Raises as `checked_solver`."""
        with self._declarations.taken_back_on_error():
            solver = self._declarations.add_solver(definition, self.domain)
            if self._simulation is not None:
                self._simulation.add_solver(solver)

    def solved(self, name: str) -> Solved:
        """How a solver's last solve ended. Raises FluidError `unknown-stencil`."""
        self._declarations.solver(name)
        self.guessed = self.guessed or self._simulation is None
        if self._simulation is None:
            return Solved()
        solvers = self._simulation.solvers
        return Solved(**self._journal.ask(f"solved {name}", lambda: asdict(solvers.solved(name))))

    def set_enabled(self, stencil: str, enabled: bool) -> None:
        """Whether `step` runs a stencil or solver. Raises FluidError `unknown-stencil`."""
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
        self._stepping.step(dt)

    def run_stencil(self, name: str, dt: float | None = None) -> None:
        """Run one stencil by hand; time and frame stay. `dt` is what the code sees, default 0.

        Raises:
            FluidError: `unknown-stencil`, and those of `step`.
        """
        if name in self._failed:
            return
        self._declarations.entry(name)
        if dt:
            check_dt(abs(dt))
        self._stepping.run_stencil(name, dt or 0.0)

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
            substeps: steps per frame, or "auto": as many as let nothing travel more than `cfl` voxels of the field
                "velocity" in a step, by the largest length of what it stores (faces, where it is staggered), in world
                units per second; the last one lands on the frame.
            export, fields, half: as for `export_vdb`; the path has #### for the frame's number.

        Raises FluidError `bad-argument`, `unknown-field` ("auto" without a velocity), and those of `step` and exports.
        """
        check_run(self.fields, frames, fps, substeps, cfl, export)
        self._environment.observe("plan", {"frames": frames})
        for _ in range(frames):
            self._stepping.run_frame(1.0 / fps, substeps, cfl)
            if export is not None:
                self.export_vdb(numbered(export, self.frame), fields, half)

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
        request = self._exports.request(path, self.fields, fields, half, self.frame, self.time)
        if request is not None:
            self._stepping.announce_plan()
            self._exports.write(request)
            self._stepping.announce_plan()

    # ----- checkpoints

    @property
    def device(self) -> str:
        """The name of the first device; empty in a check."""
        return self._simulation.device.info.name if self._simulation is not None else ""

    @property
    def was_cut(self) -> bool:
        """Whether the script asked for more than the run's last frame."""
        return self._stepping.was_cut

    def save_state(self, prefix: str, into: ArraySink) -> dict[str, Any]:
        """Hand the arrays of this moment to a checkpoint, once all exports are on disk, and return the rest of it.

        Args:
            prefix: of the arrays' names.

        Raises:
            FluidError: of exports, `not-a-number`, `cancelled`, `device-lost`, `device-memory`, `disk-full`.
        """
        assert self._simulation is not None, "nothing is computed in a check"
        self._exports.finish()
        return save_state(self._simulation, self.fields, prefix, into)

    def restore_state(self, state: Mapping[str, Any], prefix: str, found: ArraySource) -> None:
        """Go on from what `save_state` gave. Raises FluidError `checkpoint-mismatch`, `checkpoint-corrupt`."""
        assert self._simulation is not None, "nothing is computed in a check"
        restore_state(self._simulation, self.fields, state, prefix, found)
        for each in self._stepping.objects:
            each.forget()

    # ----- what it takes

    def plan(self) -> RunPlan:
        """What a run takes of its devices and sends between them; the devices are looked up, and nothing is allocated.

        Raises:
            FluidError: `no-vulkan`, `no-device`.
        """
        return self._planner.plan(self._source)

    @property
    def exchanged(self) -> tuple[float, int] | None:
        """Seconds that were lost to the exchange of halos, and bytes that travelled; None on one device."""
        if self._simulation is None or len(self._simulation.every_part) == 1:
            return None
        return self._simulation.halos.seconds, self._simulation.halos.bytes

    def finish(self) -> None:
        """Wait until every step is computed and every export is on disk.

        Raises:
            FluidError: of an export that could not be written, `not-a-number`, `cancelled`, `device-lost`.
        """
        self._exports.finish()
        if self._simulation is not None:
            self._simulation.wait()
            self._simulation.check()

    def close(self) -> None:
        """Release the device and everything on it; exports not yet written are dropped. Closing twice does nothing."""
        self._exports.close()
        self._stepping.close()
        if self._simulation is not None:
            self._simulation.close()
            self._simulation = None
