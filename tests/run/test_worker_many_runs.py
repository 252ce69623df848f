# SPDX-License-Identifier: GPL-3.0-or-later
"""Many runs in one process leave nothing behind, and nothing that a callback raises ends a run without a word."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.gpu.lifetime import live_counts
from fluid_addon.run import RunRequest, WorkerRun
from fluid_addon.run.session import run_script
from fluid_addon.script.context import LuaContext

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_ENGINE = 'local t = {}\nfor i = 1, 1000 do t[i] = tostring(i) end\nprint(#table.concat(t))\nerror("an end")'
WITH_ENGINE = """
param("gain", {default = 1})
sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("a", Format.R32F, 1)
sim:add_stencil("s", {inputs = {"a"}, outputs = {"a_new"}, code = [[
    WriteField("a_new", idx, ReadField("a", idx) + params.gain * dt);
]]})
sim:step(0.1)
print(sim:reduce("a", "sum"))
"""


def run(source: str, folder: Path) -> int:
    return run_script(RunRequest("x.lua", source=source, output=str(folder)), lambda _event: None, threading.Event())


def left_here() -> dict[str, int]:
    gc.collect()
    descriptors = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    return {"threads": threading.active_count(), "descriptors": descriptors, "vulkan": sum(live_counts().values())}


def test_L20_runs_in_a_row_leave_no_thread_no_descriptor_and_no_object(tmp_path) -> None:
    def some(count: int) -> None:
        for number in range(count):
            assert run(WITHOUT_ENGINE, tmp_path) == 3
            if number % 50 == 0:
                assert run(WITH_ENGINE, tmp_path) == 0

    some(21)
    before, objects = left_here(), len(gc.get_objects())
    some(200)
    after = left_here()
    new = {what: after[what] - count for what, count in before.items()}
    assert max(new.values()) <= 0, new  # less: something of an earlier test has gone meanwhile
    assert len(gc.get_objects()) - objects < 100, "something is kept of every run"


MANY = """
import ctypes, gc, json, sys, threading
from fluid_addon.run import RunRequest
from fluid_addon.run.session import run_script
from fluid_addon.run.process_figures import resident_memory

def held():
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later is no leak
    return resident_memory()

source, folder, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
figures = []
for number in range(runs + 501):
    if number >= 500 and (number - 500) % (runs // 10) == 0:
        figures.append(held())
    events = []
    assert run_script(RunRequest("x.lua", source=source, output=folder), events.append, threading.Event()) == 0, events
print(json.dumps(figures))
"""


@pytest.mark.long
def test_L20_ten_thousand_runs_in_one_process_grow_by_five_megabytes_at_most(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY, WITH_ENGINE, str(tmp_path), "10000"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FLUID_SCRIPT_VALIDATION": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    print("resident memory in MiB:", [round(figure / 2**20, 1) for figure in figures])
    assert figures[-1] - figures[0] <= 5 << 20


# ===== What a callback raises


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (ValueError("broken"), "lua-error", "Internal error: broken"),
        (SystemExit(0), "lua-error", "Internal error: 0"),
        (RecursionError("too deep"), "lua-error", "Internal error: too deep"),
        (MemoryError(), "lua-error", "Internal error: MemoryError"),
        (GeneratorExit(), "lua-error", "Internal error: GeneratorExit"),
        (KeyboardInterrupt(), "cancelled", "The run was interrupted."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("caught", [False, True], ids=["plain", "pcall"])
def test_L16_whatever_a_callback_raises_ends_the_script_with_an_error(raised, code, text, caught) -> None:
    class Engine:
        frame, time = 0, 0.0

        def __init__(self, **_options: object) -> None: ...
        def close(self) -> None: ...
        def step(self, _dt: float) -> None:
            raise raised

    lines: list[str] = []
    with LuaContext(log=lines.append) as context:
        context.bind_engine(Engine)
        step = "pcall(sim.step, sim, 1)" if caught else "sim:step(1)"
        with pytest.raises(FluidError) as told:
            context.run_source(f"sim = FluidEngine.new{{domain_size = {{1, 1, 1}}}}\n{step}\nprint('alive')", "x.lua")
        assert (told.value.code, str(told.value)) == (code, text)
        assert told.value.diagnostics[0].place is None or told.value.diagnostics[0].place.line == 2
        assert told.value.__cause__ is raised
    assert not any(line == "alive" for line in lines)


def test_L16_a_worker_that_fails_inside_says_so(tmp_path, monkeypatch) -> None:
    """A fault of ours outside of Lua, where nothing catches it."""
    (tmp_path / "patched").mkdir()
    (tmp_path / "patched" / "sitecustomize.py").write_text(
        "import fluid_addon.run.session as session\n"
        "def fail(*_arguments, **_options): raise SystemExit(0)\n"
        "session.Parameters = fail\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "patched"))
    worker = WorkerRun(RunRequest("x.lua", source="", output=str(tmp_path)))
    told = list(worker.events())
    worker.close()
    assert [event["diagnostics"][0]["code"] for event in told if event["event"] == "error"] == ["worker-died"]
    assert told[-1]["exit_code"] == 6
