# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that lost its device goes on once more by itself; one that loses it again in the same step ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fluid_addon.faults import FAULTS_VARIABLE, fault_text
from fluid_addon.run import RunRequest, RunState, WorkerRun
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.openvdb_files import read_vdb
from tests.processes import closed
from tests.run.fake_worker import fake_worker, needs_scripts

# Every start leaves its request in the folder of the script, so that a worker knows the how-manieth it is.
COUNTED = """
folder = request["folder"]
attempt = len(os.listdir(folder))
with open(f"{folder}/{attempt}", "w") as file:
    json.dump(request, file)
send("started", script=request["script"])
"""


def run_of(tmp_path: Path, body: str, **more) -> tuple[list, list[dict]]:
    """The events of a run whose workers do `body`, and the requests that they were given."""
    folder = tmp_path / "asked"
    folder.mkdir()
    request = RunRequest("smoke.lua", source="", folder=str(folder), output=str(tmp_path / "out"), **more)
    run = WorkerRun(request, fake_worker(tmp_path, COUNTED + body))
    told = list(run.events())
    run.close()
    asked = [json.loads(path.read_text()) for path in sorted(folder.iterdir())]
    return told, asked


def kinds(told: list) -> list[str]:
    return [event["event"] for event in told]


LOST = "error('device-lost', 'The device was lost in \"advect\".'); finished(4, frame, files, bake); os._exit(0)\n"


@needs_scripts
def test_V05_V17_a_lost_device_goes_on_from_the_checkpoint(tmp_path) -> None:
    body = f"""
bake, files, frame = request["output"] + "/one", ["a_1", "a_2"], 2
if attempt == 0:
    send("bake", folder=bake)
    progress(1); send("frame", path="a_1", frame=1, bytes=1)
    send("checkpoint", frame=1, bytes=10)
    progress(2); send("frame", path="a_2", frame=2, bytes=1)
    {LOST}
send("bake", folder=bake)
send("resumed", frame=1, files=1)
for frame in (2, 3):
    progress(frame); send("frame", path=f"a_{{frame}}", frame=frame, bytes=1)
finished(0, 3, ["a_1", "a_2", "a_3"], bake)
"""
    told, asked = run_of(tmp_path, body)
    bake = str(tmp_path / "out" / "one")
    assert "error" not in kinds(told)
    assert kinds(told).count("finished") == 1
    (restarted,) = [event for event in told if event["event"] == "restarted"]
    assert restarted["frame"] == 2
    assert restarted["text"] == ('The device was lost in "advect". The run begins once more from its last checkpoint.')
    assert [(request["resume"], request["careful"]) for request in asked] == [(None, False), (bake, True)]
    end = told[-1]
    assert (end["exit_code"], end["frames"], end["files"], end["bake"]) == (0, 3, ["a_1", "a_2", "a_3"], bake)
    state = RunState()
    for event in told:
        state.apply(event)
    assert (state.files, state.frame, state.headline) == (3, 3, "Done: 3 files in 0:01")


@needs_scripts
def test_V05_without_a_checkpoint_it_begins_anew(tmp_path) -> None:
    body = f"""
bake, files, frame = f"{{request['output']}}/{{attempt}}", ["a_1"], 1
send("bake", folder=bake)
progress(1); send("frame", path="a_1", frame=1, bytes=1)
if attempt == 0:
    {LOST}
finished(0, 1, files, bake)
"""
    told, asked = run_of(tmp_path, body)
    bake = str(tmp_path / "out" / "1")
    assert [(request["resume"], request["careful"]) for request in asked] == [(None, False), (None, True)]
    (restarted,) = [event for event in told if event["event"] == "restarted"]
    assert restarted["text"].endswith("The run begins once more from its start, as there is no checkpoint yet.")
    assert (told[-1]["exit_code"], told[-1]["files"], told[-1]["bake"]) == (0, ["a_1"], bake)
    state = RunState()
    for event in told:
        state.apply(event)
    assert (state.files, state.bake) == (1, bake)


@needs_scripts
def test_V06_a_device_lost_again_in_the_same_step_ends_the_run(tmp_path) -> None:
    body = f"""
bake, files, frame = request["output"] + "/one", ["a_1"], 1
send("bake", folder=bake)
if attempt == 0:
    progress(1); send("frame", path="a_1", frame=1, bytes=1); send("checkpoint", frame=1, bytes=1)
else:
    send("resumed", frame=1, files=1)
{LOST}
"""
    told, asked = run_of(tmp_path, body)
    assert len(asked) == 2
    assert kinds(told)[-3:] == ["resumed", "error", "finished"]
    assert told[-2]["diagnostics"][0]["message"] == 'The device was lost in "advect".'
    assert (told[-1]["exit_code"], told[-1]["frames"], told[-1]["files"]) == (4, 1, ["a_1"])


@needs_scripts
def test_V06_a_device_lost_at_ever_later_steps_ends_the_run_after_three(tmp_path) -> None:
    body = f"""
bake, files, frame = request["output"] + "/one", [], 10 * (attempt + 1)
send("bake", folder=bake); send("checkpoint", frame=1, bytes=1); progress(frame)
{LOST}
"""
    told, asked = run_of(tmp_path, body)
    assert len(asked) == 4
    assert [event["frame"] for event in told if event["event"] == "restarted"] == [10, 20, 30]
    assert (told[-2]["event"], told[-1]["exit_code"], told[-1]["frames"]) == ("error", 4, 40)


@needs_scripts
def test_other_errors_and_checks_do_not_begin_again(tmp_path) -> None:
    told, asked = run_of(tmp_path, "error('device-memory', 'Too large.'); finished(4, 0, [])")
    assert (len(asked), kinds(told)) == (1, ["started", "error", "finished"])


@needs_scripts
def test_a_stop_between_two_workers_ends_the_run(tmp_path) -> None:
    body = f"""
bake, files, frame = None, [], 1
if attempt == 0:
    {LOST}
time.sleep(600)
"""
    folder = tmp_path / "asked"
    folder.mkdir()
    request = RunRequest("smoke.lua", source="", folder=str(folder))
    run = WorkerRun(request, fake_worker(tmp_path, COUNTED + body))
    told = []
    for event in run.events():
        told.append(event)
        if event["event"] == "restarted":
            run.cancel()
    assert (told[-1]["event"], told[-1]["exit_code"]) == ("finished", 130)
    closed(run)


SMOKE = """
sim = FluidEngine.new{domain_size = {12, 12, 12}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("grow", {inputs = {"density"}, outputs = {"density_new"}, code = [[
    WriteField("density_new", idx, ReadField("density", idx) + dt);
]]})
for frame = 1, 6 do
    sim:step(0.5)
    sim:export_vdb("smoke_" .. frame .. ".vdb")
end
"""


def test_V05_a_real_worker_that_loses_its_device_delivers_the_same_frames(tmp_path, monkeypatch) -> None:
    def bake_of(faults: str) -> tuple[list, Bake]:
        request = RunRequest("smoke.lua", source=SMOKE, output=str(tmp_path / "out"), checkpoint_seconds=1e-6)
        monkeypatch.setenv(FAULTS_VARIABLE, faults)
        run = WorkerRun(request)
        monkeypatch.delenv(FAULTS_VARIABLE)  # the second worker starts without it
        told = list(run.events())
        run.close()
        return told, Bake.open(Path(told[-1]["bake"]))

    undisturbed, whole = bake_of("")
    told, bake = bake_of(fault_text("device.submit", 9))
    assert kinds(told).count("restarted") == 1, told
    assert (told[-1]["exit_code"], told[-1]["frames"]) == (0, undisturbed[-1]["frames"])
    assert [Path(name).name for name in told[-1]["files"]] == [f"smoke_{frame}.vdb" for frame in range(1, 7)]
    assert bake.damaged(checksums=True) == []
    assert [frame.frame for frame in bake.frames] == [frame.frame for frame in whole.frames] == [1, 2, 3, 4, 5, 6]
    for first, second in zip(whole.frames, bake.frames, strict=True):
        (one,), (other,) = read_vdb(whole.folder / first.path), read_vdb(bake.folder / second.path)
        assert one.leaf_values.tobytes() == other.leaf_values.tobytes()


@pytest.mark.long
def test_V06_a_real_worker_that_loses_its_device_again_names_the_kernel(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(FAULTS_VARIABLE, fault_text("device.submit", 4, more=True))
    run = WorkerRun(RunRequest("smoke.lua", source=SMOKE, output=str(tmp_path / "out")))
    told = list(run.events())
    run.close()
    # The first one is lost in an export, after frame 1; the second and third one, which wait for each kernel, in one.
    assert [event["frame"] for event in told if event["event"] == "restarted"] == [1, 0]
    (item,) = [event["diagnostics"][0] for event in told if event["event"] == "error"]
    assert (item["code"], told[-1]["exit_code"]) == ("device-lost", 4)
    assert item["message"].endswith('was lost in the kernel "grow" in frame 1.')
