# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device a run takes, and what is said where there is none."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.gpu.device import DeviceInfo, choose, list_devices

ROOT = Path(__file__).resolve().parents[2]


def fleet() -> list[DeviceInfo]:
    """Five devices made from the one that is here."""
    (real, *_) = list_devices()
    kinds = ["software", "integrated", "discrete", "discrete", "virtual"]
    names = ["llvmpipe", "Iris Xe", "Radeon 780", "GeForce 9090", "Virtio"]
    return [
        dataclasses.replace(real, index=i, kind=kind, name=name)
        for i, (kind, name) in enumerate(zip(kinds, names, strict=True))
    ]


def test_V01_the_best_kind_is_taken_and_the_first_of_it_a_processor_only_where_there_is_nothing_else():
    devices = fleet()
    assert choose(devices, None).name == "Radeon 780"
    assert choose(devices[:2], None).name == "Iris Xe"
    assert choose(devices[:1], None).name == "llvmpipe"


def test_a_device_is_named_by_index_or_part_of_its_name():
    assert choose(fleet(), 3).name == "GeForce 9090"
    assert choose(fleet(), "1").name == "Iris Xe"
    assert choose(fleet(), "geforce").name == "GeForce 9090"


def test_a_whole_name_is_preferred_to_a_part_of_another():
    devices = fleet()
    devices[2] = dataclasses.replace(devices[2], name="GeForce 9090 Ti")
    assert choose(devices, "GeForce 9090").index == 3
    assert choose(devices, "GeForce").index == 2


def test_an_unknown_device_is_an_error_that_lists_what_is_there():
    with pytest.raises(FluidError) as caught:
        choose(fleet(), "GeForse 9090")
    assert caught.value.code == "no-device"
    assert caught.value.diagnostics[0].hint == 'Did you mean "GeForce 9090"?'
    with pytest.raises(FluidError) as caught:
        choose(fleet(), 7)
    assert '0 "llvmpipe"' in (caught.value.diagnostics[0].hint or "")


def test_V02_a_device_without_a_needed_feature_is_passed_over_and_refused_by_name():
    devices = fleet()
    devices[2] = dataclasses.replace(devices[2], missing=("scalarBlockLayout",))
    devices[3] = dataclasses.replace(devices[3], api=(1, 2))
    assert choose(devices, None).name == "Iris Xe"
    for wanted, reason in ((2, "scalarBlockLayout"), (3, "Vulkan 1.2")):
        with pytest.raises(FluidError, match=reason):
            choose(devices, wanted)


@pytest.mark.parametrize("broken", ["no driver", "no loader"])
def test_V01_without_vulkan_the_error_says_what_to_install(broken, tmp_path):
    environment = {**os.environ, "FLUID_SCRIPT_VALIDATION": "0"}
    prelude = ""
    if broken == "no driver":
        environment |= {"VK_DRIVER_FILES": str(tmp_path / "none.json"), "VK_ICD_FILENAMES": str(tmp_path / "none.json")}
    else:  # a machine without libvulkan: the binding's own loading finds nothing
        prelude = "import sys; sys.modules['vulkan'] = None; import builtins; "
        prelude = (
            "import importlib.abc, sys\n"
            "class NoLoader(importlib.abc.MetaPathFinder):\n"
            "    def find_spec(self, name, path, target=None):\n"
            "        if name == 'vulkan': raise OSError('libvulkan.so.1 not found')\n"
            "sys.meta_path.insert(0, NoLoader())\n"
        )
    code = prelude + "import sys; from fluid_addon.cli import main; sys.exit(main(['devices']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "error[no-vulkan]: No Vulkan driver was found:" in done.stderr
    assert "mesa-vulkan-drivers" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_is_checked_without_any_driver(tmp_path):
    script = ROOT / "lua_presets/smoke_plume/script.lua"
    none = str(tmp_path / "none.json")
    environment = {**os.environ, "FLUID_SCRIPT_VALIDATION": "0", "VK_DRIVER_FILES": none, "VK_ICD_FILENAMES": none}
    command = [sys.executable, "-m", "fluid_addon", "check", str(script)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "No problem found.\n"), done.stderr
