# SPDX-License-Identifier: GPL-3.0-or-later
"""A run goes on with what was changed only where the artist accepts it, and then in a bake of its own."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fluid_addon.engine.journal import Journal
from fluid_addon.faults import injected
from fluid_addon.run import RunQueue, RunRequest
from fluid_addon.run.checkpoints import bake_to_resume, digest
from fluid_addon.volumes.bake import Bake
from tests.run.test_resume import CUBE, Runs, files_of

MODULAR = """
local helper = require("part.helper")
local extra = pcall(require, "extra")
local sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("grow", {inputs = {"density"}, outputs = {"density_new"}, code = helper.code})
for frame = 1, 5 do
    STEP
    sim:export_vdb("smoke_" .. frame .. ".vdb")
end
"""
PLAIN = MODULAR.replace("STEP", "sim:step(0.5)")
HELPER = 'return {code = [[ WriteField("density_new", idx, ReadField("density", idx) + 1.0); ]]}'
OTHER_HELPER = HELPER.replace("1.0", "7.0")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    write_helper(tmp_path)
    return Runs(monkeypatch, tmp_path)


def write_helper(folder: Path, text: str = HELPER) -> None:
    (folder / "part").mkdir(parents=True, exist_ok=True)
    (folder / "part" / "helper.lua").write_text(text, "utf-8")


def ended_behind(runs: Runs, text: str = PLAIN) -> RunRequest:
    """To go on with a run that was ended when its bake had frames behind its checkpoint, which is that of frame 2."""
    request = runs.request(runs.write(text))
    assert runs.run(replace(request, last_frame=2)) == 0, runs.errors()
    request = replace(request, resume=str(runs.bake))
    assert runs.run(replace(request, last_frame=4, checkpoint_seconds=0.0)) == 0, runs.errors()
    assert len(files_of(runs.bake)) == 4
    return request


def contents(request: RunRequest) -> dict[str, bytes]:
    """The files of the bake that is to go on."""
    found = sorted(Path(request.resume or "").iterdir())
    return {path.name: path.read_bytes() for path in found if path.name != ".lock"}


def test_a_changed_module_goes_into_a_new_bake_D10(runs: Runs) -> None:
    request = ended_behind(runs)
    before = contents(request)
    write_helper(runs.folder, OTHER_HELPER)
    assert runs.run(request) == 2
    assert 'cannot go on as it was: the module "part/helper.lua" was changed.' in runs.errors()[0]
    assert contents(request) == before, "nothing is written before the artist has chosen"

    assert runs.run(replace(request, accept_changes=True)) == 0, runs.errors()
    assert runs.told("finished")[0]["bake"] == str(runs.bake) != request.resume
    assert contents(request) == before, "the old one stays as it is"
    assert [event["frame"] for event in runs.told("resumed")] == [2]
    assert [name for name, _ in files_of(runs.bake)] == [f"smoke_{n}.vdb" for n in range(1, 6)]
    assert Bake.open(runs.bake).damaged(checksums=True) == []
    new = {name: (runs.bake / name).read_bytes() for name, _ in files_of(runs.bake)}
    assert [name for name in new if new[name] == before.get(name)] == ["smoke_1.vdb"]
    (note,) = [event["text"] for event in runs.told("note")]
    assert note == (
        'The run goes on from frame 2 with changes, in a new bake: the module "part/helper.lua" was changed.'
    )


def test_modules_are_known_by_their_names_also_in_another_folder_D10(runs: Runs) -> None:
    folder, moved = runs.folder / "project", runs.folder / "moved"
    write_helper(folder)
    (folder / "extra.lua").write_text("return 1", "utf-8")
    request = runs.request(runs.write(PLAIN, "project/smoke.lua"))
    assert runs.run(request, 3) == 130
    shutil.move(folder, moved)
    request = replace(request, script=str(moved / "smoke.lua"), resume=str(runs.bake))
    write_helper(moved, OTHER_HELPER)
    assert runs.run(request) == 2 and 'the module "part/helper.lua" was changed' in runs.errors()[0]
    write_helper(moved)
    (moved / "extra.lua").unlink()
    assert runs.run(request) == 2 and 'the module "extra.lua" was changed' in runs.errors()[0], "it is missing"
    (moved / "extra.lua").write_text("return 1", "utf-8")
    assert runs.run(request) == 0, runs.errors()


def test_a_module_that_is_there_now_is_a_change_D10(runs: Runs) -> None:
    request = ended_behind(runs)
    runs.write("return 1", "extra.lua")
    assert runs.run(request) == 2 and 'the module "extra.lua" was changed' in runs.errors()[0], runs.errors()


def test_a_script_that_catches_the_refusal_mixes_nothing_either_D10(runs: Runs) -> None:
    request = ended_behind(runs, MODULAR.replace("STEP", "pcall(function() sim:step(0.5) end)"))
    before = contents(request)
    write_helper(runs.folder, OTHER_HELPER)
    assert runs.run(request) == 2 and "was changed" in runs.errors()[0], runs.errors()
    assert contents(request) == before


def test_a_script_that_is_saved_while_it_runs_is_another_one_D10(runs: Runs) -> None:
    request = runs.request(runs.write(PLAIN))

    def save(event: dict[str, Any]) -> None:
        if event["event"] == "domain":
            runs.write(PLAIN + "-- the next version")

    assert runs.run(request, 3, hear=save) == 130
    assert Bake.open(runs.bake).head["script_hash"] == digest(PLAIN)
    request = replace(request, resume=str(runs.bake))
    assert runs.run(request) == 2 and "the script was changed" in runs.errors()[0], runs.errors()
    runs.write(PLAIN)
    assert runs.run(request) == 0, runs.errors()


def test_going_on_with_changes_may_fail_or_end_early_and_nothing_is_lost(runs: Runs) -> None:
    request = ended_behind(runs)
    bakes, old, before = runs.folder / "bakes", Path(request.resume or ""), contents(request)
    runs.write(PLAIN + "-- changed")
    accepted = replace(request, accept_changes=True)
    with injected("disk.rename", 1) as armed:
        assert runs.run(accepted) == 5
    assert armed.fired and list(bakes.iterdir()) == [old], "what was made of the new bake is gone again"
    assert bake_to_resume(bakes, "smoke") == old

    assert runs.run(replace(accepted, last_frame=3, checkpoint_seconds=0.0)) == 0, runs.errors()
    assert contents(request) == before
    new = bake_to_resume(bakes, "smoke")
    assert new == runs.bake != old, "the new one is the last now, and its checkpoint has come along"
    assert runs.run(replace(accepted, resume=str(new))) == 0, runs.errors()
    assert [name for name, _ in files_of(runs.bake)] == [f"smoke_{n}.vdb" for n in range(1, 6)]


def test_what_was_accepted_is_not_asked_about_again(runs: Runs) -> None:
    runs.write(CUBE, "Ball.obj")
    text = PLAIN.replace("for frame", 'sim:add_object("ball", scene.object("Ball"))\nfor frame')
    request = runs.request(runs.write(text))
    assert runs.run(request, 2) == 130
    request = replace(request, resume=str(runs.bake))
    runs.write(CUBE.replace("1.2", "1.1"), "Ball.obj")
    assert runs.run(request) == 2 and 'the object "Ball" is another one in frame 1' in runs.errors()[0]
    assert runs.run(replace(request, accept_changes=True), 4) == 130, runs.errors()
    assert str(runs.bake) != request.resume
    assert runs.run(replace(request, resume=str(runs.bake))) == 0, runs.errors()


def test_a_run_that_is_looked_at_first_resumes_D09(runs: Runs) -> None:
    """As Blender does it where a script may ask for objects of the scene."""
    request = runs.request(runs.write("-- asks for nothing of the scene\n" + PLAIN))
    assert runs.run(request, 3) == 130
    queue = RunQueue()
    try:
        state = queue.add("smoke", replace(request, resume=str(runs.bake)), look_first=True)
        end = time.monotonic() + 60.0
        while not state.is_over and time.monotonic() < end:
            queue.poll()
            time.sleep(0.01)
    finally:
        queue.close()
    assert (state.exit_code, state.errors, state.resumes_from) == (0, [], 3)
    assert state.bake == str(runs.bake) and len(files_of(runs.bake)) == 5


def test_a_journal_says_what_was_heard_last() -> None:
    """What was accepted as another one is what a later run hears."""
    first, second, third = Journal(), Journal(), Journal()
    first.of_engine().same("file a", "old", "a was changed")
    first.of_engine().ask("step", lambda: 1)
    changes: list[str] = []
    second.changed = changes.append
    second.replay(first.packed())
    second.of_engine().same("file a", "new", "a was changed")
    assert second.of_engine().ask("step", lambda: 2) == 1 and not second.is_replaying
    assert changes == ["a was changed"]
    third.replay(second.packed())
    third.of_engine().same("file a", "new", "a was changed")
    assert third.of_engine().ask("step", lambda: 3) == 1
    assert first.count == second.count == third.count == 2
