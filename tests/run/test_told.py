# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run tells of its active leaves, of the time that several devices lose to each other, and of how it goes on."""

from __future__ import annotations

import io
import threading

import pytest

from fluid_addon.run import RunRequest, run_script
from fluid_addon.run.terminal import Terminal, progress_line

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
