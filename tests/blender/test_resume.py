# SPDX-License-Identifier: GPL-3.0-or-later
"""Resume: a run that was not finished goes on from its last checkpoint, whatever ended it, and never mixes two runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fluid_addon.faults import FAULTS_VARIABLE, fault_text
from tests.blender.conftest import EXTENSION, left_over
from tests.blender.studio import Studio
from tests.blender.test_run_panel import Layout
from tests.blender.test_scene_capture import add_body
from tests.processes import children, gone

#: Every frame depends on all before it, so that a state that is not quite the same shows in the files.
GROWING = """
local rate = param("rate", {default = 1, min = 0, max = 4})
sim = FluidEngine.new{domain_size = {16, 16, 16}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("grow", {inputs = {"density"}, outputs = {"density_new"}, code = [[
    float before = ReadField("density", coord - ivec3(1, 0, 0));
    WriteField("density_new", idx, 0.3 * before + params.rate * (0.1 + 0.01 * float(coord.y + frame)));
]]})
sim:run{frames = FRAMES, fps = 24, export = "smoke_####.vdb"}
"""
SOON = 1e-6  # seconds between two checkpoints: each frame has one
ENDLESS = 100000  # frames; no test comes to the last


@pytest.fixture
def often(bpy, studio) -> Studio:
    """A studio whose runs make a checkpoint every moment."""
    bpy.context.preferences.addons[EXTENSION].preferences.checkpoint_seconds = SOON
    return studio


#: Where OpenVDB writes a new random name into each file.
RANDOM = slice(21, 57)


def frames_of(bake: str | Path) -> dict[str, bytes]:
    """The files that a bake lists, without their random names. One that a killed writer did not list goes later."""
    listed = [frame["path"] for frame in json.loads((Path(bake) / "manifest.json").read_bytes())["frames"]]
    contents = {name: bytearray((Path(bake) / name).read_bytes()) for name in listed}
    for content in contents.values():
        content[RANDOM] = b""
    return {name: bytes(content) for name, content in contents.items()}


def uninterrupted(studio: Studio, frames: int, source: str = GROWING) -> dict[str, bytes]:
    """The files of a run that nothing has ended."""
    found = studio.add(frames, "Whole", source)
    state = studio.start(found)
    studio.idle()
    assert state.exit_code == 0
    assert studio.part("blender.bakes").unfinished(found) is None, "a finished run has nothing to go on with"
    return frames_of(state.bake)


def with_a_checkpoint(studio: Studio, found: Any, frames: int = ENDLESS) -> Any:
    """Start a run, and wait for some frames and checkpoints. Returns its state.

    With fewer `frames` than ENDLESS its worker stays in the middle for good: however fast the machine is, it does not
    end before the test does something to it.
    """
    held = frames // 2 if frames < ENDLESS else 5
    with pytest.MonkeyPatch.context() as patch:
        if frames < ENDLESS:
            patch.setenv(FAULTS_VARIABLE, fault_text("disk.announce", held, "hang"))
        state = studio.start(found)
        there = lambda: state.files >= held - 1 and (state.checkpoint or 0) >= 3 and found.data.filepath  # noqa: E731
        studio.until(lambda: state.is_over or bool(there()))
    assert not state.is_over, state.errors
    return state


def resume(studio: Studio, found: Any, operator: str = "resume_simulation", **options: Any) -> Any:
    assert getattr(studio.bpy.ops.fluid_addon, operator)(name=found.name, **options) == {"FINISHED"}
    return studio.state(found)


def stop(studio: Studio, found: Any) -> None:
    worker = studio.worker()
    studio.live.stop(found.fluid_addon.token)
    studio.idle()
    assert gone(worker), "it holds the lock of its bake until then"


def shortened(found: Any, frames: int) -> None:
    """Let the script ask for fewer frames; what it asked for before them stays the same."""
    text = found.fluid_addon.text
    text.from_string(re.sub(r"frames = \d+", f"frames = {frames}", text.as_string()))


def drawn(studio: Studio, found: Any) -> Layout:
    """What a sidebar shows of the simulation's run."""
    view = SimpleNamespace(view_to_region=lambda x, y, **_: (x, y))
    region = SimpleNamespace(width=400, view2d=view)
    context = SimpleNamespace(region=region, preferences=studio.bpy.context.preferences)
    layout = Layout([])
    studio.part("blender.run_panel").draw_run(layout, context, found)
    return layout


def button(layout: Layout) -> str | None:
    return next((entry[1] for entry in layout.drawn if entry[0] == "resume_simulation"), None)


# ===== The worker dies


FRAMES = 24


def test_a_crash_of_the_worker_costs_a_moment_and_no_frame(often) -> None:
    studio = often
    whole = uninterrupted(studio, FRAMES)
    found = studio.add(FRAMES, "Smoke", GROWING)
    state = with_a_checkpoint(studio, found, FRAMES)
    assert button(drawn(studio, found)) is None, "it runs"
    os.kill(studio.worker(), signal.SIGKILL)
    longest = 0.0
    while not state.is_over:
        begun = time.monotonic()
        studio.live._drain()
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.01)
    studio.idle()
    assert longest < 3.0, "what the crash takes from Blender's main thread, on a machine with much else to do"

    kept = frames_of(state.bake)
    assert kept.items() <= whole.items()
    assert studio.largest(found, len(kept)) > 0.0
    (error,) = state.errors
    assert error["code"] == "worker-died"
    layout = drawn(studio, found)
    assert {*error["message"].split(), *error["hint"].split()} <= set(" ".join(layout.labels()).split())
    left = studio.part("blender.bakes").unfinished(found)
    assert left.folder == Path(state.bake) and 0 < left.frame <= len(kept) + 1
    assert button(layout) == f"Resume from Frame {left.frame}"

    again = resume(studio, found)
    assert again.headline in (f"Resuming from frame {left.frame} …", "Queued …")
    studio.until(lambda: again.is_over or again.stage.value != "Queued")
    studio.idle()
    assert (again.exit_code, again.errors) == (0, [])
    assert (again.bake, again.resumes_from, again.files) == (state.bake, left.frame, FRAMES)
    assert frames_of(state.bake) == whole, "the bits of a run that nothing has ended"
    assert button(drawn(studio, found)) is None, "it is finished"
    shown = [studio.largest(found, frame) for frame in (1, left.frame, left.frame + 1, FRAMES)]
    assert shown == sorted(shown) and len(set(shown)) == len(shown), "old frames and new ones"
    assert (studio.bpy.context.scene.frame_start, studio.bpy.context.scene.frame_end) == (1, FRAMES)


def test_a_run_that_was_stopped_goes_on_and_can_be_stopped_again(often, stopped) -> None:
    stopped.found["rate"] = 1
    state = resume(often, stopped.found)
    often.until(lambda: (state.checkpoint or 0) > stopped.left.frame or state.is_over)
    assert not state.is_over, state.errors
    stop(often, stopped.found)
    assert state.bake == stopped.bake
    assert often.part("blender.bakes").unfinished(stopped.found).frame > stopped.left.frame
    assert f"The run goes on from frame {stopped.left.frame}." in [text for _, text in state.log]


#: A script that asks for an object is checked first, and the object's meshes are captured, before it runs.
WITH_BODY = (
    GROWING.replace("sim:add_stencil", 'sim:add_object("body", scene.object("Body"))\nsim:add_stencil')
    .replace('{"density"}, outputs', '{"density", "body_distance"}, outputs')
    .replace("0.3 * before", '0.3 * before + 0.1 * max(0.0, ReadField("body_distance", idx))')
)


def test_a_simulation_with_an_object_of_the_scene_resumes_D09(bpy, often) -> None:
    add_body(bpy, 0.6)
    frames = FRAMES // 2
    whole = uninterrupted(often, frames, WITH_BODY)
    found = often.add(frames, "Smoke", WITH_BODY)
    state = with_a_checkpoint(often, found, frames)
    stop(often, found)
    left = often.part("blender.bakes").unfinished(found)
    again = resume(often, found)
    often.idle()
    assert (again.exit_code, again.errors, again.resumes_from) == (0, [], left.frame)
    assert again.bake == state.bake and frames_of(again.bake) == whole


# ===== Blender itself dies


BLENDER = f"""
import sys, time, bpy
from importlib import import_module
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.preferences.addon_enable(module="{EXTENSION}")
preferences = bpy.context.preferences.addons["{EXTENSION}"].preferences
preferences.cache_folder, preferences.checkpoint_seconds = "//cache", {SOON}
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
live = import_module("{EXTENSION}.fluid_addon.blender.live")
found = bpy.data.objects["Smoke"]
live.start(found, bpy.context.scene)
token = found.fluid_addon.token
while (live.RUNS.state(token).checkpoint or 0) < 3 and not live.RUNS.state(token).is_over:
    live._drain()
    time.sleep(0.01)
print(live.RUNS.worker_pid(token), flush=True)
while True:
    live._drain()
    time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see the worker go")
def test_blender_was_killed_and_the_file_knows_its_bake(bpy, often, tmp_path) -> None:
    """Nothing was saved since the run began: the bake is known by its manifest."""
    studio = often
    bpy.context.preferences.addons[EXTENSION].preferences.cache_folder = "//cache"
    studio.add(ENDLESS, "Smoke", GROWING)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    words = [sys.executable, "-c", BLENDER, tmp_path / "scene.blend"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        worker = next((int(line) for line in process.stdout if line.strip().isdigit()), None)
        process.kill()
    assert worker is not None, "it never came to a checkpoint"
    assert gone(worker), "the worker outlives its Blender"

    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    found = bpy.data.objects["Smoke"]
    assert "fluid_bake" not in found, "it was saved before its run"
    left = studio.part("blender.bakes").unfinished(found)
    assert left.frame >= 3 and left.folder.parent == tmp_path / "cache"
    assert button(drawn(studio, found)) == f"Resume from Frame {left.frame}"
    before = frames_of(left.folder)
    state = resume(studio, found)
    studio.until(lambda: (state.checkpoint or 0) > left.frame or state.is_over)
    assert not state.is_over, state.errors
    stop(studio, found)
    after = frames_of(left.folder)
    assert before.items() <= after.items() and len(after) > left.frame
    assert studio.largest(found, 1) > 0.0, "frames from before Blender died"


# ===== Never a silent mix


@pytest.fixture
def stopped(often) -> SimpleNamespace:
    """A run that was stopped, and a slider that was moved since."""
    found = often.add(ENDLESS, "Smoke", GROWING)
    state = with_a_checkpoint(often, found)
    stop(often, found)
    left = often.part("blender.bakes").unfinished(found)
    found["rate"] = 2
    return SimpleNamespace(found=found, bake=state.bake, left=left, files=frames_of(state.bake))


def test_a_change_is_named_and_what_is_done_with_it_is_chosen(often, stopped) -> None:
    found, kept = stopped.found, stopped.left.frame
    text = found.fluid_addon.text
    text.from_string(text.as_string().replace("0.3 * before", "0.2 * before"))
    state = resume(often, found)
    often.idle()
    (error,) = state.errors
    assert error["code"] == "checkpoint-mismatch"
    assert "the script was changed" in error["message"] and '"rate" is 2' in error["message"]
    assert frames_of(stopped.bake) == stopped.files, "nothing is written before the artist has chosen"
    layout = drawn(often, found)
    assert set(error["message"].split()) <= set(" ".join(layout.labels()).split())
    (choose,) = [entry for entry in layout.drawn if entry[0] == "resume_changed"]
    assert (choose[1], choose[2].name) == ("Choose…", "Smoke")
    assert button(layout) == f"Resume from Frame {kept}", "the slider can be moved back"

    text.from_string(text.as_string().replace("0.2 * before", "0.3 * before"))
    shortened(found, kept + 3)
    state = resume(often, found, "resume_changed", choice="GO_ON")
    often.idle()
    assert (state.exit_code, state.errors) == (0, [])
    assert (state.files, state.resumes_from) == (kept + 3, kept)
    assert state.bake != stopped.bake, "Blender would show the old voxels of a path that it knows"
    assert frames_of(stopped.bake) == stopped.files, "the old bake stays as it was"
    new = frames_of(state.bake)
    assert len(new) == kept + 3
    behind = f"smoke_{kept - 1:04d}.vdb"
    assert new[behind] == stopped.files[behind], "what the checkpoint had behind it"
    assert found["fluid_bake"] == Path(state.bake).name
    assert often.largest(found, kept + 3) > 1.5 * often.largest(found, kept)
    assert button(drawn(often, found)) is None, "the newest bake is finished"

    shortened(found, 3)
    state = resume(often, found, "resume_changed", choice="START_OVER")
    often.idle()
    assert (state.exit_code, state.files, state.resumes_from) == (0, 3, None)
    assert state.bake != stopped.bake and frames_of(stopped.bake) == stopped.files


def test_a_run_resumes_without_room_for_another_bake_like_its_last(bpy, often, stopped, monkeypatch) -> None:
    """A disk that was full at frame 180 of 200 has to have room for 20 more, and not for 180."""
    stopped.found["rate"] = 1
    bakes, error = often.part("blender.bakes"), often.part("diagnostics").FluidError
    monkeypatch.setattr(bakes, "LEAST_ROOM", 1000)
    with monkeypatch.context() as full, pytest.raises(error, match=r"has 2\.0 kB free, and this run needs about"):
        full.setattr(bakes.cache, "free_space", lambda _folder: 2000)
        often.start(stopped.found)
    bpy.context.preferences.addons[EXTENSION].preferences.cache_limit_gb = 2e-6
    with pytest.raises(error, match=r"The bakes in the cache take .* of 2\.0 kB"):
        often.start(stopped.found)
    monkeypatch.setattr(bakes.cache, "free_space", lambda _folder: 2000)
    state = resume(often, stopped.found)
    often.until(lambda: (state.checkpoint or 0) > stopped.left.frame or state.is_over)
    assert not state.is_over, state.errors
    stop(often, stopped.found)


def test_a_script_that_is_not_trusted_does_not_resume(bpy, often, stopped, tmp_path) -> None:
    bpy.context.preferences.addons[EXTENSION].preferences.cache_folder = str(tmp_path / "cache")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    shutil.rmtree(often.part("blender.package").user_folder("trust"))  # as on the machine of another artist
    often.part("blender.trust")._store.cache_clear()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    found = bpy.data.objects["Smoke"]
    found["rate"] = 1
    with pytest.raises(RuntimeError, match="you have not trusted it yet"):
        bpy.ops.fluid_addon.resume_simulation("EXEC_DEFAULT", name="Smoke")
    with pytest.raises(RuntimeError, match="you have not trusted it yet"):
        bpy.ops.fluid_addon.resume_changed("EXEC_DEFAULT", name="Smoke", choice="GO_ON")
    assert not often.live.RUNS.is_busy
    assert bpy.ops.fluid_addon.trust_script(name="Smoke", resume=True) == {"FINISHED"}
    assert often.state(found).resumes_from == stopped.left.frame


def test_a_changed_script_is_trusted_and_goes_on_with_its_changes(bpy, often, stopped) -> None:
    """What the choice of the dialog hands on to the question whether the script is trusted."""
    found, text = stopped.found, stopped.found.fluid_addon.text
    shortened(found, stopped.left.frame + 3)
    text.from_string(text.as_string().replace("0.3 * before", "0.2 * before"))
    assert bpy.ops.fluid_addon.trust_script(name="Smoke", resume=True, accept_changes=True) == {"FINISHED"}
    often.idle()
    state = often.state(found)
    assert (state.exit_code, state.errors, state.resumes_from) == (0, [], stopped.left.frame)
    assert state.bake != stopped.bake and frames_of(stopped.bake) == stopped.files


# ===== Where there is nothing to resume


def test_nothing_is_offered_without_a_checkpoint(bpy, often) -> None:
    found = often.add(ENDLESS, "Smoke", GROWING)
    bpy.context.preferences.addons[EXTENSION].preferences.checkpoint_seconds = 0.0
    state = often.start(found)
    often.until(lambda: state.files > 5)
    stop(often, found)
    assert state.checkpoint is None
    assert button(drawn(often, found)) is None
    with pytest.raises(RuntimeError, match='There is no run of "Smoke" that could go on'):
        bpy.ops.fluid_addon.resume_simulation(name="Smoke")
    with pytest.raises(RuntimeError, match="No simulation is chosen"):
        bpy.ops.fluid_addon.resume_simulation()


def test_the_last_bake_counts_until_it_is_freed(bpy, often, stopped) -> None:
    text, written = stopped.found.fluid_addon.text, stopped.found.fluid_addon.text.as_string()
    text.from_string("this is no Lua")
    often.start(stopped.found)
    often.idle()
    assert button(drawn(often, stopped.found)) == f"Resume from Frame {stopped.left.frame}", "that run made no bake"
    text.from_string(written)
    assert bpy.ops.fluid_addon.free_bake(name="Smoke") == {"FINISHED"}
    assert not Path(stopped.bake).exists(), "checkpoints go with it"
    assert button(drawn(often, stopped.found)) is None


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(folder.rglob("*"))}


def test_B04_a_bake_elsewhere_is_shown_and_never_written(bpy, often, stopped, tmp_path) -> None:
    """The path of a bake comes with the file, and whoever made that may have meant any folder of this machine."""
    elsewhere = tmp_path / "elsewhere"
    shutil.move(stopped.bake, elsewhere)
    preferences = bpy.context.preferences.addons[EXTENSION].preferences
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = tree(elsewhere)
    for cache, path in (
        ("//fluid_cache", "//../../elsewhere/smoke_0001.vdb"),
        ("//fluid_cache", str(elsewhere / "smoke_0001.vdb")),
        ("//fluid_cache", "/of/another/machine/bake-1/smoke_0001.vdb"),
    ):
        preferences.cache_folder = cache
        stopped.found.data.filepath = path
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a" / "b" / "scene.blend"), relative_remap=False)
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a" / "b" / "scene.blend"))
        found = stopped.found = bpy.data.objects["Smoke"]
        seen = often.part("blender.bakes").status(found)
        assert seen.missing is path.startswith("/of"), "then the panel asks for the folder"
        assert button(drawn(often, found)) is None
        with pytest.raises(RuntimeError, match="There is no run"):
            bpy.ops.fluid_addon.resume_simulation(name="Smoke")
        assert tree(elsewhere) == before
    state = often.start(stopped.found)
    often.until(lambda: state.bake is not None)
    assert Path(state.bake).parent == tmp_path / "a" / "b" / "fluid_cache"
    stop(often, stopped.found)
    assert tree(elsewhere) == before and not Path("/of").exists()


# ===== Without a window


def test_run_scene_goes_on_where_it_can(often, stopped, capfd) -> None:
    stopped.found["rate"] = 1
    other = often.add(3, "Other", GROWING)
    headless, live = often.part("blender.headless"), often.live
    token = stopped.found.fluid_addon.token

    def stop_soon(event: dict[str, Any]) -> None:
        if event["event"] == "frame" and event["frame"] > stopped.left.frame + 1:
            live.stop(token)

    shown = headless.Terminal.show
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headless.Terminal, "show", lambda self, event: (shown(self, event), stop_soon(event)))
        assert headless.run_scene(resume=True) == 130
    said = capfd.readouterr().out
    assert 'Simulation "Other"\n' in said and f'Simulation "Smoke", from frame {stopped.left.frame}\n' in said
    assert often.state(other).exit_code == 0
    assert often.state(stopped.found).bake == stopped.bake


def test_the_command_hands_resume_on(often, capfd) -> None:
    command, before = often.part("blender.command"), children()
    with contextlib.suppress(SystemExit):
        command._execute(["run", "scene.blend", "--help"])
    assert "--resume" in capfd.readouterr().out
    assert left_over(before) == set()
