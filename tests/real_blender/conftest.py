# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests in the real Blender: `make test-blender BLENDER=/path/to/blender`. Plain `make test` leaves them alone."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real_blender.screen import NEEDED, Screen
from tests.real_blender.window import Blender, settings_of_its_own

ROOT = Path(__file__).resolve().parents[2]
SIZE = (1600, 1000)

Start = Callable[..., Blender]


@pytest.fixture(scope="session")
def program() -> str:
    named = os.environ.get("BLENDER") or "blender"
    found = shutil.which(named)
    if found is None:
        pytest.exit(f"there is no {named}; name one: make test-blender BLENDER=/path/to/blender", returncode=2)
    missing = [each for each in NEEDED if shutil.which(each) is None]
    if missing:
        pytest.exit(f"not on the PATH: {', '.join(missing)} (apt install xvfb xdotool imagemagick)", returncode=2)
    return found


@pytest.fixture(scope="session")
def package() -> Path:
    """The newest package of dist/ for this machine."""
    packages = sorted((ROOT / "dist").glob("fluid_addon-*-linux-x64.zip"), key=lambda file: file.stat().st_mtime)
    if platform.system() != "Linux" or not packages:
        pytest.exit("there is no package for this machine; build one: make extension", returncode=2)
    return packages[-1]


@pytest.fixture(scope="session")
def installed(program: str, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings in which the package is installed and enabled."""
    home = tmp_path_factory.mktemp("installed")
    words = ["--command", "extension", "install-file", "-r", "user_default", "--enable", str(package)]
    done = subprocess.run([program, *words], env=settings_of_its_own(home), capture_output=True, text=True, check=True)
    # Blender ends with status 0 also where enabling raised an error, and only says so.
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return home


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    with Screen(*SIZE, tmp_path_factory.mktemp("screen")) as made:
        yield made


@pytest.fixture
def start(program: str, installed: Path, screen: Screen, tmp_path: Path) -> Iterator[Start]:
    """Starts Blender with the extension enabled; again, in the same test, with the settings as they are then."""
    home = tmp_path / "home"
    shutil.copytree(installed, home, ignore=shutil.ignore_patterns("cache"))
    (home / "cache").symlink_to(installed / "cache")  # Mesa takes 20 s to compile what Blender draws with
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(Blender(program, screen, home, *arguments))


@pytest.fixture
def blender(start: Start) -> Blender:
    return start()


PICTURES = Path(os.environ.get("PICTURES") or ROOT / "docs" / "images")


def arrange_for_a_picture(blender: Blender) -> None:
    """A view of the scene in which a simulation of the library's size is well seen."""
    blender.tell(
        "space = area('VIEW_3D').spaces.active\n"
        "space.region_3d.view_perspective = 'PERSP'\n"
        "space.region_3d.view_location = (0.0, 0.0, 1.4)\n"
        "space.region_3d.view_distance = 6.5\n"
        "space.overlay.show_cursor = False\n"
        "space = None"
    )
