# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of an engine: frames and seconds, and the steps that move them on."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Literal

from ..diagnostics import FluidError, fail
from .declarations import Declarations
from .domain import Domain
from .environment import EngineEnvironment
from .journal import EngineJournal
from .pace import LARGEST, MAX_SUBSTEPS, Pace, check_dt
from .scene_object import SceneObject
from .simulation import CONSTANTS_BYTES, Simulation
from .status import Moment

__all__ = ["Stepping"]

#: What a frame is taken to last before the first step has said so.
DEFAULT_FRAME_SECONDS = 1 / 24

_FIXED = struct.Struct("<ffi")


class Stepping:
    """Steps of one engine.

    Args:
        simulation: None in a check, where only the clock goes on.
        raise_pending: raises what went wrong meanwhile, before anything more is computed.
        journal: answers in place of the simulation while a run resumes.

    Attributes:
        frame: frames computed so far.
        time: seconds simulated so far.
        objects: those of the scene that are to follow the clock.
        was_cut: the script asked for more than the run's last frame.
    """

    def __init__(
        self,
        domain: Domain,
        declarations: Declarations,
        simulation: Simulation | None,
        environment: EngineEnvironment,
        raise_pending: Callable[[], None],
        journal: EngineJournal,
    ) -> None:
        self._domain, self._declarations, self._simulation = domain, declarations, simulation
        self._environment, self._raise_pending, self._journal = environment, raise_pending, journal
        self._announced: tuple[int, ...] | None = None
        self._told: dict[str, int] = {}  # solvers whose last solve was noted, and in which frame
        self.frame, self.time = 0, 0.0
        self._steps = 0
        self._asleep = False  # whether it was noted that nothing is active
        self.objects: list[SceneObject] = []
        self.was_cut = False

    def step(self, dt: float) -> None:
        """One step that is a frame. Raises FluidError `bad-argument`, `cancelled`, `device-lost`."""
        check_dt(dt)
        self._advance(dt, self.frame + 1, 1.0, dt)
        self.frame += 1
        self._tell_step()

    def run_frame(self, seconds: float, substeps: int | Literal["auto"], cfl: float) -> None:
        """The steps of one frame, which lasts `seconds`. Raises as `step`, and `not-finite`."""
        number, end = self.frame + 1, self.time + seconds
        if substeps == "auto":
            passed = 0.0
            for dt in self._adaptive(seconds, cfl, number):
                passed += dt
                self._advance(dt, number, min(1.0, passed / seconds), seconds)
        else:
            for done in range(substeps):
                self._advance(seconds / substeps, number, (done + 1) / substeps, seconds)
        self.time, self.frame = end, number
        self._tell_step()

    def run_stencil(self, name: str, dt: float) -> None:
        """Run one stencil; the clock stays."""
        if self._computes(self.frame + 1):
            self._journal.ask(f"run_stencil {name} {dt!r}", partial(self._run_stencil, name, dt))

    def _run_stencil(self, name: str, dt: float) -> None:
        constants = self._constants(dt, max(self.frame, 1))
        self._ready().run_stencil(name, constants, Moment(self.frame, dt=dt))

    def follow(self, scene_object: SceneObject) -> None:
        """Show an object in the frame that comes next, and from then on before each step."""
        if self._simulation is not None:
            if not self._journal.is_replaying:
                scene_object.follow(self._simulation, self.frame + 1, 1.0, DEFAULT_FRAME_SECONDS)
            self.objects.append(scene_object)

    def announce_plan(self) -> None:
        """Say what memory the engine takes, where that changed. Raises FluidError `domain-too-large`."""
        if self._simulation is None or self._journal.is_replaying:
            return
        memory = self._simulation.memory
        if self._simulation.leaves is not None:
            self._simulation.leaves.begin()
        state = (self._declarations.version, memory.export_bytes, *memory.magnitudes)
        if state != self._announced:
            self._announced = state
            memory.check()
            self._environment.observe("memory", memory.told())

    def close(self) -> None:
        """Compute nothing any more."""
        self._simulation = None

    def _computes(self, frame: int) -> bool:
        """Whether anything of that frame is to be computed, or was by the run that goes on."""
        if self._simulation is None:
            return False
        self.was_cut = self.was_cut or self._after_last(frame)
        return not self._after_last(frame)

    def _ready(self) -> Simulation:
        """What computes, once nothing stands against it."""
        assert self._simulation is not None, "or nothing would be computed"
        if self._environment.cancelled():
            raise fail("cancelled", "The run was cancelled.")
        self._raise_pending()
        self.announce_plan()
        return self._simulation

    @property
    def is_over(self) -> bool:
        """Whether the next frame lies behind the last one that the run computes."""
        return self._after_last(self.frame + 1)

    def _after_last(self, frame: int) -> bool:
        last = self._environment.last_frame
        return last is not None and frame > last

    def _advance(self, dt: float, frame: int, part: float, seconds: float) -> None:
        """A step, after which `part` of the frame, which lasts `seconds`, has passed."""
        if self._computes(frame):
            for each in self.objects:
                what = f'the object "{each.name}" is another one in frame {frame}'
                self._journal.same(f"object {each.name} in {frame}", each.digest(frame), what)
            self._journal.ask(f"step {frame} {dt!r}", partial(self._compute, dt, frame, part, seconds))
        self._steps += 1
        self.time += dt

    def _compute(self, dt: float, frame: int, part: float, seconds: float) -> None:
        simulation = self._ready()
        for each in self.objects:
            each.follow(simulation, frame, part, seconds)
        try:
            simulation.step(self._constants(dt, frame), Moment(frame, self._steps + 1, dt))
        except FluidError as error:
            raise _with_frame(error, frame) from error.__cause__
        self._tell_unsolved(simulation, frame)
        self._tell_asleep(simulation)

    def _adaptive(self, seconds: float, cfl: float, frame: int) -> Iterator[float]:
        """Step lengths that land on the frame, each chosen when the ones before it are computed."""
        velocity = self._declarations.fields["velocity"]
        pace = Pace(seconds, cfl, self._domain.at(velocity.resolution).voxel_size)
        while pace.left > 0:
            speed = 0.0
            simulation = self._simulation
            if simulation is not None and self._computes(frame):
                (speed,) = self._journal.ask("fastest", partial(simulation.reduce, velocity, "length"))
            yield pace.next_step(speed, frame)
        if pace.exceeded:
            self._environment.note(f"Frame {frame} would need over {MAX_SUBSTEPS} substeps; its last step is longer.")

    def _constants(self, dt: float, frame: int) -> bytes:
        parameters = self._environment.parameters
        names = parameters.names()
        values = [parameters.value_at(name, frame) for name, _ in names]
        kinds = "".join("I" if is_bool else "f" for _, is_bool in names)
        try:
            packed = _FIXED.pack(dt, self.time, frame) + struct.pack("<" + kinds, *values)
        except OverflowError as error:
            named = [("time", self.time), *zip([f"params.{name}" for name, _ in names], values, strict=True)]
            large = [f'"{name}" is {value:g}' for name, value in named if abs(value) > LARGEST]
            raise fail("bad-argument", f"{large[0]}; kernels hold numbers up to {LARGEST:.2g}.") from error
        if len(packed) > CONSTANTS_BYTES:
            raise fail("bad-argument", f"A script declares at most {(CONSTANTS_BYTES - _FIXED.size) // 4} parameters.")
        return packed

    def _tell_unsolved(self, simulation: Simulation, frame: int) -> None:
        """A note for each solver that stopped before its tolerance, once a frame."""
        for name, solved in simulation.solvers.unsolved().items():
            if self._told.get(name) != frame:
                self._told[name] = frame
                cycles = f"{solved.iterations} cycle{'s' * (solved.iterations != 1)}"
                text = (
                    f'Frame {frame}: "{name}" did not converge; its residual is {solved.residual:.2g} after {cycles}.'
                )
                self._environment.note(text)

    def _tell_asleep(self, simulation: Simulation) -> None:
        """A note, once, where a sparse domain has no leaf that anything could come from."""
        if simulation.leaves is None or len(simulation.leaves.active) or self._asleep:
            return
        self._asleep = True
        self._environment.note(
            "No leaf is active, so nothing is computed: sim:activate{low = …, high = …} wakes a box."
        )

    def _tell_step(self) -> None:
        if not self._after_last(self.frame) and not self._journal.is_replaying:
            leaves = self._simulation.leaves if self._simulation is not None else None
            details = {
                "frame": self.frame,
                "time": self.time,
                "voxels": self._domain.address.voxels - (leaves.voxels_outside() if leaves is not None else 0),
                "leaves": len(leaves.active) if leaves is not None else None,
            }
            self._environment.observe("step", details)


def _with_frame(error: FluidError, frame: int) -> FluidError:
    """The error; one that tells of a lost device also says when that was."""
    if error.code != "device-lost":
        return error
    told = [replace(d, message=f"{d.message.removesuffix('.')} in frame {frame}.") for d in error.diagnostics]
    return FluidError(*told)
