# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to Blender during a run, the run ends cleanly, and no process is left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.real_blender.conftest import Start
from tests.real_blender.simulations import ENDLESS, add, run, smoke, wait_for_frames
from tests.real_blender.window import Blender, wait_for


@pytest.fixture
def running(blender: Blender) -> Blender:
    """Blender during a run that would go on for long, its first frames in the scene."""
    add(blender, smoke(frames=ENDLESS))
    run(blender)
    wait_for_frames(blender, 2)
    assert len(blender.workers) == 1
    return blender


def no_worker_is_left(blender: Blender) -> None:
    wait_for("the end of the worker", lambda: not blender.workers, 10.0)


def runs_again(blender: Blender) -> None:
    """A new run goes from its beginning to its end."""
    add(blender, smoke(frames=2), "Again")
    run(blender, "Again")
    blender.wait_for("state(bpy.data.objects['Again']).exit_code == 0", 120.0)
    assert blender.tell("newest(bpy.data.objects['Again'])") == 2
    no_worker_is_left(blender)


def test_stopping(running: Blender) -> None:
    running.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
    running.wait_for("state(bpy.data.objects['Smoke']).stage.name == 'STOPPED'")
    no_worker_is_left(running)
    shown = running.tell("newest(bpy.data.objects['Smoke'])")
    assert shown >= 2, "finished frames stay"
    runs_again(running)


def test_quitting_blender(running: Blender) -> None:
    running.order("bpy.ops.wm.quit_blender()")
    assert running.wait_for_end() == 0


def test_B07_blender_killed(running: Blender) -> None:
    os.kill(running.process.pid, signal.SIGKILL)
    running.wait_for_end()  # the worker sees that nobody listens any more


def test_another_file_is_loaded(running: Blender, tmp_path: Path) -> None:
    other = tmp_path / "other.blend"
    running.tell(f"bpy.ops.wm.save_as_mainfile(filepath={str(other)!r}, copy=True)")
    running.order(f"bpy.ops.wm.open_mainfile(filepath={str(other)!r})")
    no_worker_is_left(running)
    running.wait_for(f"bpy.data.filepath == {str(other)!r}")
    assert not running.tell("part('blender.live').RUNS.is_busy")
    runs_again(running)


def test_a_new_file(running: Blender) -> None:
    running.order("bpy.ops.wm.read_homefile()")
    no_worker_is_left(running)
    running.wait_for("'Smoke' not in bpy.data.objects")
    runs_again(running)


def test_undo_and_redo(running: Blender) -> None:
    running.tell("with inside('VIEW_3D'): bpy.ops.ed.undo_push(message='before')")
    running.tell("with inside('VIEW_3D'): bpy.ops.mesh.primitive_cube_add(); bpy.context.object.name = 'Undone'")
    running.tell("with inside('VIEW_3D'): bpy.ops.ed.undo_push(message='after')")
    before = running.tell("newest(bpy.data.objects['Smoke'])")
    wait_for_frames(running, before + 3)
    running.tell("with inside('VIEW_3D'): bpy.ops.ed.undo()")
    assert not running.tell("'Undone' in bpy.data.objects")
    assert len(running.workers) == 1, "undo takes back what the artist did, not the run"
    wait_for_frames(running, before + 6)
    running.tell("with inside('VIEW_3D'): bpy.ops.ed.redo()")
    assert running.tell("'Undone' in bpy.data.objects")
    wait_for_frames(running, before + 9)
    running.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
    no_worker_is_left(running)


def test_undo_of_what_made_the_simulation(blender: Blender) -> None:
    blender.tell("with inside('VIEW_3D'): bpy.ops.ed.undo_push(message='empty')")
    add(blender, smoke(frames=ENDLESS))
    blender.tell("with inside('VIEW_3D'): bpy.ops.ed.undo_push(message='added')")
    run(blender)
    wait_for_frames(blender, 2)
    for _ in range(4):
        blender.tell("with inside('VIEW_3D'): bpy.ops.ed.undo.poll() and bpy.ops.ed.undo()")
        if not blender.tell("'Smoke' in bpy.data.objects"):
            break
    assert not blender.tell("'Smoke' in bpy.data.objects")
    no_worker_is_left(blender)
    runs_again(blender)


def test_B09_deleting_the_object(running: Blender) -> None:
    running.tell(
        "with inside('VIEW_3D'):\n"
        "    bpy.ops.object.select_all(action='DESELECT')\n"
        "    bpy.data.objects['Smoke'].select_set(True)\n"
        "    bpy.ops.object.delete()"
    )
    no_worker_is_left(running)
    runs_again(running)


def test_B09_renaming_object_and_text(running: Blender) -> None:
    running.tell("bpy.data.objects['Smoke'].name = 'Cloud'; bpy.data.texts['smoke.lua'].name = 'cloud.lua'")
    before = running.tell("newest(bpy.data.objects['Cloud'])")
    wait_for_frames(running, before + 3, "Cloud")
    running.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Cloud')")
    no_worker_is_left(running)


def test_B06_disabling_the_addon(running: Blender) -> None:
    running.tell("bpy.ops.preferences.addon_disable(module=EXTENSION)")
    no_worker_is_left(running)
    assert not running.tell("hasattr(bpy.types, 'FLUID_ADDON_OT_run_simulation')")
    running.tell("bpy.ops.preferences.addon_enable(module=EXTENSION)")
    runs_again(running)


def test_the_worker_is_killed(running: Blender) -> None:
    (worker,) = running.workers
    os.kill(worker, signal.SIGKILL)
    running.wait_for("state(bpy.data.objects['Smoke']).stage.name == 'FAILED'")
    (error,) = running.tell("[each['code'] for each in state(bpy.data.objects['Smoke']).errors]")
    assert error == "worker-died"
    runs_again(running)


def test_quitting_while_others_wait(start: Start) -> None:
    blender = start()
    for name in ("One", "Two", "Three"):
        add(blender, smoke(frames=ENDLESS), name)
        run(blender, name)
    wait_for_frames(blender, 1, "One")
    assert len(blender.workers) == 1
    blender.order("bpy.ops.wm.quit_blender()")
    assert blender.wait_for_end() == 0


def test_runs_wait_for_their_turn(blender: Blender) -> None:
    names = ("One", "Two", "Three")
    for name in names:
        add(blender, smoke(frames=4), name)
    stages = blender.tell(
        "with inside('VIEW_3D'):\n"
        f"    for name in {names}: bpy.ops.fluid_addon.run_simulation(name=name)\n"
        f"[state(bpy.data.objects[name]).stage.name for name in {names}]"
    )
    assert stages == ["QUEUED", "QUEUED", "QUEUED"]
    most = 0
    while not all(blender.tell(f"state(bpy.data.objects[{name!r}]).is_over") for name in names):
        most = max(most, len(blender.workers))
    assert most == 1
    for name in names:
        assert blender.tell(f"state(bpy.data.objects[{name!r}]).stage.name") == "DONE"
        assert blender.tell(f"newest(bpy.data.objects[{name!r}])") == 4
    no_worker_is_left(blender)


def test_a_render_during_a_run(running: Blender, tmp_path: Path) -> None:
    picture = tmp_path / "still.png"
    before = running.tell("newest(bpy.data.objects['Smoke'])")
    running.tell(
        "bpy.context.preferences.view.render_display_type = 'NONE'\n"
        "scene = window().scene\n"
        "scene.render.engine = 'CYCLES'; scene.cycles.samples = 64; scene.cycles.use_denoising = False\n"
        f"scene.render.resolution_x = scene.render.resolution_y = 200; scene.render.filepath = {str(picture)!r}\n"
        "while_rendering = []\n"
        "bpy.app.handlers.render_stats.append(\n"
        "    lambda *_: while_rendering.append(newest(bpy.data.objects['Smoke'])))\n"
        "scene = None"
    )
    running.order("with inside('VIEW_3D'): bpy.ops.render.render('INVOKE_DEFAULT', write_still=True)")
    wait_for("the picture", picture.exists, 120.0)
    during = running.tell("while_rendering")
    assert during and len(set(during)) == 1, "the scene stays as it is while a render reads it"
    wait_for_frames(running, before + 3)
    running.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
    no_worker_is_left(running)
