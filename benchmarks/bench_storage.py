# SPDX-License-Identifier: GPL-3.0-or-later
"""What a storage costs: sparse against dense, a huge box against a small one, two logical devices against one."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fluid_addon.engine import EngineEnvironment, FluidEngine, StencilDefinition
from fluid_addon.engine.formats import Format
from fluid_addon.script.context import LuaContext

from .measure import table

SIZE, STEPS, ROUNDS = 128, 6, 7

AROUND = " + ".join(
    f"ReadField(u, coord {sign} ivec3({axis}))" for axis in ("1, 0, 0", "0, 1, 0", "0, 0, 1") for sign in "+-"
)
KERNELS = {
    "7-point": ("u", "u_new", f"WriteField(u_new, idx, ({AROUND}) / 6.0);"),
    "trilinear, scalar": (
        "u v",
        "u_new",
        "WriteField(u_new, idx, SampleField(u, vec3(coord) - dt * ReadField(v, idx)));",
    ),
    "trilinear, vector": (
        "v",
        "v_new",
        "WriteField(v_new, idx, SampleField(v, vec3(coord) - dt * ReadField(v, idx)));",
    ),
}
GAS = """
local gas = require("fluid.gas")
sim = FluidEngine.new{{domain_size = {{{n}, {n}, {n}}}, voxel_size = 0.01, sparse = true}}
gas.fields(sim, {{"density", "temperature"}})
local ball = gas.sphere{{center = {{{c}, {c}, {c}}}, radius = 0.3}}
gas.emit(sim, {{shape = ball, fields = {{density = 1, temperature = 1}}}})
gas.advect(sim, {{fields = {{"density", "temperature"}}, active = false}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {{temperature = 2, density = 1}})
gas.project(sim, {{tolerance = 1e-3}})
sim:activate{{low = {{{low}, {low}, {low}}}, high = {{{high}, {high}, {high}}}}}
"""


def kernel(name: str, **options: Any) -> FluidEngine:
    """An engine with one stencil over random fields."""
    inputs, output, code = KERNELS[name]
    engine = FluidEngine(domain_size=(SIZE,) * 3, environment=EngineEnvironment(), **options)
    random = np.random.default_rng(0)
    assert engine._simulation is not None, "it was just made"
    for field, format_, components in (("u", Format.R32F, ()), ("v", Format.R32G32B32F, (3,))):
        if field in inputs.split() or field in output:
            engine.add_field(field, format_)
            values = 3 * random.random((SIZE, SIZE, SIZE, *components), np.float32)
            engine._simulation.start_from(engine.fields[field], values)
    engine.add_stencil(StencilDefinition("kernel", code, tuple(inputs.split()), (output,)))
    return engine


def milliseconds(engine: FluidEngine, steps: int, dt: float) -> float:
    """Of a step."""
    begin = time.perf_counter()
    for _ in range(steps):
        engine.step(dt)
    engine.finish()
    return 1000 * (time.perf_counter() - begin) / steps


def rounds(engines: Sequence[FluidEngine], steps: int, dt: float, count: int) -> list[list[float]]:
    """Milliseconds of a step of each engine, turn by turn."""
    for engine in engines:
        milliseconds(engine, 2, dt)
    times = [[milliseconds(engine, steps, dt) for engine in engines] for _ in range(count)]
    return [list(column) for column in zip(*times, strict=True)]


def kernels() -> None:
    rows = []
    for name in KERNELS:
        engines = [kernel(name), kernel(name, sparse=True), kernel(name, gpu_count=2)]
        dense, sparse, two = rounds(engines, STEPS, 0.7, ROUNDS)
        ratio = statistics.median(a / b for a, b in zip(dense, sparse, strict=True))
        cost = statistics.median(b / a for a, b in zip(dense, two, strict=True))
        median = statistics.median(dense)
        rows.append((name, f"{median:.1f}", f"{SIZE**3 / median / 1000:.0f}", f"{ratio:.2f}", f"{cost:.2f}"))
        for engine in engines:
            engine.close()
    head = ("", "dense, ms", "Mcells/s", "speed, fully active sparse", "time on two logical devices")
    table(f"Kernels at {SIZE}³, against dense on one device", head, rows)


def box(size: int, low: float, high: float, after: Callable[[FluidEngine], None]) -> FluidEngine:
    context = LuaContext()
    context.bind_engine(FluidEngine)
    source = GAS.format(n=size, c=(low + high) / 2, low=low + 1e-3, high=high - 1e-3)
    context.run_source(source, "gas.lua")
    engine = context.engines[0]
    assert isinstance(engine, FluidEngine), "the class that was bound"
    engine.step(1 / 48)
    engine.finish()
    after(engine)
    return engine


def huge_box() -> None:
    """The same active cells, 1 % of 1024³, in that box and in one that holds nothing else."""
    said: list[tuple[str, str]] = []

    def tell(engine: FluidEngine) -> None:
        simulation = engine._simulation
        assert simulation is not None and simulation.leaves is not None, "sparse, and not closed"
        said.append(("active leaves", f"{len(simulation.leaves.active):,} of {simulation.leaves.box.count:,}"))
        said.append(("planned, MiB", f"{simulation.memory.plan().total() / 2**20:.0f}"))
        said.append(
            (
                "the whole process at its largest, MiB",
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
            )
        )

    huge = box(1024, 4.0, 6.16, tell)
    small = box(216, 0.0, 2.16, lambda _engine: None)
    in_huge, in_small = rounds([huge, small], 2, 1 / 48, 3)
    ratio = statistics.median(a / b for a, b in zip(in_huge, in_small, strict=True))
    said.append(("step, ms", f"{statistics.median(in_huge):.0f}"))
    said.append(("time against a box of 216³ that is all active", f"{ratio:.2f}"))
    table("A gas in a box of 1024³, 1 % of it active", ("", ""), said)
    huge.close()
    small.close()


if __name__ == "__main__":
    huge_box()
    kernels()
