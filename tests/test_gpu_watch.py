# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over the GPU tests: a validation message fails a test, and a machine without Vulkan fails CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

WRONG_USE = """
from fluid_addon.gpu.binding import vk
from fluid_addon.gpu.instance import Instance

def use_wrongly():
    instance = Instance()
    gpu = vk.vkEnumeratePhysicalDevices(instance.handle)[0]
    queues = vk.VkDeviceQueueCreateInfo(queueFamilyIndex=0, pQueuePriorities=[1.0])
    device = vk.vkCreateDevice(gpu, vk.VkDeviceCreateInfo(pQueueCreateInfos=[queues]), None)
    vk.vkCreateBuffer(device, vk.VkBufferCreateInfo(size=0, usage=vk.VK_BUFFER_USAGE_STORAGE_BUFFER_BIT), None)

def test_here():
    use_wrongly()

def test_with_nothing_wrong():
    Instance().close()
"""

IN_A_CHILD = """
import subprocess, sys

def test_in_a_child():
    subprocess.run([sys.executable, "-c", "import test_sample; test_sample.use_wrongly()"], check=True)
"""


def run_under_the_watch(source: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `source` as a test module under our conftest, in a process and a folder of its own."""
    (folder / "test_sample.py").write_text(source, encoding="utf-8")
    # A module outside tests/ does not see the conftest there, so it is loaded as a plugin.
    order = ["-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *order],
        cwd=ROOT,
        env={**os.environ, "CI": "", "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_validation_message_fails_the_test_that_caused_it(tmp_path: Path) -> None:
    if os.environ.get("FLUID_SCRIPT_VALIDATION") != "1":
        pytest.skip("the Vulkan validation layer is off or not installed")
    finished = run_under_the_watch(WRONG_USE + IN_A_CHILD, tmp_path)
    assert "2 failed, 1 passed" in finished.stdout
    assert finished.stdout.count("Validation Error: [ VUID-VkBufferCreateInfo-size") == 2


NO_DRIVER = {"VK_DRIVER_FILES": os.devnull, "VK_ICD_FILENAMES": os.devnull}


def test_without_a_driver_the_gpu_tests_are_skipped(tmp_path: Path) -> None:
    finished = run_under_the_watch(WRONG_USE, tmp_path, **NO_DRIVER)
    assert "skipped" in finished.stdout
    assert "passed" not in finished.stdout
    assert "No Vulkan driver was found" in finished.stdout


def test_without_a_driver_ci_fails(tmp_path: Path) -> None:
    finished = run_under_the_watch(WRONG_USE, tmp_path, CI="true", **NO_DRIVER)
    assert finished.returncode == 1
    assert "CI runs the GPU tests" in finished.stdout + finished.stderr
    assert "skipped" not in finished.stdout
