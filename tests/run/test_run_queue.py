# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs wait for each other, end when they are asked to, and leave no process behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError, fail
from fluid_addon.run import RunQueue, RunRequest, Stage
from fluid_addon.run.supervisor import WorkerRun
from fluid_addon.volumes.mesh_capture import MeshCaptureWriter
from tests.processes import gone
from tests.volumes.meshes import sphere

SCRIPT = """
param("strength", {default = 1, min = 0, max = 4, help = "How much"})
sim = FluidEngine.new{domain_size = {16, 16, 16}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("fill", {outputs = {"density"}, code = [[WriteField("density", idx, params.strength);]]})
sim:run{frames = FRAMES, fps = 24, export = "smoke_####.vdb"}
"""


def request(tmp_path: Path, frames: int = 3, source: str = SCRIPT) -> RunRequest:
    text = source.replace("FRAMES", str(frames))
    return RunRequest(script="smoke.lua", source=text, folder=str(tmp_path), output=str(tmp_path / "bakes"))


def until(queue: RunQueue, holds, seconds: float = 60.0) -> list:
    """Poll until something holds; the events on the way."""
    told, end = [], time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        told += queue.poll()
        time.sleep(0.01)
    return told


@pytest.fixture
def queue():
    made = RunQueue()
    yield made
    made.close()


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Two runs that were added together: their states, and all events with their keys."""
    folder, queue = tmp_path_factory.mktemp("two"), RunQueue()
    try:
        first, second = queue.add("a", request(folder)), queue.add("b", request(folder))
        assert (first.stage, second.stage, queue.active) == (Stage.QUEUED, Stage.QUEUED, [])
        yield first, second, until(queue, lambda: not queue.is_busy)
    finally:
        queue.close()


def test_runs_go_one_after_the_other(two_runs) -> None:
    first, second, told = two_runs
    assert [key for key, event in told if event["event"] == "finished"] == ["a", "b"]
    assert [key for key, _ in told] == sorted(key for key, _ in told), "b began before a had ended"
    assert (first.stage, first.files, first.frame, first.exit_code) == (Stage.DONE, 3, 3, 0)
    assert first.bake and second.bake and first.bake != second.bake
    assert first.headline.startswith("Done: 3 files in ")


def test_a_check_tells_parameters_and_computes_nothing(queue, tmp_path) -> None:
    state = queue.add("a", request(tmp_path), verb="check")
    told = until(queue, lambda: not queue.is_busy)
    (parameters,) = [event["parameters"] for _, event in told if event["event"] == "parameters"]
    assert parameters == [{"name": "strength", "default": 1, "minimum": 0, "maximum": 4, "help": "How much"}]
    assert (state.stage, state.files, state.bake, state.headline) == (Stage.CHECKED, 0, None, "No problem found")


def test_a_check_does_not_wait_for_a_run(queue, tmp_path) -> None:
    run, later = queue.add("a", request(tmp_path, frames=5000)), queue.add("b", request(tmp_path))
    check, second = queue.add("c", request(tmp_path), verb="check"), queue.add("d", request(tmp_path), verb="check")
    queue.poll()
    assert [queue.runs_before(key) for key in "abcd"] == [0, 1, 0, 1]
    until(queue, lambda: check.is_over and second.is_over)
    assert (check.stage, second.stage, run.is_over, later.stage) == (Stage.CHECKED, Stage.CHECKED, False, Stage.QUEUED)


def test_a_check_tells_every_problem(queue, tmp_path) -> None:
    wrong = SCRIPT.replace("params.strength", "params.strenth")
    state = queue.add("a", request(tmp_path, source=wrong), verb="check")
    until(queue, lambda: not queue.is_busy)
    assert (state.stage, state.exit_code, state.headline) == (Stage.FAILED, 3, "1 problem")
    assert (state.errors[0]["file"], state.errors[0]["line"]) == ("smoke.lua", 5)


def test_parameters_are_told_before_the_run_is_over(two_runs) -> None:
    told = [event["event"] for key, event in two_runs[2] if key == "a"]
    assert told.index("parameters") < told.index("frame")
    assert told.count("parameters") == 1


def test_a_run_that_waits_is_taken_out_at_once(queue, tmp_path) -> None:
    queue.add("a", request(tmp_path, frames=2000))
    waiting = queue.add("b", request(tmp_path))
    queue.poll()
    queue.stop("b")
    assert (waiting.stage, waiting.exit_code) == (Stage.STOPPED, 130)
    assert queue.active == ["a"]


def test_a_stopped_run_keeps_its_frames(queue, tmp_path) -> None:
    state = queue.add("a", request(tmp_path, frames=5000))
    until(queue, lambda: state.files >= 2)
    queue.stop("a")
    assert state.stage is Stage.STOPPING
    until(queue, lambda: not queue.is_busy)
    assert (state.stage, state.exit_code, state.errors) == (Stage.STOPPED, 130, [])
    assert len(list(Path(state.bake).glob("smoke_*.vdb"))) >= 2


def test_the_same_simulation_does_not_run_twice(queue, tmp_path) -> None:
    queue.add("a", request(tmp_path))
    with pytest.raises(FluidError, match="is being run already") as told:
        queue.add("a", request(tmp_path))
    assert told.value.code == "usage"


def test_a_killed_worker_is_said_and_the_next_run_works(queue, tmp_path) -> None:
    workers = []

    def start(*arguments, **options) -> WorkerRun:
        workers.append(WorkerRun(*arguments, **options))
        return workers[-1]

    queue = RunQueue(start)
    state = queue.add("a", request(tmp_path, frames=5000))
    until(queue, lambda: state.files >= 1)
    os.kill(workers[0].pid, signal.SIGKILL)
    until(queue, lambda: not queue.is_busy)
    assert (state.stage, state.exit_code) == (Stage.FAILED, 6)
    assert state.errors[0]["message"] == "The worker process ended by signal SIGKILL."
    again = queue.add("a", request(tmp_path))
    until(queue, lambda: not queue.is_busy)
    assert again.stage is Stage.DONE


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_closing_leaves_no_process(tmp_path) -> None:
    workers = []

    def start(*arguments, **options) -> WorkerRun:
        workers.append(WorkerRun(*arguments, **options))
        return workers[-1]

    queue = RunQueue(start)
    running, waiting = queue.add("a", request(tmp_path, frames=5000)), queue.add("b", request(tmp_path))
    until(queue, lambda: running.files >= 1)
    queue.close()
    assert (running.exit_code, waiting.exit_code, queue.is_busy) == (130, 130, False)
    assert gone(workers[0].pid), "not even a zombie stays"


def test_a_worker_that_cannot_start_is_said(tmp_path) -> None:
    def start(asked, **options) -> WorkerRun:
        return WorkerRun(asked, python=str(tmp_path / "no-python"), **options)

    queue = RunQueue(start)
    state = queue.add("a", request(tmp_path))
    told = queue.poll()
    assert [event["event"] for _, event in told] == ["error", "finished"]
    assert (state.stage, state.exit_code) == (Stage.FAILED, 6)
    assert "No worker process could be started" in state.errors[0]["message"]


def test_a_stop_does_not_wait_for_a_step_and_leaves_no_half_file(tmp_path) -> None:
    """A step of some seconds is under way: the end comes before the step's."""
    long_steps = """
    sim = FluidEngine.new{domain_size = {96, 96, 96}}
    sim:add_field("density", Format.R32F, 0)
    sim:add_stencil("slow", {inputs = {"density"}, outputs = {"density_new"}, iterations = 2000, code = [[
        float v = ReadField("density", idx);
        for (int i = 0; i < 50; ++i) { v = sin(v + 0.1); }
        WriteField("density_new", idx, v);
    ]]})
    sim:export_vdb("before.vdb")
    sim:step(0.1)
    sim:export_vdb("after.vdb")
    """
    queue = RunQueue()
    state = queue.add("a", request(tmp_path, source=long_steps))
    until(queue, lambda: state.files == 1)
    queue.stop("a")
    until(queue, lambda: not queue.is_busy)
    assert (state.stage, state.exit_code, state.files) == (Stage.STOPPED, 130, 1)
    found = sorted(path.name for path in Path(state.bake).iterdir() if path.name != ".lock")
    assert found == ["before.vdb", "manifest.json"], "neither the second export nor half of it"


def test_a_run_that_asks_for_objects_waits_for_their_meshes(queue, tmp_path) -> None:
    source = """
    sim = FluidEngine.new{domain_size = {8, 8, 8}, voxel_size = 0.5}
    sim:add_object("ball", scene.object("Ball"))
    for frame = 1, 3 do sim:step(1) end
    print(sim:read("ball_velocity", {4, 4, 4})[1])
    """
    asking = dataclasses.replace(request(tmp_path, source=source), scene={"Ball": "", "Lamp": "a light"})
    state, later = queue.add("a", asking, look_first=True), queue.add("b", request(tmp_path), look_first=True)
    until(queue, lambda: queue.to_capture)
    wanted = queue.to_capture["a"]
    assert (wanted.objects, wanted.frames) == (("Ball",), 3)
    queue.poll()
    assert (queue.active, queue.is_busy, later.stage, queue.runs_before("b")) == (["a"], True, Stage.QUEUED, 1)
    queue.tell("a", {"event": "capture", "name": '"Ball"', "frame": 1, "frames": 3})
    assert (state.headline, state.fraction) == ('Capturing "Ball" 1/3', 1 / 3)
    writer = MeshCaptureWriter(tmp_path / "capture")
    for frame in range(4):
        mesh = sphere((1.5 + 0.25 * frame, 2.0, 2.0), 1.0, 4)
        writer.add("Ball", frame, mesh.points.astype(np.float32), mesh.triangles)
    writer.finish()
    assert queue.begin_captured("a", str(writer.folder)) == []
    told = until(queue, lambda: state.is_over)
    assert [event["text"] for _, event in told if event["event"] == "log"] == ["0.25"]
    until(queue, lambda: later.is_over)
    assert (state.exit_code, later.exit_code, later.files) == (0, 0, 3), "one that asks for nothing just runs"


def test_a_run_whose_meshes_cannot_be_had_fails(queue, tmp_path) -> None:
    asking = request(tmp_path, source='FluidEngine.new{domain_size = {8, 8, 8}}:add_object("b", scene.object("Ball"))')
    state = queue.add("a", dataclasses.replace(asking, scene={"Ball": ""}), look_first=True)
    until(queue, lambda: queue.to_capture)
    assert queue.to_capture["a"].frames is None
    ((_, error), (_, end)) = queue.refuse("a", fail("unknown-object", "It is gone."))
    assert (error["event"], end["exit_code"], state.headline, queue.is_busy) == ("error", 3, "1 problem", False)
