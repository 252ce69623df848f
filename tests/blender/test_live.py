# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside Blender: shown as they grow, and ended cleanly by whatever the artist does meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fluid_addon.volumes.openvdb_files import read_vdb

SCRIPT = """
local value = param("value", {default = 1, min = 0, max = 4})
sim = FluidEngine.new{domain_size = {16, 16, 16}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("fill", {outputs = {"density"}, code = [[WriteField("density", idx, params.value);]]})
sim:run{frames = FRAMES, fps = 24, export = "smoke_####.vdb"}
"""


class Studio:
    """A scene with the add-on, and its timer in our hands: Blender's own do not run without a window."""

    def __init__(self, bpy: Any, part: Callable[[str], ModuleType]) -> None:
        self.bpy, self.part = bpy, part
        self.live, self.simulation = part("blender.live"), part("blender.simulation")

    def add(self, frames: int = 3, name: str = "Smoke", source: str = SCRIPT) -> Any:
        text = self.bpy.data.texts.new(f"{name}.lua")
        text.write(source.replace("FRAMES", str(frames)))
        return self.simulation.new_simulation(self.bpy.context.scene, text, name)

    def start(self, found: Any, verb: str = "run") -> Any:
        self.live.start(found, self.bpy.context.scene, verb)
        return self.state(found)

    def state(self, found: Any) -> Any:
        return self.live.RUNS.state(found.fluid_addon.token)

    def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it never came to that"
            self.live._drain()
            time.sleep(0.01)

    def idle(self) -> None:
        self.until(lambda: self.live._drain() is None)

    def worker(self) -> int:
        (token,) = self.live.RUNS.active
        return self.live.RUNS.worker_pid(token)

    def largest(self, found: Any, frame: int) -> float:
        """The largest density that the object shows at a frame."""
        self.bpy.context.scene.frame_set(frame)
        seen = found.evaluated_get(self.bpy.context.evaluated_depsgraph_get()).data
        assert seen.grids.load(), seen.grids.error_message
        (grid,) = read_vdb(Path(seen.grids.frame_filepath), ["density"])
        return float(max(grid.leaf_values.max(initial=0.0), grid.tiles.values.max(initial=0.0)))


@pytest.fixture
def studio(bpy, extension) -> Studio:
    return Studio(bpy, extension)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


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
    found = studio.add(frames=4000)
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
    found = studio.add(frames=4000)
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


def test_a_renamed_object_goes_on(studio, running) -> None:
    running.name = "Fog"
    state = studio.state(running)
    files = state.files
    studio.until(lambda: state.files > files)
    assert not state.is_over


def test_a_deleted_object_ends_its_run(studio, running) -> None:
    pid, state = studio.worker(), studio.state(running)
    studio.bpy.data.objects.remove(running)
    studio.idle()
    assert (state.exit_code, gone(pid)) == (130, True)


def test_loading_another_file_ends_every_run(studio, running) -> None:
    pid = studio.worker()
    waiting = studio.start(studio.add(name="Later"))
    state = studio.state(running)
    studio.bpy.ops.wm.read_homefile(use_empty=True)
    assert (state.exit_code, waiting.exit_code, gone(pid)) == (130, 130, True)
    assert studio.live._drain() is None


def test_disabling_the_add_on_ends_every_run(studio, running) -> None:
    pid, state = studio.worker(), studio.state(running)
    name = next(n for n in studio.bpy.context.preferences.addons.keys() if n.endswith(".fluid_addon"))  # noqa: SIM118
    studio.bpy.ops.preferences.addon_disable(module=name)
    assert (state.exit_code, gone(pid)) == (130, True)
    assert not hasattr(studio.bpy.types, "FLUID_ADDON_OT_run_simulation")
    assert studio.bpy.ops.preferences.addon_enable(module=name) == {"FINISHED"}
    assert running.fluid_addon.token, "its settings came back"


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


def test_a_file_of_a_newer_add_on_is_not_run(studio) -> None:
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
