# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong around a run, through the add-on: each says so in words, Blender lives, and the next run works."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blender.conftest import left_over
from tests.processes import children

EXTENSION = "bl_ext.user_default.fluid_addon"
SMOKE = """
sim = FluidEngine.new{domain_size = {16, 16, 16}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("fill", {outputs = {"density"}, code = [[ WriteField("density", idx, 1.0); ]]})
sim:run{frames = 3, fps = 24, export = "smoke_####.vdb"}
"""
ENDLESS = SMOKE.replace("frames = 3", "frames = 1000000")


class Runs:
    """A simulation of the scene, run as a script without a window does it."""

    def __init__(self, bpy, extension, script: str) -> None:
        self.live, self.error = extension("blender.live"), extension("diagnostics").FluidError
        self.text = bpy.data.texts.new("smoke.lua")
        self.text.write(script)
        self.scene = bpy.context.scene
        self.found = extension("blender.simulation").new_simulation(self.scene, self.text, "Smoke")

    @property
    def state(self):
        return self.live.RUNS.state(self.found.fluid_addon.token)

    def run(self, told=lambda _event: None) -> int:
        self.live.start(self.found, self.scene)
        return self.live.wait(self.found.fluid_addon.token, told)

    def refusal(self) -> tuple[str, str]:
        with pytest.raises(self.error) as caught:
            self.live.start(self.found, self.scene)
        problem = caught.value.diagnostics[0]
        return problem.code, f"{problem.message} {problem.hint}"

    def write(self, script: str) -> None:
        self.text.clear()
        self.text.write(script)


@pytest.fixture
def runs(bpy, extension) -> Runs:
    return Runs(bpy, extension, SMOKE)


@contextlib.contextmanager
def no_driver(tmp_path: Path) -> Iterator[None]:
    """A Vulkan loader that finds no driver, in every process that is started from here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
            patch.setenv(name, str(tmp_path / "none.json"))
        patch.setenv("FLUID_SCRIPT_VALIDATION", "0")
        yield


def test_B10_a_machine_without_vulkan(runs, tmp_path):
    with no_driver(tmp_path):
        assert runs.run() == 4
    assert runs.state.headline == "1 problem"
    (error,) = runs.state.errors
    assert error["code"] == "no-vulkan"
    assert error["message"].startswith("No Vulkan driver was found:")
    assert "mesa-vulkan-drivers" in error["hint"]
    assert runs.run() == 0


def test_a_device_that_is_gone(bpy, runs):
    preferences = bpy.context.preferences.addons[EXTENSION].preferences
    preferences.device = "GeForce 9090"
    assert runs.run() == 4
    assert [error["message"] for error in runs.state.errors] == ['There is no device "GeForce 9090".']
    preferences.device = ""
    assert runs.run() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
def test_a_worker_that_is_killed_from_outside(runs):
    runs.write(ENDLESS)
    shown, before = [], children()

    def kill_after_the_first_frame(event):
        if event["event"] == "frame" and not shown:
            shown.append(event["path"])
            (worker,) = children() - before
            os.kill(worker, signal.SIGKILL)

    assert runs.run(kill_after_the_first_frame) == 6
    assert runs.state.headline == "1 problem"
    (error,) = runs.state.errors
    assert error["code"] == "worker-died"
    assert error["message"].startswith("The worker process ended by signal SIGKILL.")
    assert "Finished frames are kept." in error["hint"]
    assert Path(runs.found.data.filepath).is_file()
    assert left_over(before) == set()
    runs.write(SMOKE)
    assert runs.run() == 0
    assert runs.state.headline.startswith("Done: 3 files")


def test_an_interpreter_that_cannot_be_started(runs, extension):
    queue, supervisor = runs.live.RUNS, extension("run.supervisor")

    def start(request, **options):
        return supervisor.WorkerRun(request, "/no/such/python", **options)

    usual, queue._start = queue._start, start
    try:
        assert runs.run() == 6
    finally:
        queue._start = usual
    (error,) = runs.state.errors
    assert error["message"].startswith("No worker process could be started: ")
    assert runs.run() == 0


def test_B14_a_file_of_a_newer_version(runs, extension):
    runs.found.fluid_addon.format = extension("blender.simulation").FORMAT + 1
    runs.found.fluid_addon.made_with = "9.8.7"
    code, text = runs.refusal()
    assert code == "newer-file"
    assert text == (
        '"Smoke" was made by Fluid Script 9.8.7, which is newer than this one. '
        "Update Fluid Script to run it; its frames play as they are."
    )
    assert runs.state is None


def test_a_cache_folder_that_is_a_file(bpy, runs, tmp_path):
    preferences = bpy.context.preferences.addons[EXTENSION].preferences
    before, preferences.cache_folder = preferences.cache_folder, str(tmp_path / "file" / "below")
    (tmp_path / "file").write_text("here")
    code, text = runs.refusal()
    assert code == "disk-error" and "file" in text
    preferences.cache_folder = before
    assert runs.run() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a folder of Windows cannot be made read-only so")
def test_a_cache_folder_that_is_read_only(bpy, runs, tmp_path):
    folder = tmp_path / "read only"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # root may write anywhere; only /proc refuses it, too
        folder = Path("/proc/self/fluid_cache")
    preferences = bpy.context.preferences.addons[EXTENSION].preferences
    before, preferences.cache_folder = preferences.cache_folder, str(folder)
    code, text = runs.refusal()
    assert code == "disk-error" and str(folder) in text
    preferences.cache_folder = before
    assert runs.run() == 0


@pytest.mark.parametrize("script", ["", " \n\t\n"])
def test_an_empty_text(runs, script):
    runs.write(script)
    assert runs.refusal() == (
        "script-missing",
        'The text "smoke.lua" is empty. Write a script in Lua, or begin with a preset.',
    )


def test_a_simulation_whose_text_was_deleted(bpy, runs):
    bpy.data.texts.remove(runs.text)
    assert runs.refusal()[1].startswith('"Smoke" has no script.')


@pytest.mark.parametrize(
    ("script", "code", "line"),
    [
        ("import bpy\nbpy.ops.mesh.primitive_cube_add()\n", "lua-syntax", 1),
        ("local a = nil\nprint(a.b)\n", "lua-error", 2),
        (SMOKE.replace("1.0)", "1.0 +)"), "glsl-error", 4),
    ],
    ids=["Python", "Lua", "GLSL"],
)
def test_a_script_that_is_wrong_names_its_line(runs, script, code, line):
    runs.write(script)
    assert runs.run() == 3
    first = runs.state.errors[0]
    assert (first["code"], first["file"], first["line"]) == (code, "smoke.lua", line)


def test_B09_the_object_is_deleted_while_its_run_goes_on(bpy, runs):
    runs.write(ENDLESS)
    token = runs.found.fluid_addon.token

    def delete(event):
        if event["event"] == "frame" and runs.found is not None:
            bpy.data.objects.remove(runs.found)
            runs.found = None
            runs.live.stop(token)

    runs.live.start(runs.found, runs.scene)
    assert runs.live.wait(token, delete) == 130
    assert runs.live.RUNS.active == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
@pytest.mark.parametrize("how", ["another file", "the add-on is disabled"])
def test_B06_what_ends_a_run_leaves_no_process(bpy, runs, how):
    runs.write(ENDLESS)
    before = children()
    runs.live.start(runs.found, runs.scene)
    while not runs.live.RUNS.poll():
        time.sleep(0.02)
    assert len(children() - before) == 1
    if how == "another file":
        bpy.ops.wm.read_homefile(use_empty=True)
    else:
        bpy.ops.preferences.addon_disable(module=EXTENSION)
        bpy.ops.preferences.addon_enable(module=EXTENSION)
    assert left_over(before) == set()
