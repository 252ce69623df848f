# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox costs: the count hook that stops a script in time, and `pairs`, `next` and `sort` of our own.

A step's Lua is measured by itself, on an engine that computes nothing, because beside a real step it drowns in the
noise of the device; its share is that of the real step's wall time. The same scripts run with the hook, without it, and
with hooks that look at the clock more often.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lupa import lua54

from fluid_addon.engine import FluidEngine
from fluid_addon.script import sandbox as sandbox_module
from fluid_addon.script.context import LuaContext

from .measure import table

ROUNDS, STEPS, CALLS = 5, 12, 2000
INTERVALS = (None, 100_000, 10_000, 1_000)  # instructions between two looks; None: no hook

PLUME = """
local n = 64
local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {n, n, n}, voxel_size = 2 / n, origin = {-1, -1, -1}}
gas.fields(sim, {"density", "temperature"})
gas.emit(sim, {shape = gas.sphere{center = {0, 0, -0.6}, radius = 0.3}, fields = {density = 1, temperature = 1}})
gas.advect(sim, {fields = {"density", "temperature"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = 2, density = 1})
gas.project(sim, {tolerance = 1e-3})
"""

# What artists do between two steps: a value that swings, a switch, a line in the log now and then.
LOOP = """
sim = sim or FluidEngine.new{{domain_size = {{64, 64, 64}}}}
local lift = param("lift", {{default = 1, min = 0, max = 10}})
local log = {{}}
for frame = 1, {count} do
  local phase = frame / 24
  local push = {{}}
  for axis, name in ipairs({{"x", "y", "z"}}) do push[axis] = lift * math.sin(phase * axis) + #name end
  sim:fill("push", push)
  if frame % 10 == 0 then print(("frame %d, %.3f s"):format(sim.frame, sim.time)) end
  log[#log + 1] = {{frame = frame, push = push[1]}}
  sim:step(dt = 1 / 24)
end
"""

TIGHT = "local x = 0 for i = 1, 2e7 do x = x + i % 7 end"

WALKS = {
    "pairs of 1,000 positions": ("for i = 1, 1000 do t[i] = i end", "for k, v in pairs(t) do n = n + v end", 100),
    "pairs of 6 names": (
        "t = {a = 1, b = 2, c = 3, d = 4, e = 5, f = 6}",
        "for k, v in pairs(t) do n = n + v end",
        10000,
    ),
    "pairs of 10,000 names": ("for i = 1, 1e4 do t['k' .. i] = i end", "for k, v in pairs(t) do n = n + v end", 10),
    "ipairs of 1,000 positions": ("for i = 1, 1000 do t[i] = i end", "for k, v in ipairs(t) do n = n + v end", 100),
    "sort of 10,000 numbers": (
        "for i = 1, 1e4 do u[i] = i * 7919 % 10007 end",
        "t = {} for i = 1, 1e4 do t[i] = u[i] end table.sort(t)",
        10,
    ),
    "sort of 10,000 with an order": (
        "for i = 1, 1e4 do u[i] = i * 7919 % 10007 end",
        "t = {} for i = 1, 1e4 do t[i] = u[i] end table.sort(t, function(a, b) return a > b end)",
        10,
    ),
}


class IdleEngine:
    """Takes every call and computes nothing."""

    def __init__(self, **_options: Any) -> None:
        self.frame, self.time = 0, 0.0

    def fill(self, field: str, value: Any) -> None:
        pass

    def step(self, dt: float) -> None:
        self.frame, self.time = self.frame + 1, self.time + dt

    def close(self) -> None:
        pass


@contextmanager
def hooked(interval: int | None) -> Iterator[None]:
    """Sandboxes of this time have another hook, or none."""
    whole = sandbox_module._load_trusted
    first, *others = whole()
    old = b'sethook(co, hook, "", INSTRUCTIONS)'
    assert first.count(old) == 1, "the line of lua/sandbox.lua that sets the hook"
    new = b"" if interval is None else old.replace(b"INSTRUCTIONS", str(interval).encode())
    sandbox_module._load_trusted = lambda: (first.replace(old, new), *others)  # type: ignore[assignment]
    try:
        yield
    finally:
        sandbox_module._load_trusted = whole


def seconds_of(script: str, engine: Any = IdleEngine) -> float:
    """CPU seconds of this thread for one run."""
    context = LuaContext(log=lambda _line: None, seconds=600)
    context.bind_engine(engine)
    begin = time.thread_time()
    context.run_source(script, "bench.lua")
    seconds = time.thread_time() - begin
    context.close()
    return seconds


def plain_seconds_of(script: str) -> float:
    """The same in Lua as the wheel has it."""
    state = lua54.LuaRuntime()
    begin = time.thread_time()
    state.execute(script)
    return time.thread_time() - begin


def step_seconds() -> float:
    """Wall seconds of one step of the plume."""
    context = LuaContext(log=lambda _line: None, seconds=600)
    context.bind_engine(FluidEngine)
    context.run_source(PLUME, "plume.lua")
    engine = context.engines[0]
    assert isinstance(engine, FluidEngine), "the class that was bound"
    for _ in range(3):
        engine.step(1 / 24)
    engine.finish()
    begin = time.perf_counter()
    for _ in range(STEPS):
        engine.step(1 / 24)
    engine.finish()
    seconds = (time.perf_counter() - begin) / STEPS
    context.close()
    return seconds


def main() -> None:
    step = step_seconds()
    loops: dict[int | None, list[float]] = {interval: [] for interval in INTERVALS}
    tights: dict[int | None, list[float]] = {interval: [] for interval in INTERVALS}
    for _ in range(ROUNDS):
        for interval in INTERVALS:
            with hooked(interval):
                loops[interval].append(seconds_of(LOOP.format(count=CALLS)) / CALLS)
                tights[interval].append(seconds_of(TIGHT))
    bare_loop, bare_tight = (statistics.median(times[None]) for times in (loops, tights))
    rows = []
    for interval in INTERVALS:
        loop, tight = statistics.median(loops[interval]), statistics.median(tights[interval])
        rows.append([
            "no hook" if interval is None else f"every {interval:,}",
            f"{1e6 * loop:.0f}",
            f"{100 * (loop - bare_loop) / step:+.3f} %",
            f"{tight:.2f}",
            f"{tight / bare_tight:.2f}",
        ])  # fmt: skip
    head = ("instructions", "Lua of a step, µs", "of the step", "tight loop, s", "times")
    table(f"The hook; a step of the plume at 64³ takes {1000 * step:.0f} ms", head, rows)
    rows = []
    for name, (make, walk, count) in WALKS.items():
        before = f"local t, u, n = {{}}, {{}}, 0 {make} "
        repeated = f"{before} for _ = 1, {count} do {walk} end"
        ours = statistics.median(seconds_of(repeated) - seconds_of(before) for _ in range(ROUNDS)) / count
        lua = statistics.median(plain_seconds_of(repeated) - plain_seconds_of(before) for _ in range(ROUNDS)) / count
        rows.append([name, f"{1e6 * ours:.1f}", f"{1e6 * lua:.1f}", f"{ours / lua:.1f}"])
    table("One order for all runs, µs", ("", "ours", "Lua", "times"), rows)


if __name__ == "__main__":
    main() if len(sys.argv) == 1 else print(__doc__)
