# SPDX-License-Identifier: GPL-3.0-or-later
"""The plume of Mantaflow's defaults with the shipped gas library: ms a frame, operator by operator, beside Mantaflow.

Mantaflow is asked where a Blender is given; it bakes in a real Blender only, not in the `bpy` wheel:

    FLUID_SCRIPT_MANTAFLOW="blender -b --python benchmarks/mantaflow_plume.py --" make bench
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from fluid_addon.engine import FluidEngine
from fluid_addon.script.context import LuaContext

from .measure import table

WARM_UP, FRAMES, ROUNDS = 4, 8, 3
MANTAFLOW = "FLUID_SCRIPT_MANTAFLOW"

PLUME = """
local n = {size}
local gas = require("fluid.gas")
sim = FluidEngine.new{{domain_size = {{n, n, n}}, voxel_size = 2 / n, origin = {{-1, -1, -1}}, sparse = {sparse}}}
gas.fields(sim, {{"density", "temperature"}})
local ball = gas.sphere{{center = {{0, 0, -0.6}}, radius = 0.3}}
gas.emit(sim, {{shape = ball, fields = {{density = 1, temperature = 1}}}})
gas.advect(sim, {{fields = {{"density", "temperature"}}}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {{temperature = 2, density = 1}})
gas.project(sim, {{tolerance = 1e-3}})
"""


class Plume:
    """The plume on one engine, stepped from here."""

    def __init__(self, size: int, sparse: bool = False) -> None:
        self.size = size
        self._context = LuaContext()
        self._context.bind_engine(FluidEngine)
        self._context.run_source(PLUME.format(size=size, sparse="true" if sparse else "false"), "plume.lua")
        engine = self._context.engines[0]
        assert isinstance(engine, FluidEngine), "the class that was bound"
        self.engine = engine

    def timed(self, work: Callable[[], None]) -> float:
        """Milliseconds until the device has done `work`."""
        self.engine.finish()
        begin = time.perf_counter()
        work()
        self.engine.finish()
        return 1000 * (time.perf_counter() - begin)

    def frames(self, count: int = FRAMES) -> float:
        """Milliseconds of a frame, mean over some."""

        def steps() -> None:
            for _ in range(count):
                self.engine.step(1 / 24)

        return self.timed(steps) / count

    def operators(self) -> dict[str, float]:
        """Milliseconds of each stencil by name, each run by itself."""
        names = list(self.engine._declarations.stencils)
        return {
            name: statistics.median(self.timed(partial(self.engine.run_stencil, name, 1 / 24)) for _ in range(5))
            for name in names
        }

    def close(self) -> None:
        self._context.close()


def sparse_frames(size: int) -> tuple[float, float]:
    """Milliseconds of a frame in a sparse domain, and the part of the box that is active in the end.

    The mean is over the frames that Mantaflow bakes, but the first, in which kernels are compiled.
    """
    plume = Plume(size, sparse=True)
    plume.engine.step(1 / 24)
    milliseconds = plume.frames(WARM_UP + FRAMES - 1)
    simulation = plume.engine._simulation
    assert simulation is not None and simulation.leaves is not None, "sparse, and not closed"
    active = len(simulation.leaves.active) / simulation.leaves.box.count
    plume.close()
    return milliseconds, active


def mantaflow(size: int, kind: str) -> float | None:
    """Milliseconds of a frame in a real Blender, or None where none was given."""
    command = os.environ.get(MANTAFLOW)
    if not command:
        return None
    arguments = [*shlex.split(command), str(size), kind, str(WARM_UP + FRAMES)]
    output = subprocess.run(arguments, capture_output=True, text=True, check=False).stdout
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return float(json.loads(lines[-1])["ms_per_frame"]) if lines else None


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [64, 128]
    rows = []
    for size in sizes:
        plume = Plume(size)
        for _ in range(WARM_UP):
            plume.engine.step(1 / 24)
        ours: list[float] = []
        sparse: list[float] = []
        dense: list[float] = []
        adaptive: list[float] = []
        for _ in range(ROUNDS):
            ours.append(plume.frames())
            milliseconds, active = sparse_frames(size)
            sparse.append(milliseconds)
            for kind, found in (("dense", dense), ("adaptive", adaptive)):
                theirs = mantaflow(size, kind)
                if theirs is not None:
                    found.append(theirs)
        median = statistics.median(ours)
        row = [f"{size}³"]
        for own, found in ((median, dense), (statistics.median(sparse), adaptive)):
            theirs = statistics.median(found) if found else None
            row += [f"{own:.0f}", *(["-", "-"] if theirs is None else [f"{theirs:.0f}", f"{theirs / own:.1f}"])]
        rows.append([*row, f"{100 * active:.0f} %"])
        parts = plume.operators()
        # A solve by itself would find its answer there already, so it is what the frame takes beside the stencils.
        solved = plume.engine.solved("solve_pressure")
        parts[f"solve_pressure, {solved.iterations} cycles"] = median - sum(parts.values())
        cells = size**3 / 1e6
        table(
            f"Operators of the plume at {size}³",
            ("operator", "ms", "Mcells/s"),
            [(name, f"{ms:.1f}", f"{1000 * cells / ms:.0f}") for name, ms in parts.items()],
        )
        plume.close()
    table(
        "The plume of Mantaflow's defaults, ms a frame",
        ("", "dense", "Mantaflow dense", "times", "sparse", "Mantaflow adaptive", "times", "active at last"),
        rows,
    )


if __name__ == "__main__":
    main()
