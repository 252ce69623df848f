# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line as a user meets it: exit codes, progress, JSON, cancel, and a worker that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fluid_addon.volumes.bake import Bake
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


@pytest.fixture
def command(tmp_path):
    """`command("run", …)` runs the command line in tmp_path; smoke.lua and endless.lua are there."""
    (tmp_path / "smoke.lua").write_text(SMOKE)
    (tmp_path / "endless.lua").write_text(ENDLESS)

    def run(*arguments: str, **more):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        whole = [sys.executable, "-m", "fluid_addon", *arguments]
        done = subprocess.run(
            whole, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False, **more
        )
        assert "Traceback" not in done.stderr + done.stdout
        return done

    return run


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
    done = command("run", "smoke.lua", "--json", "--param", "other=1")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "started" and kinds[-1] == "finished"
    assert kinds.count("frame") == 6
    assert {"memory", "bake", "progress", "log", "parameters", "note"} <= set(kinds)
    assert events[-1]["exit_code"] == 0 and len(events[-1]["files"]) == 6
    (note,) = [event for event in events if event["event"] == "note"]
    assert note["text"] == 'The script declares no parameter "other".'


def test_frames_choose_what_is_exported_and_where_it_ends(command, tmp_path):
    done = command("run", "smoke.lua", "--frames", "3-4", "--json")
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
        (("run", "smoke.lua", "--param", "gain=11"), 3, "gain"),
        (("run", "smoke.lua", "--device", "no such"), 4, "no such"),
        (("run", "smoke.lua", "-o", "smoke.lua/below"), 5, "smoke.lua/below"),
        (("presets", "smoke_plum", "x.lua"), 2, 'Did you mean "smoke_plume"'),
        (("render", "nowhere", "-o", "x.png"), 5, "nowhere"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else str(v),
)
def test_what_is_wrong_has_its_exit_code(command, arguments, code, text):
    done = command(*arguments)
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
    command("run", "smoke.lua")
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
    import io

    from fluid_addon.run.terminal import LINE_EVERY, Terminal

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
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["event"] == "frame":
            break
    return process


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
@pytest.mark.parametrize("where", [(), ("--in-process",)], ids=["worker", "in process"])
def test_ctrl_c_ends_the_run_and_leaves_whole_frames(command, tmp_path, where):
    process = started(tmp_path, *where)
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    output, errors = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    events = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 130, errors
    assert events[-1]["event"] == "finished"
    (folder,) = (tmp_path / "bakes").iterdir()
    bake = Bake.open(folder)
    assert bake.frames and bake.damaged(checksums=True) == []
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
def test_a_worker_that_is_killed_is_said_and_its_frames_stay(command, tmp_path):
    process = started(tmp_path)
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    events = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 6
    (error,) = [event for event in events if event["event"] == "error"]
    assert error["diagnostics"][0]["code"] == "worker-died"
    assert "SIGKILL" in error["diagnostics"][0]["message"]
    (folder,) = (tmp_path / "bakes").iterdir()
    assert Bake.open(folder).damaged(checksums=True) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
def test_a_worker_ends_when_nobody_listens_any_more(command, tmp_path):
    process = started(tmp_path)
    (worker,) = children(process.pid)
    process.kill()
    process.communicate()
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


def test_a_worker_of_a_process_that_has_imported_bpy_writes_frames(command, tmp_path):
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


def test_what_is_pinned_of_the_protocol():
    import io

    from fluid_addon.run.protocol import MessageWriter, ProtocolError, read_message

    stream = io.BytesIO()
    writer = MessageWriter(stream)
    messages = [{"event": "log", "text": "ä" * 1000}, {}, {"n": [1, 2.5, None]}]
    for message in messages:
        writer.write(message)
    whole = stream.getvalue()
    stream.seek(0)
    assert [read_message(stream) for _ in range(4)] == [*messages, None]
    for damaged in (whole[:2], whole[:10], b"\xff\xff\xff\xff" + whole, b"\0\0\0\x02[]", b"\0\0\0\x02{]"):
        with pytest.raises(ProtocolError):
            read_message(io.BytesIO(damaged))


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
    missing = command("run", "balls.lua")
    assert missing.returncode == 3 and 'There is no object "Ball"' in missing.stderr
    objects = ("--object", "Ball=rising_#.obj")
    assert command("check", "balls.lua", *objects).stdout == "No problem found.\n"
    done = command("run", "balls.lua", *objects, "--in-process")
    assert done.stdout.splitlines()[:2] == ["false\t1.0\ttrue", "true\t1.0\ttrue"]
    for wrong in ("Ball", "Ball=", "=ball.obj"):
        assert command("run", "balls.lua", "--object", wrong).returncode == 2
