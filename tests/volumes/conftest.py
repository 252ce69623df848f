# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the volumes room share: test data of others, a tiny disk, OpenVDB."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.openvdb_library import openvdb

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def not_here(why: str) -> NoReturn:
    """What a test needs is missing: it is left out, and CI, which has it, fails."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture
def stranger() -> Iterator[int]:
    """The number of a process that lives."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not (SHARED / "expected.npz").exists():
        not_here(f"there is no test data in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def library() -> Any:
    """Blender's OpenVDB module."""
    try:
        return openvdb()
    except FluidError as error:
        not_here(str(error))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB of its own."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.name != "posix" or mount is None:
        not_here("no small disk can be mounted here")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        not_here(f"no small disk can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def rotated() -> np.ndarray:
    """A transform that turns, scales each axis differently and moves."""
    transform = np.eye(4)
    transform[:3, :3] = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]]) @ np.diag([0.1, 0.2, 0.4])
    transform[:3, 3] = 1.5, -2.25, 1000.125
    return transform
