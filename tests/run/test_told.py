# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run tells of its active leaves, of the time that several devices lose to each other, and of how it goes on."""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.run import RunRequest, run_log
from fluid_addon.run.event_shapes import check_event
from fluid_addon.run.session import run_script
from fluid_addon.run.terminal import Terminal, progress_line
from fluid_addon.volumes.bake import Bake

SMOKE = """
sim = FluidEngine.new{domain_size = {32, 16, 16}, sparse = SPARSE}
sim:add_field("density", Format.R32F, 0)
sim:activate{low = {0.05, 0.05, 0.05}, high = {1.5, 0.7, 0.7}}
sim:add_stencil("drift", {inputs = {"density"}, outputs = {"density_new"}, code = [[
    WriteField("density_new", idx, ReadField("density", coord - ivec3(1, 0, 0)) + 1.0);
]]})
for frame = 1, 3 do sim:step(1) end
"""


@pytest.fixture
def told():
    """The events of a run of SMOKE; `told("true", gpu_count=2)`."""

    def run(sparse, **request):
        events = []
        source = SMOKE.replace("SPARSE", sparse)
        assert run_script(RunRequest("smoke.lua", source=source, **request), events.append, threading.Event()) == 0
        return events

    return run


def last(events, kind):
    return [event for event in events if event["event"] == kind][-1]


def test_a_sparse_run_counts_its_active_leaves(told):
    events = told("true")
    progress = last(events, "progress")
    assert progress["leaves"] == 2
    assert progress_line(progress).endswith(" Mcells/s  2 leaves")
    assert last(events, "finished")["exchange"] is None


def test_a_dense_run_has_none(told):
    progress = last(told("false"), "progress")
    assert progress["leaves"] is None
    assert progress_line(progress).endswith(" Mcells/s")


def test_several_devices_say_what_they_lost_to_each_other(told):
    events = told("false", gpu_count=2)
    lost = last(events, "finished")["exchange"]
    assert lost["bytes"] == 2 * (2 * 4 * 16 * 16 * 4) and lost["seconds"] > 0  # the first of three steps needs none
    output = io.StringIO()
    terminal = Terminal(io.StringIO(), output)
    for event in events:
        terminal.show(event)
    assert output.getvalue().endswith(" s of it lost to 16.0 KiB of halos\n")
    memory = last(events, "memory")
    assert len(memory["parts"]) == 2 and memory["table"].count("density_new") == 2
    assert 'planes 16 to 31 of 32 on "' in memory["table"]


def test_all_that_a_run_of_endless_voxels_tells_can_be_taken_in():
    source = "sim = FluidEngine.new{domain_size = {8, 8, 8}, voxel_size = 1e308}\n"
    source += 'sim:add_field("a", Format.R32F, 1)\nsim:step(1)'
    events = []
    with np.errstate(over="ignore", invalid="ignore"):
        assert run_script(RunRequest("large.lua", source=source), events.append, threading.Event()) == 0
    assert [check_event(event) for event in events] == events
    assert "domain" not in [event["event"] for event in events]


def test_the_write_of_a_frame_is_told_before_and_after(tmp_path):
    events = []
    source = SMOKE.replace("SPARSE", "false").replace(
        "sim:step(1)", 'sim:step(1) sim:export_vdb("a_" .. frame .. ".vdb")'
    )
    request = RunRequest("smoke.lua", source=source, output=str(tmp_path))
    assert run_script(request, events.append, threading.Event()) == 0
    kinds = [(event["event"], event["path"]) for event in events if event["event"] in ("writing", "frame")]
    assert kinds == [
        (kind, path)
        for frame in range(1, 4)
        for name in [f"a_{frame}.vdb"]
        for kind, path in [("writing", name), ("writing", None), ("frame", name)]
    ]


LOSES = """
sim = FluidEngine.new{domain_size = {32, 32, 32}}
sim:add_field("density", Format.R32F, 0)
for frame = 1, 6 do sim:step(1) sim:export_vdb("a_" .. frame .. ".vdb") end
"""


@pytest.mark.parametrize("end", ['error("deep")', 'sim:fill("none", 1)', "while true do end"])
def test_what_a_script_exported_before_its_error_is_kept(tmp_path, end):
    seconds = 0.2 if "while" in end else 60.0  # the others are not to meet the limit, whatever holds them up
    request = RunRequest("a.lua", source=LOSES + end, output=str(tmp_path), lua_seconds=seconds)
    events = []
    assert run_script(request, events.append, threading.Event()) == 3
    names = [f"a_{frame}.vdb" for frame in range(1, 7)]
    assert [event["path"] for event in events if event["event"] == "frame"] == names
    assert events[-1]["files"] == names
    kept = Bake.open(Path(events[-1]["bake"]))
    assert [frame.path for frame in kept.frames] == names


def test_what_was_exported_before_a_cancel_does_not_hold_it_up(tmp_path):
    cancel = threading.Event()

    def hear(event):
        if event["event"] == "frame":
            cancel.set()

    request = RunRequest("a.lua", source=LOSES, output=str(tmp_path))
    assert run_script(request, hear, cancel) == 130


@pytest.mark.parametrize("log", ["a folder", "a full disk"])
def test_a_log_that_cannot_be_written_costs_a_note(tmp_path, monkeypatch, log):
    if log == "a full disk" and not Path("/dev/full").exists():
        pytest.skip("there is no disk that is always full")
    monkeypatch.setattr(run_log, "last_log", lambda: tmp_path / "last_run.log")
    (tmp_path / "last_run.log").mkdir() if log == "a folder" else (tmp_path / "last_run.log").symlink_to("/dev/full")
    events = []
    request = RunRequest("a.lua", source="print(1) print(2)")
    assert run_script(request, events.append, threading.Event()) == 0
    assert [event["event"] for event in events] == ["started", "note", "log", "log", "parameters", "finished"]
    why = os.strerror(errno.EISDIR if log == "a folder" else errno.ENOSPC)
    assert events[1]["text"] == f'The log of this run, "{tmp_path / "last_run.log"}", cannot be written: {why}.'


@pytest.mark.parametrize(
    ("events", "frame"),
    [
        ([{"event": "checkpoint", "frame": 48, "bytes": 1}], 48),
        ([{"event": "resumed", "frame": 48, "files": 2}], 48),
        (
            [{"event": "checkpoint", "frame": 48, "bytes": 1}, {"event": "restarted", "frame": 50, "text": "Again."}],
            None,
        ),
        ([], None),
    ],
)
@pytest.mark.parametrize("code", [0, 6])
def test_a_run_that_was_cut_short_says_how_it_goes_on(events, frame, code):
    progress = io.StringIO()
    terminal = Terminal(progress, io.StringIO())
    end = {
        "event": "finished",
        "exit_code": code,
        "frames": 50,
        "files": ["a_1.vdb"],
        "seconds": None,
        "bake": "bakes/a",
    }
    for event in [*events, end]:
        terminal.show(event)
    said = "The run can go on from frame 48: give the same command with --resume.\n"
    assert progress.getvalue().endswith(said) == (frame is not None and code != 0)
