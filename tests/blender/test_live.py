# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside Blender: shown as they grow, and ended cleanly by whatever the artist does meanwhile."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.blender.conftest import EXTENSION
from tests.blender.studio import SCRIPT
from tests.processes import gone


def test_a_run_shows_its_frames(studio) -> None:
    found = studio.add()
    state = studio.start(found)
    studio.idle()
    assert (state.exit_code, state.files) == (0, 3)
    assert studio.largest(found, 3) == 1.0
    scene = studio.bpy.context.scene
    assert (scene.frame_start, scene.frame_end) == (1, 3)
    assert found.data.materials[0] is not None
    assert found["value"] == 1


def test_frames_appear_while_the_run_goes_on_and_the_timeline_follows(studio) -> None:
    found = studio.add(frames=100000)
    state = studio.start(found)
    studio.until(lambda: bool(found.data.filepath))
    assert not state.is_over
    assert studio.largest(found, 1) == 1.0
    studio.live.stop(found.fluid_addon.token)
    studio.idle()
    assert state.exit_code == 130
    assert studio.largest(found, state.files) == 1.0


def test_a_second_run_never_shows_the_voxels_of_the_first(studio) -> None:
    found = studio.add()
    first = studio.start(found)
    studio.idle()
    assert studio.largest(found, 2) == 1.0
    material = found.data.materials[0]
    found["value"] = 3
    second = studio.start(found)
    studio.idle()
    assert first.bake != second.bake
    assert studio.largest(found, 2) == 3.0
    assert found.data.materials[0] == material, "the artist may have changed it"


def test_what_runs_is_what_the_editor_shows(studio) -> None:
    found = studio.add()
    text = found.fluid_addon.text
    text.clear()
    text.write(SCRIPT.replace("FRAMES", "2").replace("params.value", "params.value + 1.0"))
    studio.start(found)
    studio.idle()
    assert studio.largest(found, 2) == 2.0


def test_a_check_brings_the_sliders_and_no_frames(studio) -> None:
    found = studio.add()
    state = studio.start(found, "check")
    studio.idle()
    assert (state.exit_code, state.files, found["value"]) == (0, 0, 1)
    assert not found.data.filepath


def test_several_simulations_run_one_after_the_other(studio) -> None:
    one, two = studio.add(name="One"), studio.add(name="Two")
    states = [studio.start(one), studio.start(two)]
    studio.live._drain()
    assert [state.stage.value for state in states][1] == "Queued"
    studio.idle()
    assert [state.exit_code for state in states] == [0, 0]
    assert one.data.filepath != two.data.filepath


def test_a_copy_of_a_running_simulation_is_a_simulation_of_its_own(studio) -> None:
    found = studio.add(frames=100000)
    studio.start(found)
    copy = found.copy()
    copy.data = found.data.copy()
    studio.bpy.context.scene.collection.objects.link(copy)
    studio.start(copy)
    assert copy.fluid_addon.token != found.fluid_addon.token
    assert studio.state(copy).stage.value == "Queued"


# ===== What an artist does meanwhile


@pytest.fixture
def running(studio) -> Any:
    """A run that goes on until it is stopped, with its first frame shown."""
    found = studio.add(frames=100000)
    studio.start(found)
    studio.until(lambda: bool(found.data.filepath))
    return found


def test_B09_a_renamed_object_goes_on(studio, running) -> None:
    running.name = "Fog"
    state = studio.state(running)
    files = state.files
    studio.until(lambda: state.files > files)
    assert not state.is_over


def test_B09_a_deleted_object_ends_its_run(studio, running) -> None:
    pid, state = studio.worker(), studio.state(running)
    studio.bpy.data.objects.remove(running)
    studio.idle()
    assert (state.exit_code, gone(pid)) == (130, True)


def test_B09_another_scene_is_shown_and_the_run_goes_on_in_its_own(studio, running) -> None:
    bpy, state = studio.bpy, studio.state(running)
    own, other = bpy.context.scene, bpy.data.scenes.new("Other")
    stood = other.frame_current
    bpy.context.window_manager.windows[0].scene = other
    files = state.files
    studio.until(lambda: state.files > files + 3)
    assert (state.errors, other.frame_current, running.users_scene[:]) == ([], stood, (own,))
    own.collection.objects.unlink(running)  # moved, by the artist, to the scene that is shown
    other.collection.objects.link(running)
    files = state.files
    studio.until(lambda: state.files > files + 3)
    studio.live.stop(running.fluid_addon.token)
    studio.idle()
    assert (state.exit_code, state.errors) == (130, [])
    bpy.data.scenes.remove(own)
    assert studio.simulation.find(running.fluid_addon.token) == running
    assert studio.state(running) is state
    assert Path(state.bake).name == running["fluid_bake"]


def test_B09_the_scene_of_a_run_is_deleted(studio, running) -> None:
    pid, state = studio.worker(), studio.state(running)
    own = studio.bpy.context.scene
    studio.bpy.context.window_manager.windows[0].scene = studio.bpy.data.scenes.new("Other")
    studio.bpy.data.scenes.remove(own)
    studio.idle()
    assert (state.exit_code, gone(pid)) == (130, True)


def test_loading_another_file_ends_every_run(studio, running) -> None:
    pid = studio.worker()
    waiting = studio.start(studio.add(name="Later"))
    state = studio.state(running)
    studio.bpy.ops.wm.read_homefile(use_empty=True)
    assert (state.exit_code, waiting.exit_code, gone(pid)) == (130, 130, True)
    assert studio.live._drain() is None


def test_B06_disabling_the_add_on_again_and_again_during_a_run(studio, running) -> None:
    bpy = studio.bpy
    token, threads = running.fluid_addon.token, set(threading.enumerate())
    for _ in range(3):
        pid, state = studio.worker(), studio.state(running)
        begun = time.monotonic()
        bpy.ops.preferences.addon_disable(module=EXTENSION)
        assert time.monotonic() - begun < 30.0
        assert (state.exit_code, gone(pid)) == (130, True), "neither a process nor a zombie"
        assert not hasattr(bpy.types, "FLUID_ADDON_OT_run_simulation")
        assert not studio.threads_beside(threads)
        assert bpy.ops.preferences.addon_enable(module=EXTENSION) == {"FINISHED"}
        assert running.fluid_addon.token == token, "its settings came back"
        state = studio.start(running)
        studio.until(lambda state=state: state.files > 0)


def test_undo_takes_back_the_last_deed_and_not_the_run(studio, running) -> None:
    bpy = studio.bpy
    token, state = running.fluid_addon.token, studio.state(running)
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    running.location.x = 5.0
    bpy.ops.ed.undo_push(message="moved")
    bpy.ops.ed.undo()
    found = studio.simulation.find(token)
    assert found.location.x == 0.0
    files = state.files
    studio.until(lambda: state.files > files)
    studio.live.stop(token)
    studio.idle()
    assert state.exit_code == 130
    assert Path(state.bake).name == studio.simulation.find(token)["fluid_bake"]


def test_a_killed_worker_is_said_and_the_simulation_runs_again(studio, running) -> None:
    state = studio.state(running)
    os.kill(studio.worker(), 9)
    studio.idle()
    assert (state.stage.value, state.exit_code) == ("Failed", 6)
    assert state.errors[0]["message"].startswith("The worker process ended by signal SIGKILL")
    shown = Path(state.bake)
    text = running.fluid_addon.text
    text.clear()
    text.write(SCRIPT.replace("FRAMES", "2"))
    again = studio.start(running)
    studio.idle()
    assert again.exit_code == 0
    assert again.bake != str(shown)


def test_nothing_is_drained_while_a_picture_is_rendered(studio, running) -> None:
    state, bpy = studio.state(running), studio.bpy
    seen = []

    def during(*_: object) -> None:
        files = state.files
        studio.live._drain()
        seen.append(state.files == files)

    bpy.app.handlers.render_pre.append(during)
    scene = bpy.context.scene
    scene.render.engine, scene.render.resolution_x, scene.render.resolution_y = "CYCLES", 16, 16
    scene.cycles.samples = 1
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    try:
        bpy.ops.render.render()
    finally:
        bpy.app.handlers.render_pre.remove(during)
    assert seen == [True]
    files = state.files
    studio.until(lambda: state.files > files)


@pytest.mark.parametrize("event", [{"event": "domain", "box": [[0.0]]}, {"event": "parameters", "parameters": [{}]}])
def test_B08_an_event_that_cannot_be_used_ends_its_run_and_not_the_timer(studio, running, monkeypatch, event) -> None:
    state, token = studio.state(running), running.fluid_addon.token
    told = [[(token, event)]]
    poll = studio.live.RUNS.poll
    monkeypatch.setattr(studio.live.RUNS, "poll", lambda: told.pop() if told else poll())
    assert studio.live._drain() is not None
    studio.idle()
    assert [item["code"] for item in state.errors] == ["worker-protocol"]
    assert state.errors[0]["message"].startswith(f'The event "{event["event"]}" of the worker process cannot be used: ')
    assert state.is_over


# ===== What cannot be run


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", 'The text "Smoke.lua" is empty.'),
        ("  \n\t\n", 'The text "Smoke.lua" is empty.'),
    ],
)
def test_an_empty_text_is_said(studio, source, sentence) -> None:
    found = studio.add(source=source)
    with pytest.raises(Exception, match=sentence) as told:
        studio.start(found)
    assert told.value.code == "script-missing"


def test_an_object_without_a_script_is_said(studio) -> None:
    found = studio.add()
    studio.bpy.data.texts.remove(found.fluid_addon.text)
    with pytest.raises(Exception, match='"Smoke" has no script'):
        studio.start(found)


def test_B14_a_file_of_a_newer_add_on_is_not_run(studio) -> None:
    found = studio.add()
    found.fluid_addon.format, found.fluid_addon.made_with = 2, "9.0.0"
    with pytest.raises(Exception, match=r'"Smoke" was made by Fluid Script 9\.0\.0, which is newer') as told:
        studio.start(found)
    assert told.value.code == "newer-file"


def test_nothing_to_run_is_said(studio) -> None:
    with pytest.raises(RuntimeError, match="No simulation is chosen"):
        studio.bpy.ops.fluid_addon.run_simulation()
    with pytest.raises(RuntimeError, match='There is no simulation "Fog"'):
        studio.bpy.ops.fluid_addon.run_simulation(name="Fog")
