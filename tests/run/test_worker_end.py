# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker ends when it is asked to, when its script does not, when it takes too much, and when its parent is gone."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.faults import FAULTS_VARIABLE, fault_text
from fluid_addon.run import RunRequest, WorkerRun, lua_watch, supervisor
from fluid_addon.script import sandbox
from fluid_addon.script.context import LuaContext, running_contexts
from fluid_addon.volumes.bake import Bake
from tests.processes import closed, gone
from tests.run.fake_worker import fake_worker, needs_scripts

ROOT = Path(__file__).resolve().parents[2]
#: Its third call, after the start and the first warning, never arrives: as if a function of Lua's C code did not end.
STUCK = 'warn("begun")\nwarn("on and on")'
NEVER_ENDS = fault_text("lua.call", 3, "hang")
ENDLESS = 'warn("begun")\nwhile true do end'

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")


def started(tmp_path: Path, source: str, until: str = "note", **more) -> tuple[WorkerRun, list]:
    """A run that has told an event of the kind `until`, and the events up to there."""
    run = WorkerRun(RunRequest("script.lua", source=source, output=str(tmp_path / "out"), **more))
    told = []
    for event in run.events():
        told.append(event)
        assert event["event"] != "finished", told
        if event["event"] == until:
            break
    return run, told


# ===== A stop. Its 0.2 seconds are measured by `python -m benchmarks.bench_worker`, where nothing else runs. Here other
# tests may have every processor for seconds, so 30 seconds say no more than that a script was not waited for.


def test_what_a_stop_waits_for_at_most_is_less_than_it_promises() -> None:
    waits = [supervisor.CANCEL_SECONDS, supervisor.CANCEL_TICK, supervisor.GONE_SECONDS]
    assert sum(waits) <= 0.18, "that leaves 0.02 seconds to hear of it and to tell it"


@pytest.mark.parametrize("source", [ENDLESS, STUCK], ids=["a loop", "inside Lua's C code"])
def test_L06_L07_a_stop_ends_lua_wherever_it_is(tmp_path, monkeypatch, source) -> None:
    if source == STUCK:
        monkeypatch.setenv(FAULTS_VARIABLE, NEVER_ENDS)
    run, _ = started(tmp_path, source, lua_seconds=600)
    begun = time.monotonic()
    run.cancel()
    told = list(run.events())
    assert time.monotonic() - begun < 30, "the script would have taken far longer"
    assert (told[-1]["event"], told[-1]["exit_code"]) == ("finished", 130)
    closed(run)


@needs_scripts
def test_L06_a_worker_that_does_not_hear_the_stop_is_killed(tmp_path) -> None:
    body = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
send("log", text="begun")
time.sleep(600)
"""
    run = WorkerRun(RunRequest("x.lua", source=""), fake_worker(tmp_path, body))
    process = run._process
    assert next(run.events())["text"] == "begun"
    run.cancel()
    (end,) = list(run.events())
    assert (end["exit_code"], end["files"]) == (130, [])
    closed(run)
    assert process._process.wait(0) == -signal.SIGKILL


@needs_scripts
def test_L06_a_stop_does_not_wait_for_a_worker_that_reads_nothing(tmp_path) -> None:
    """Not even its request, which is larger than what a pipe holds."""
    worker = fake_worker(tmp_path, "", before="send('log', text='begun')\ntime.sleep(600)")
    run = WorkerRun(RunRequest("x.lua", source="-" * 2_000_000), worker)
    assert next(run.events())["text"] == "begun"
    stop = threading.Thread(target=run.cancel, daemon=True)
    stop.start()
    stop.join(30)
    assert not stop.is_alive()
    assert [event["exit_code"] for event in run.events()] == [130]
    closed(run)


COMPILES = """
sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("a", Format.R32F, 0)
print("begun")
sim:add_stencil("s", {outputs = {"a"}, code = [[ WriteField("a", idx, 1.0); ]]})
sim:step(1)
"""


@linux
def test_a_stop_leaves_no_compiler_that_hangs_over_a_shader(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(FAULTS_VARIABLE, fault_text("compiler.compile", 1, "hang"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run, _ = started(tmp_path, COMPILES, until="log")
    listed = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    end = time.monotonic() + 30
    while not listed.read_text():
        assert time.monotonic() < end, "there is no compiler"
        time.sleep(0.01)
    time.sleep(1.0)  # it starts in less, and then hangs
    compiler = int(listed.read_text())
    run.cancel()
    assert [event["exit_code"] for event in run.events()] == [130]
    run.close()
    assert gone(compiler, 15.0), "by itself it ends after 30 seconds"


@linux
@needs_scripts
def test_what_a_broken_worker_has_started_goes_with_it(tmp_path) -> None:
    body = """
import subprocess
send("log", text=str(subprocess.Popen(["sleep", "600"]).pid))
framed(b"[]")
time.sleep(600)
"""
    run = WorkerRun(RunRequest("x.lua", source=""), fake_worker(tmp_path, body))
    told = list(run.events())
    run.close()
    assert gone(int(told[0]["text"]))


def test_a_worker_that_cannot_be_started_leaves_no_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="no such"):
        WorkerRun(RunRequest("x.lua", source=""), str(tmp_path / "no such python"))

    def refused() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", refused)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        WorkerRun(RunRequest("x.lua", source=""))
    assert list(tmp_path.iterdir()) == []


def test_a_stop_before_the_worker_has_begun(monkeypatch) -> None:
    monkeypatch.setenv(FAULTS_VARIABLE, fault_text("worker.start", 1, "hang"))
    run = WorkerRun(RunRequest("x.lua", source=ENDLESS))
    run.cancel()
    assert [event["event"] for event in run.events()] == ["finished"]
    run.close()
    closed(run)


# ===== A script that does not come back


def test_L06_a_stall_inside_lua_ends_with_its_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(FAULTS_VARIABLE, NEVER_ENDS)
    run, _ = started(tmp_path, STUCK, lua_seconds=0.2)
    error, end = list(run.events())
    run.close()
    (item,) = error["diagnostics"]
    assert (item["code"], end["exit_code"]) == ("lua-timeout", 3)
    assert item["text"] == "\n".join(
        [
            "script.lua:1: error[lua-timeout]: The script did not come out of a function of Lua within 0.2 seconds.",
            '    1 | warn("begun")',
            "  hint: Is there a pattern with many repetitions, or text of many megabytes? --lua-seconds allows more.",
        ]
    )


def test_L06_only_lua_itself_can_stall(tmp_path, monkeypatch) -> None:
    """The same watch in this process, where a slow call of the engine is no stall, and what is one goes on.

    Silence of 0.05 seconds is a stall here, and the limit of time, which work in C meets as well, is far away.
    """
    seconds = 200.0
    monkeypatch.setattr(lua_watch, "GRACE", 0.05 - seconds)
    seen: list[FluidError | None] = []

    class Engine:
        def __init__(self, **_options: object) -> None: ...
        def step(self, *_more: object) -> None:
            time.sleep(0.3)
            seen.append(lua_watch.stalled_script())

        def reduce(self, *_which: str) -> float:
            if thread.ident is None:  # from here on Lua was seen last in the line of the loop
                thread.start()
            return float(any(seen))

        def add_stencil(self) -> None: ...
        def close(self) -> None: ...

    def watch() -> None:
        while context in running_contexts():
            if problem := lua_watch.stalled_script():
                seen.append(problem)
            time.sleep(0.01)

    with LuaContext(seconds=seconds) as context:
        context.bind_engine(Engine)
        thread = threading.Thread(target=watch)
        calls = "sim = FluidEngine.new{domain_size = {1, 1, 1}}\nsim:step(1)\n"
        assert lua_watch.stalled_script() is None
        context.run_source(calls, "slow.lua")
        assert seen == [None]
        until_seen = 'while sim:reduce("a", "sum") == 0 do table.move({}, 1, 9000000, 2) end'  # each is a long silence
        context.run_source(calls + until_seen, "stuck.lua")
        thread.join()
    assert seen[:2] == [None, None]
    assert {error.code for error in seen[2:] if error} == {"lua-timeout"}
    assert {error.diagnostics[0].place.line for error in seen[2:] if error} == {3}


def test_time_in_which_nobody_listens_is_not_the_scripts(monkeypatch) -> None:
    now = [0.0]  # on a clock of its own: a moment in which this machine does something else is no time of the script
    monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def log(_line: str) -> None:
        now[0] += 0.3

    with LuaContext(seconds=0.2, log=log) as context:
        context.run_source("print(1) for i = 1, 300000 do end print(2)", "loud.lua")
    assert now == [0.6]


# ===== Memory


def test_a_worker_that_takes_too_much_memory_ends_and_keeps_its_frames(tmp_path) -> None:
    source = """
    sim = FluidEngine.new{domain_size = {8, 8, 8}}
    sim:add_field("a", Format.R32F, 1)
    sim:step(1)
    sim:export_vdb("a_1.vdb")
    local all = {}
    for i = 1, 1000 do
        all[i] = ("x"):rep(8 * 1024 * 1024)
    end
    """
    run, told = started(tmp_path, source, until="frame", memory_mb=400, lua_memory_mb=4000)
    told += run.events()
    run.close()
    (item,) = next(event["diagnostics"] for event in told if event["event"] == "error")
    assert item["code"] == "worker-memory"
    words = re.fullmatch(r"The run holds ([0-9.]+) (MiB|GiB) of memory; it may hold 400\.0 MiB\.", item["message"])
    assert words and float(words[1]) * {"MiB": 1, "GiB": 1024}[words[2]] > 400
    assert (told[-1]["exit_code"], len(told[-1]["files"])) == (6, 1)
    assert Bake.open(Path(told[-1]["bake"])).damaged(checksums=True) == []


def test_the_usual_limit_leaves_the_machine_some_room() -> None:
    from fluid_addon.run import memory_limit, process_figures

    whole, usual = process_figures.machine_memory(), memory_limit.usual_limit()
    held = process_figures.resident_memory()
    assert whole and usual and held
    assert held < usual < whole
    assert 10 << 20 < held < 64 << 30
    before = process_figures.processor_seconds(os.getpid())
    while process_figures.processor_seconds(os.getpid()) == before:
        pass  # it grows in steps of 1/100 second


# ===== A parent that is gone

PARENT = """
import sys, time
from fluid_addon.run import RunRequest, WorkerRun
run = WorkerRun(RunRequest("script.lua", source=sys.argv[1], lua_seconds=600))
for event in run.events():
    if event["event"] in ("log", "note"):
        print(run.pid, run._process._folder, flush=True)
"""
LONG_STEP = """
sim = FluidEngine.new{domain_size = {96, 96, 96}}
sim:add_field("a", Format.R32F, 0)
sim:add_stencil("s", {inputs = {"a"}, outputs = {"a_new"}, iterations = 5000, code = [[
    float v = ReadField("a", idx);
    for (int i = 0; i < 50; ++i) { v = sin(v + 0.1); }
    WriteField("a_new", idx, v);
]]})
print("begun")
sim:step(1)
"""
SHORT_STEPS = """
sim = FluidEngine.new{domain_size = {4, 4, 4}}
sim:add_field("a", Format.R32F, 0)
sim:add_stencil("s", {outputs = {"a"}, code = [[WriteField("a", idx, 1.0);]]})
sim:step(1)
print("begun")
while true do sim:step(1) end
"""


def orphan(tmp_path: Path, program: str, source: str) -> tuple[int, Path]:
    """A worker whose parent was killed in the middle of its run, and the folder of that worker."""
    with subprocess.Popen(
        [sys.executable, "-c", program, source],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        worker, folder = parent.stdout.readline().split()
        parent.kill()
    return int(worker), Path(folder)


@linux
@pytest.mark.parametrize(
    "source",
    [
        pytest.param(LONG_STEP, id="in the middle of a step"),
        pytest.param(SHORT_STEPS, id="between two steps, where the run ends by itself"),
        pytest.param(STUCK, id="inside Lua's C code", marks=pytest.mark.long),
    ],
)
def test_B07_a_worker_ends_when_its_parent_is_killed(tmp_path, monkeypatch, source) -> None:
    if source == STUCK:
        monkeypatch.setenv(FAULTS_VARIABLE, NEVER_ENDS)
    worker, folder = orphan(tmp_path, PARENT, source)
    assert gone(worker)
    assert not folder.exists(), "its folder goes with it"


@linux
@pytest.mark.long
def test_B07_a_worker_ends_when_something_else_holds_its_requests_open(tmp_path) -> None:
    """In the middle of a step. A child of its parent has inherited the pipe whose end would have said it."""
    keeps = PARENT.replace(
        "for event",
        "import os, subprocess\nos.set_inheritable(run._process._requests.fileno(), True)\n"
        "subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL)\nfor event",
    )
    worker, _folder = orphan(tmp_path, keeps, LONG_STEP)
    assert gone(worker), "before the other one lets go"


# ===== Failures on purpose


def test_a_worker_that_fails_before_its_run_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(FAULTS_VARIABLE, fault_text("worker.start", 1))
    run = WorkerRun(RunRequest("x.lua", source=""))
    monkeypatch.delenv(FAULTS_VARIABLE)
    error, end = list(run.events())
    run.close()
    assert error["diagnostics"][0]["message"] == (
        'The worker process ended with status 1. Its last words: "OSError: a fault on purpose".'
    )
    assert end["exit_code"] == 6
