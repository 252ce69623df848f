# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a stop takes in every state of a run, and what the death of a worker costs the process that watches it.

`python -m benchmarks.bench_worker [REPEATS]` prints a table: the time from `WorkerRun.cancel`, or from a kill, until
the run has told its end, and the longest that this process's own main thread was held up meanwhile.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fluid_addon.faults import FAULTS_VARIABLE, fault_text
from fluid_addon.run import RunRequest, WorkerRun
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.grid import Grid
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from fluid_addon.volumes.openvdb_library import openvdb

Event = dict[str, object]

ENGINE = """
sim = FluidEngine.new{domain_size = {SIZE, SIZE, SIZE}}
sim:add_field("a", Format.R32F, 0)
sim:add_stencil("s", {inputs = {"a"}, outputs = {"a_new"}, iterations = TURNS, code = [[
    float v = ReadField("a", idx) + Random(coord, frame);
    for (int i = 0; i < 20; ++i) { v = sin(v + 0.1); }
    WriteField("a_new", idx, v);
]]})
"""
FRAMES = ENGINE + 'for frame = 1, 100000 do sim:step(1) sim:export_vdb("a_" .. frame .. ".vdb") end'

#: Each state: a script, and the event after which it is in that state, with so many seconds more.
STATES: dict[str, tuple[str, str | None, float]] = {
    "starting": ("print('x')", None, 0.0),
    "importing": ("print('x')", None, 0.3),
    "compiling": (
        "print('begun')\n" + "".join(ENGINE.replace("+ 0.1", f"+ {i}.0").replace("sim", f"s{i}") for i in range(99)),
        "log",
        0.2,
    ),
    "in a long step": (ENGINE.replace("TURNS", "10000") + "print('begun')\nsim:step(1)", "log", 0.5),
    "in short steps": (
        ENGINE.replace("TURNS", "1") + "sim:step(1) print('begun')\nwhile true do sim:step(1) end",
        "log",
        0.2,
    ),
    "exporting": (FRAMES.replace("TURNS", "1"), "frame", 0.2),
    "reading a .vdb": ("sim = FluidEngine.new{grid_file = 'big.vdb'}\nsim:step(1)", "started", 0.15),
    "reading a .nvdb": ("sim = FluidEngine.new{grid_file = 'big.nvdb'}\nsim:step(1)", "started", 0.15),
    "in a loop of Lua": ("print('begun')\nwhile true do end", "log", 0.1),
    "between two workers": (FRAMES.replace("TURNS", "1"), "restarted", 0.0),
    "inside Lua's C code": (
        "local t = {} for i = 1, 9000000 do t[i] = (i * 7919) % 1000003 end\nprint('begun')\ntable.sort(t)",
        "log",
        0.2,
    ),
}


def files_of(folder: Path, size: int) -> None:
    """Large grid files that are slow to read."""
    values = np.random.default_rng(0).random((size, size, size), dtype=np.float32)
    write_nvdb(folder / "big.nvdb", [Grid.from_dense("density", values, (0, 0, 0), np.eye(4))])
    grid = openvdb().FloatGrid()
    grid.name = "density"
    grid.copyFromArray(values)
    openvdb().write(str(folder / "big.vdb"), [grid])


def begun(folder: Path, source: str, until: str | None, wait: float) -> tuple[WorkerRun, list[Event]]:
    if until == "restarted":
        os.environ[FAULTS_VARIABLE] = fault_text("device.submit", 9)
    run = WorkerRun(
        RunRequest(
            "script.lua",
            source=source.replace("SIZE", "64"),
            folder=str(folder),
            output=str(folder / "out"),
            lua_seconds=600,
        )
    )
    os.environ.pop(FAULTS_VARIABLE, None)  # what comes after a restart is undisturbed
    told: list[Event] = []
    while until is not None and not any(event["event"] == until for event in told):
        told += run.poll()
        time.sleep(0.002)
        if any(event["event"] == "finished" for event in told):
            raise RuntimeError(f"it ended before: {told}")
    time.sleep(wait)
    return run, told


def until_the_end(run: WorkerRun, told: list[Event], act: Callable[[], None]) -> tuple[float, float]:
    """Seconds from `act` to the end of the run, and the longest that one call has held this thread."""
    longest, start = 0.0, time.monotonic()
    step = start
    act()
    while True:
        told += run.poll()
        ended = any(event["event"] == "finished" for event in told)
        took = time.monotonic() - start
        longest = max(longest, time.monotonic() - step)
        if ended:
            break
        time.sleep(0.001)
        step = time.monotonic()
    step = time.monotonic()
    run.close()
    return took, max(longest, time.monotonic() - step)


def row(name: str, took: list[float], held: list[float]) -> str:
    figures = (max(took), sorted(took)[len(took) // 2], max(held))
    return f"{name:<24}" + "".join(f"{seconds * 1e3:>16.0f}" for seconds in figures)


def main(repeats: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="fluid-script-bench-"))
    try:
        files_of(folder, 256)
        print(f"{'a stop':<24}{'end, worst ms':>16}{'median ms':>16}{'held up ms':>16}")
        for name, (source, until, wait) in STATES.items():
            took: list[float] = []
            held: list[float] = []
            for _ in range(repeats):
                run, told = begun(folder, source.replace("TURNS", "8"), until, wait)
                seconds, blocked = until_the_end(run, told, run.cancel)
                took.append(seconds)
                held.append(blocked)
            print(row(name, took, held), flush=True)
        took, held, lost = [], [], 0
        for _ in range(repeats):
            run, told = begun(folder, FRAMES.replace("TURNS", "1"), "frame", 0.5)
            worker = run.pid
            seconds, blocked = until_the_end(run, told, lambda pid=worker: os.kill(pid, signal.SIGKILL))  # type: ignore[misc]
            took.append(seconds)
            held.append(blocked)
            bake = Bake.open(Path(str(next(event["folder"] for event in told if event["event"] == "bake"))))
            whole = {frame.path for frame in bake.frames} if not bake.damaged(checksums=True) else set()
            lost += sum(event["event"] == "frame" and Path(str(event["path"])).name not in whole for event in told)
        print(row("a killed worker", took, held))
        print(f"frames lost by it: {lost}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
