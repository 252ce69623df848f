# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the command line in a process of its own: answers, and what is said where there is none."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from fluid_addon.gpu.device import list_devices
from fluid_addon.run.device_list import DeviceList
from fluid_addon.run.inquiry import Answer, Inquiry
from tests.processes import gone


def answer_of(inquiry: Inquiry) -> Answer:
    """Polled as Blender's timer does."""
    try:
        while (answer := inquiry.poll()) is None:
            time.sleep(0.02)
        return answer
    finally:
        inquiry.close()


@pytest.fixture
def no_driver(monkeypatch, tmp_path):
    """A Vulkan loader that finds no driver, in every process that is started from here."""
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.setenv(name, str(tmp_path / "none.json"))
    monkeypatch.setenv("FLUID_SCRIPT_VALIDATION", "0")


def test_the_devices_are_those_that_this_process_would_find():
    here = list_devices()
    answer = answer_of(Inquiry("devices", "--json"))
    assert (answer.code, answer.problem) == (0, "")
    found = DeviceList.from_json(answer.text)
    assert [(device.index, device.name, device.memory) for device in found.devices] == [
        (device.index, device.name, device.memory) for device in here
    ]
    assert found.taken in {device.index for device in here if device.usable}
    assert DeviceList.from_json(found.to_json()) == found


def test_without_a_driver_the_answer_says_what_to_install(no_driver):
    answer = answer_of(Inquiry("devices", "--json"))
    assert (answer.code, answer.problem) == (4, "")
    found = DeviceList.from_json(answer.text)
    assert (found.devices, found.taken, found.exit_code) == ((), None, 4)
    assert found.problem.startswith("No Vulkan driver was found:")
    assert "mesa-vulkan-drivers" in found.hint


def test_a_report_is_made_without_a_driver_too(no_driver):
    answer = answer_of(Inquiry("report"))
    assert answer.code == 0
    assert answer.text.startswith("Fluid Script ")
    assert "No Vulkan driver was found" in answer.text


def test_what_is_not_a_verb_is_a_problem_and_no_answer():
    answer = answer_of(Inquiry("devcies"))
    assert answer.code is None and answer.text == ""
    assert "Did you mean" in answer.problem


def test_a_driver_that_hangs_ends_with_the_time_limit():
    answer = answer_of(Inquiry("devices", "--json", seconds=0.0))  # no process answers within no time
    assert (answer.code, answer.problem) == (None, "A driver did not answer within 0 seconds.")


@pytest.fixture
def no_answer(monkeypatch, tmp_path):
    """Pythons that are started from here do nothing for ever, so that none is through before it is looked at."""
    (tmp_path / "sitecustomize.py").write_text("import time\ntime.sleep(600)")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_driver_that_ends_the_process_is_said(no_answer):
    inquiry = Inquiry("devices", "--json")
    os.kill(inquiry.pid, signal.SIGSEGV)
    assert answer_of(inquiry).problem.startswith(f"The process ended with {-signal.SIGSEGV}")


@pytest.mark.skipif(sys.platform != "linux", reason="looks the process up in /proc")
def test_closing_leaves_no_process(no_answer):
    inquiry = Inquiry("devices", "--json")
    assert inquiry.poll() is None
    inquiry.close()
    assert gone(inquiry.pid)


def test_no_process_is_a_problem_and_no_exception(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    answer = Inquiry("report").poll()
    assert answer is not None and answer.problem.startswith("No process could be started: ")


@pytest.mark.parametrize("text", ["", "nothing", "[]", "{}", '{"devices": [1]}', '{"devices": [], "colour": 1}'])
def test_a_list_of_devices_that_makes_no_sense_is_refused(text):
    with pytest.raises((ValueError, KeyError, TypeError)):
        DeviceList.from_json(text)
