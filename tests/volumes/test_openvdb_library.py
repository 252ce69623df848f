# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenVDB is taken from Blender's own packages, without Blender and without the rest of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _python(code: str, *options: str) -> str:
    run = subprocess.run(
        [sys.executable, *options, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not run.stderr
    return run.stdout.strip()


@pytest.mark.usefixtures("library")
def test_openvdb_is_loaded_without_bpy_and_without_its_other_packages():
    said = _python(
        "from fluid_addon.volumes.openvdb_library import openvdb\nbefore = list(sys.path)\nmodule = openvdb()\n"
        "import numpy\nprint(sys.path == before, 'bpy' in sys.modules, 'bpy' in numpy.__file__)\n"
        "print(module.FloatGrid().empty())"
    )
    assert said == "True False False\nTrue"


def test_a_python_without_blender_is_told_so():
    said = _python(
        "from fluid_addon.diagnostics import FluidError\nfrom fluid_addon.volumes.openvdb_library import openvdb\n"
        "try:\n    openvdb()\nexcept FluidError as error:\n    print(error.code)",
        "-S",
    )
    assert said == "package-missing"
