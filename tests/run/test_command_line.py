# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line as a user meets it: exit codes, progress, JSON, cancel, and a worker that dies."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from fluid_addon.cli import main
from fluid_addon.run.interrupt import on_interrupt
from fluid_addon.run.terminal import LINE_EVERY, Terminal
from fluid_addon.volumes.bake import Bake
from tests.processes import children, gone
from tests.volumes.meshes import sphere, write_obj

ROOT = Path(__file__).resolve().parents[2]
SMOKE = """
param("gain", {default = 1, min = 0, max = 10})
sim = FluidEngine.new{domain_size = {12, 12, 12}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("grow", {inputs = {"density"}, outputs = {"density_new"}, code = [[
    WriteField("density_new", idx, ReadField("density", idx) + params.gain * dt);
]]})
print("says", params.gain)
sim:run{frames = 6, fps = 2, export = "smoke_###.vdb"}
"""
ENDLESS = """
sim = FluidEngine.new{domain_size = {64, 64, 64}}
sim:add_field("a", Format.R32F, 0)
sim:add_stencil("s", {outputs = {"a"}, code = [[ WriteField("a", idx, 1.0); ]]})
for frame = 1, 1000000 do
    sim:step(1)
    if frame % 20 == 0 then sim:export_vdb("a_" .. frame .. ".vdb") end
end
"""


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with smoke.lua and endless.lua in it."""
    (tmp_path / "smoke.lua").write_text(SMOKE)
    (tmp_path / "endless.lua").write_text(ENDLESS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(folder, capsys):
    """`command("run", …)` is the command line, in this process; `run` in a worker unless it is told otherwise."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(arguments)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run


def test_the_command_line_is_a_program(folder):
    whole = [sys.executable, "-m", "fluid_addon", "run", "smoke.lua", "--frames", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("says\t1\n1 frames, 1 file in ")
    assert "Traceback" not in done.stderr
    bake = Path(done.stdout.splitlines()[-1].removeprefix("Bake: "))
    assert bake.parent == folder / "bakes"


@pytest.mark.parametrize("where", [(), ("--in-process",)], ids=["worker", "in process"])
def test_a_run_leaves_frames_and_says_where(command, tmp_path, where):
    done = command("run", "smoke.lua", "-o", "out", "--param", "gain=4", *where)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "says\t4"
    assert lines[-2].startswith("6 frames, 6 files in ")
    folder = tmp_path / lines[-1].removeprefix("Bake: ")
    bake = Bake.open(folder)
    assert [f.frame for f in bake.frames] == [1, 2, 3, 4, 5, 6]
    assert bake.head["parameters"] == {"gain": 4}
    assert "frame 6/6" in done.stderr and "Mcells/s" in done.stderr
    assert "density" in done.stderr and "export ring" in done.stderr


def test_json_is_one_event_a_line(command):
    done = command("run", "smoke.lua", "--json", "--param", "other=1", "--in-process")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "started" and kinds[-1] == "finished"
    assert kinds.count("frame") == 6
    assert {"memory", "bake", "progress", "log", "parameters", "note"} <= set(kinds)
    assert events[-1]["exit_code"] == 0 and len(events[-1]["files"]) == 6
    (note,) = [event for event in events if event["event"] == "note"]
    assert note["text"] == 'The script declares no parameter "other".'


def test_frames_choose_what_is_exported_and_where_it_ends(command, tmp_path):
    done = command("run", "smoke.lua", "--frames", "3-4", "--json", "--in-process")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["frame"] for event in events if event["event"] == "frame"] == [3, 4]
    assert max(event["frame"] for event in events if event["event"] == "progress") == 4


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("rnu",), 2, 'Did you mean "run"?'),
        (("run",), 2, "SCRIPT.lua"),
        (("run", "missing.lua"), 2, "missing.lua"),
        (("run", "smoke.lua", "--frames", "9-3"), 2, "--frames 9-3"),
        (("run", "smoke.lua", "--param", "gain"), 2, "--param gain"),
        (("run", "smoke.lua", "--memory", "0"), 2, "limit of memory"),
        (("run", "smoke.lua", "--param", "gain=11"), 3, "gain"),
        (("run", "smoke.lua", "--device", "no such"), 4, "no such"),
        (("run", "smoke.lua", "-o", "smoke.lua/below"), 5, "smoke.lua/below"),
        (("presets", "smoke_plum", "x.lua"), 2, 'Did you mean "smoke_plume"'),
        (("render", "nowhere", "-o", "x.png"), 5, "nowhere"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else str(v),
)
def test_what_is_wrong_has_its_exit_code(command, arguments, code, text):
    here = ("--in-process",) if arguments[0] == "run" and len(arguments) > 1 else ()
    done = command(*arguments, *here)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "error[" in done.stderr


def test_check_finds_problems_and_runs_nothing(command, tmp_path):
    assert command("check", "smoke.lua").stdout == "No problem found.\n"
    wrong = SMOKE.replace("+ params.gain", "+ params.gian").replace("sim:run{", "sim:run{frmaes = 3, ")
    (tmp_path / "wrong.lua").write_text(wrong)
    done = command("check", "wrong.lua")
    assert done.returncode == 3
    assert 'error[unknown-parameter]: There is no parameter "gian".' in done.stdout
    assert "error[unknown-option]" in done.stdout
    assert done.stdout.endswith("2 problems.\n")
    assert not list(tmp_path.glob("bakes/*"))


def test_devices_presets_and_report(command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # the last log is that of whoever ran last
    assert "* is what a run takes." in command("devices").stdout
    assert "smoke_plume" in command("presets").stdout
    assert command("presets", "smoke_plume", "mine.lua").returncode == 0
    assert command("check", "mine.lua").returncode == 0
    assert command("presets", "smoke_plume", "mine.lua").returncode == 2
    assert command("presets", "smoke_from_mesh", "knot.lua").stdout.endswith("Emitter.obj\n")
    assert command("check", "knot.lua").returncode == 0
    (tmp_path / "Emitter.obj").write_text("# an own one")
    refused = command("presets", "smoke_from_mesh", "other.lua")
    assert refused.returncode == 2 and "exists already with other content" in refused.stderr
    assert not (tmp_path / "other.lua").exists()
    command("run", "smoke.lua", "--in-process")
    report = command("report").stdout
    assert "Fluid Script" in report and "lupa 2.8" in report and "says\t1" in report


def test_devices_as_json_are_one_object(command):
    done = command("devices", "--json")
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert (done.returncode, found["problem"], found["exit_code"]) == (0, "", 0)
    taken = found["devices"][found["taken"]]
    assert f'* {taken["index"]}  "{taken["name"]}"' in command("devices").stdout


def test_a_log_without_a_terminal_gets_a_line_of_progress_now_and_then():
    now = 0.0
    progress, output = io.StringIO(), io.StringIO()
    terminal = Terminal(progress, output, clock=lambda: now)
    for frame in range(1, 31):
        now += LINE_EVERY / 10
        left = float(30 - frame)
        event = {"event": "progress", "frame": frame, "frames": 30, "seconds_left": left, "mcells_per_second": 1.0}
        terminal.show(event)
    terminal.show({"event": "finished", "exit_code": 0, "seconds": 30.0, "frames": 30, "files": ["a"]})
    told = progress.getvalue().splitlines()
    assert [line.split("frame ")[1].split()[0] for line in told] == ["10/30", "20/30", "30/30"]
    assert output.getvalue() == "30 frames, 1 file in 0:30\n"


def started(tmp_path, *more: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "fluid_addon", "run", "endless.lua", "--json", *more],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # as a terminal does it
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["event"] == "frame":
            break
    return process


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a command says from here to its end. `communicate` loses what Python has read ahead, behind a line."""
    assert process.stdout and process.stderr
    with process:
        return process.stdout.read(), process.stderr.read()


def test_a_restart_and_a_resumed_run_are_said():
    progress, output = io.StringIO(), io.StringIO()
    terminal = Terminal(progress, output)
    terminal.show({"event": "restarted", "frame": 4, "text": "The device was lost. The run begins once more."})
    terminal.show({"event": "resumed", "frame": 3, "files": 3})
    assert progress.getvalue().splitlines() == [
        "The device was lost. The run begins once more.",
        "The run goes on from frame 3.",
    ]
    assert output.getvalue() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
@pytest.mark.parametrize("where", [(), ("--in-process",)], ids=["worker", "in process"])
def test_B15_ctrl_c_ends_the_run_and_leaves_whole_frames(folder, tmp_path, where):
    """The terminal sends it to the whole group of the command; a worker is in another, and is asked to end."""
    process = started(tmp_path, *where)
    workers = children(process.pid)
    assert process.pid not in map(os.getpgid, workers)
    os.killpg(process.pid, signal.SIGINT)
    begun = time.monotonic()
    output, errors = rest_of(process)
    assert time.monotonic() - begun < 60, "the script goes on for ever"
    events = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 130, errors
    assert events[-1]["event"] == "finished"
    (made,) = (tmp_path / "bakes").iterdir()
    bake = Bake.open(made)
    assert bake.frames and bake.damaged(checksums=True) == []
    assert "KeyboardInterrupt" not in errors
    assert all(map(gone, workers))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("verb", [("check",), ("devices", "--plan")], ids=["check", "plan"])
def test_B15_ctrl_c_ends_a_look_at_a_script(tmp_path, verb):
    (tmp_path / "endless.lua").write_text("while true do end")
    whole = [sys.executable, "-m", "fluid_addon", *verb, "endless.lua"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(whole, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    caught = 0
    while not caught >> (signal.SIGTERM - 1) & 1:  # Python catches it only where it is asked to
        assert process.poll() is None
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, b"problem" in output) == (130, False)
    assert all(map(gone, workers))


HELD = """
import hashlib, threading
from fluid_addon.run.interrupt import on_interrupt
with on_interrupt(lambda: print("heard")):
    threading.Timer(0.5, print, ["begun"], {"flush": True}).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes in C, in which Python's main thread hears nothing
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal there sends no signal to one process")
@pytest.mark.parametrize("heard_before", [False, True], ids=["the first", "a later one"])
def test_L06_ctrl_c_ends_a_process_whose_main_thread_is_held_by_c(heard_before):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    once = "    import signal; signal.raise_signal(signal.SIGINT)\n    threading"
    held = HELD.replace("    threading", once) if heard_before else HELD
    process = subprocess.Popen([sys.executable, "-c", held], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert [process.stdout.readline() for _ in range(1 + heard_before)] == ["heard\n"] * heard_before + ["begun\n"]
    process.send_signal(signal.SIGINT)
    with process:
        output = process.stdout.read()
    assert (process.returncode, output) == (130, "")


TWICE = """
import os, signal, sys
from fluid_addon.run import RunRequest, WorkerRun
from fluid_addon.run.event_buffer import EventBuffer
from fluid_addon.run.interrupt import on_interrupt

plain = EventBuffer.open_up
def interrupted(self):
    EventBuffer.open_up = plain
    signal.raise_signal(signal.SIGINT)
    plain(self)

run = WorkerRun(RunRequest("x.lua", source="print('begun') while true do end", lua_seconds=600))
with on_interrupt(run.cancel):
    for event in run.events():
        if event["event"] == "log":
            EventBuffer.open_up = interrupted
            signal.raise_signal(signal.SIGINT) if sys.argv[1] == "cancel" else run.close()
    run.close()
sys.exit(event["exit_code"])
"""


@pytest.mark.parametrize("during", ["cancel", "close"])
def test_B15_ctrl_c_during_a_stop_does_not_hold_it_up(tmp_path, during):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", TWICE, during], cwd=tmp_path, env=environment, timeout=120, check=False
    )
    assert done.returncode == 130


def test_B15_ctrl_c_again_while_one_is_attended_to_is_the_same_one():
    depths = []

    def action() -> None:
        depths.append(len(depths))
        if len(depths) == 1:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            assert depths == [0], "what an action holds, such as the lock of an event, is not asked for again"

    with on_interrupt(action):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert depths == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
def test_a_worker_that_is_killed_is_said_and_its_frames_stay(folder, tmp_path):
    process = started(tmp_path)
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    output, _ = rest_of(process)
    events = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 6
    (error,) = [event for event in events if event["event"] == "error"]
    assert error["diagnostics"][0]["code"] == "worker-died"
    assert "SIGKILL" in error["diagnostics"][0]["message"]
    (made,) = (tmp_path / "bakes").iterdir()
    assert Bake.open(made).damaged(checksums=True) == []


def test_a_worker_of_a_process_that_has_imported_bpy_writes_frames(folder, tmp_path):
    code = """
import sys, bpy
from fluid_addon.run import RunRequest, WorkerRun
worker = WorkerRun(RunRequest("smoke.lua", "out"))
last = list(worker.events())[-1]
worker.close()
sys.exit(last["exit_code"])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, timeout=120, check=False)
    assert done.returncode == 0
    assert len(list(tmp_path.glob("out/*/smoke_*.vdb"))) == 6


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs to mount a small file system")
@pytest.mark.parametrize("where", [(), ("--in-process",)], ids=["worker", "in process"])
def test_a_full_disk_ends_the_run_and_keeps_the_frames_before(command, tmp_path, where):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True)
    try:
        noisy = SMOKE.replace("params.gain * dt", "params.gain * Random(coord, frame)")
        (tmp_path / "noisy.lua").write_text(noisy.replace("{12, 12, 12}", "{24, 24, 24}"))
        done = command("run", "noisy.lua", "-o", "disk", *where)
        assert done.returncode == 5, done.stderr
        assert "error[disk-full]" in done.stderr and "noisy.lua:9" in done.stderr
        assert "leaked" not in done.stderr
        (folder,) = disk.iterdir()
        bake = Bake.open(folder)
        assert 1 <= len(bake.frames) < 6
        assert bake.damaged(checksums=True) == []
        assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", *(f.path for f in bake.frames)]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


BALLS = """
sim = FluidEngine.new{domain_size = {12, 12, 12}, voxel_size = 0.25}
sim:add_object("ball", scene.object("Ball"))
sim:add_object("still", scene.object("Still"))
for frame = 1, 2 do
    sim:step(0.5)
    local inside, rise = sim:read("ball_distance", {6, 6, 6}) < 0, sim:read("ball_velocity", {6, 6, 6})[3]
    print(inside, rise, sim:reduce("still_distance", "min") < 0)
end
"""


def test_mesh_files_take_the_place_of_a_scene(command, tmp_path):
    (tmp_path / "balls.lua").write_text(BALLS)
    for frame in range(3):
        write_obj(tmp_path / f"rising_{frame}.obj", sphere((1.6, 1.6, 0.6 + 0.5 * frame), 0.5, 6))
    write_obj(tmp_path / "Still.obj", sphere((1.0, 1.0, 1.0), 0.6, 4))
    missing = command("run", "balls.lua", "--in-process")
    assert missing.returncode == 3 and 'There is no object "Ball"' in missing.stderr
    objects = ("--object", "Ball=rising_#.obj")
    assert command("check", "balls.lua", *objects).stdout == "No problem found.\n"
    done = command("run", "balls.lua", *objects, "--in-process")
    assert done.stdout.splitlines()[:2] == ["false\t1.0\ttrue", "true\t1.0\ttrue"]
    for wrong in ("Ball", "Ball=", "=ball.obj"):
        assert command("run", "balls.lua", "--object", wrong, "--in-process").returncode == 2
