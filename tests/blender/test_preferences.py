# SPDX-License-Identifier: GPL-3.0-or-later
"""The preferences: their defaults, the device by its name, and answers that come while Blender goes on."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

import pytest

EXTENSION = "bl_ext.user_default.fluid_addon"


@pytest.fixture
def machine(extension):
    return extension("blender.machine")


@pytest.fixture
def own(bpy, extension):
    return bpy.context.preferences.addons[EXTENSION].preferences


@pytest.fixture
def no_driver(monkeypatch, tmp_path):
    """A Vulkan loader that finds no driver, in every process that is started from here."""
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.setenv(name, str(tmp_path / "none.json"))
    monkeypatch.setenv("FLUID_SCRIPT_VALIDATION", "0")


def take_answers(machine) -> None:
    """Blender as a module has no event loop: the timer's function is called as the loop would."""
    while machine.take_answers() is not None:
        time.sleep(0.02)


def test_every_preference_has_the_default_that_headless_runs_use(extension, own, tmp_path):
    preferences = extension("blender.preferences")
    defaults = preferences.Settings()
    assert own.cache_folder == str(tmp_path / "cache")
    own.property_unset("cache_folder")
    assert preferences.settings() == defaults
    own.device, own.keep_last, own.log_level = "GeForce 9090", 7, "ERRORS"
    changed = dataclasses.replace(defaults, device="GeForce 9090", keep_last=7, log_level="ERRORS")
    assert preferences.settings() == changed


def test_limits_and_checkpoints_reach_the_request(studio, own):
    found = studio.add()
    own.lua_seconds, own.lua_memory_mb, own.memory_mb, own.checkpoint_seconds = 5.0, 64, 2048, 0.0
    studio.live.start(found, studio.bpy.context.scene)
    ((_, request),) = studio.live.RUNS._waiting
    assert (request.lua_seconds, request.lua_memory_mb, request.memory_mb) == (5.0, 64, 2048)
    assert (request.checkpoint_seconds, request.resume, request.accept_changes) == (0.0, None, False)
    studio.live.stop(found.fluid_addon.token)
    own.memory_mb = 0
    studio.live.start(found, studio.bpy.context.scene)
    ((_, request),) = studio.live.RUNS._waiting
    assert request.memory_mb is None, "what the machine can spare"


def test_without_the_list_of_add_ons_the_defaults_hold(bpy):
    from fluid_addon.blender import preferences

    assert preferences.preferences() is None
    assert preferences.settings() == preferences.Settings()


def test_every_preference_says_what_it_is_for(own):
    limits = ("lua_seconds", "lua_memory_mb", "memory_mb", "checkpoint_seconds")
    for name in ("device", "cache_folder", "cache_limit_gb", "keep_last", *limits, "log_level"):
        described = own.bl_rna.properties[name]
        assert len(described.description) > 20 and not described.description.endswith(".")
        assert described.name == described.name.title().replace("(Gb)", "(GB)").replace("(Mb)", "(MB)")


def test_devices_are_found_in_another_process(bpy, machine):
    assert machine.KNOWN.devices is None
    assert bpy.ops.fluid_addon.find_devices() == {"FINISHED"}
    assert machine.KNOWN.asks_for_devices
    assert bpy.ops.fluid_addon.find_devices() == {"FINISHED"}  # asked already
    assert len(machine._open) == 1
    take_answers(machine)
    assert not machine.KNOWN.asks_for_devices
    found = machine.KNOWN.devices
    assert found.devices and found.problem == ""


def test_the_device_is_kept_by_its_name_and_taken_by_a_run(bpy, extension, machine, own):
    bpy.ops.fluid_addon.find_devices()
    take_answers(machine)
    name = machine.KNOWN.devices.devices[0].name
    assert bpy.ops.fluid_addon.choose_device(name=name) == {"FINISHED"}
    assert own.device == name
    assert extension("gpu.device").choose(extension("gpu.device").list_devices(), own.device).name == name
    bpy.ops.fluid_addon.choose_device(name="")
    assert own.device == ""


def sentences(extension) -> str:
    return " ".join(extension("blender.preferences").device_sentence().split())


def test_a_device_that_is_gone_is_said(bpy, extension, machine, own):
    own.device = "GeForce 9090"
    assert sentences(extension) == ""  # nobody has looked yet
    bpy.ops.fluid_addon.find_devices()
    assert sentences(extension) == "Asking the drivers …"
    take_answers(machine)
    assert sentences(extension) == 'The device "GeForce 9090" is not there. Runs will fail: choose another one.'
    own.device = ""
    assert sentences(extension) == ""


def test_without_vulkan_the_preferences_say_what_to_install(bpy, extension, machine, no_driver):
    bpy.ops.fluid_addon.find_devices()
    take_answers(machine)
    assert sentences(extension).startswith("No Vulkan driver was found:")
    assert "mesa-vulkan-drivers" in sentences(extension)


def test_the_report_is_collected_in_another_process(bpy, machine):
    assert bpy.ops.fluid_addon.copy_report() == {"FINISHED"}
    assert machine.KNOWN.asks_for_report
    take_answers(machine)
    assert machine.KNOWN.said == "The report is in the clipboard."
    report = machine.KNOWN.report
    assert report.startswith(f"Blender {bpy.app.version_string}")
    assert "Fluid Script" in report and "Devices:" in report and "Last log:" in report
    assert bpy.app.background or bpy.context.window_manager.clipboard == report


def test_disabling_ends_what_was_asked(bpy, machine):
    bpy.ops.fluid_addon.find_devices()
    bpy.ops.fluid_addon.copy_report()
    assert bpy.app.timers.is_registered(machine.take_answers)
    asked = {inquiry.pid for inquiry, _ in machine._open}
    bpy.ops.preferences.addon_disable(module=EXTENSION)
    try:
        assert not bpy.app.timers.is_registered(machine.take_answers)
        assert machine._open == [] and machine.KNOWN.devices is None
        if sys.platform == "linux":
            assert not any(Path(f"/proc/{process}").exists() for process in asked)
        assert os.getpid() not in asked
    finally:
        bpy.ops.preferences.addon_enable(module=EXTENSION)
