# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that hold in every test: no silent NaN, no silent validation message, no silent skip in CI."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis.internal.conjecture.providers import HypothesisProvider
from hypothesis.internal.constants_ast import Constants

from fluid_addon.diagnostics import FluidError

ROOT = Path(__file__).parents[1]
IN_CI = os.environ.get("CI", "").lower() in ("true", "1")
LAYER_MANIFEST = "explicit_layer.d/VkLayer_khronos_validation.json"

# No example may fail for being slow on a busy machine, and CI draws the same examples every time.
hypothesis.settings.register_profile("house", deadline=None, derandomize=IN_CI, print_blob=True)
hypothesis.settings.load_profile("house")
if IN_CI:  # Hypothesis mixes in numbers and texts of the modules that are loaded by then, and has no setting against it
    assert hasattr(HypothesisProvider, "_local_constants"), "another version: see what it draws from now"
    HypothesisProvider._local_constants = Constants()


@functools.cache
def layer_is_installed() -> bool:
    """Whether the loader would find the Khronos validation layer, without starting Vulkan."""
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    folders = [Path.home() / ".local/share", Path("/etc"), *map(Path, shared.split(":"))]
    manifests = [folder / "vulkan" / LAYER_MANIFEST for folder in folders]
    if own := os.environ.get("VK_LAYER_PATH"):
        manifests = [Path(folder) / Path(LAYER_MANIFEST).name for folder in own.split(os.pathsep)]
    return any(manifest.is_file() for manifest in manifests)


@functools.cache
def vulkan_device() -> str | None:
    """The Vulkan 1.3 device in words, or None; asked in a process of its own, which a broken driver may crash."""
    asked = [sys.executable, str(ROOT / "scripts/vulkan_probe.py")]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    found = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    return found.get("device") if found.get("usable") == "yes" else None


# Before any test module is imported, and inherited by the workers and commands that tests start.
if layer_is_installed():
    os.environ.setdefault("FLUID_SCRIPT_VALIDATION", "1")
    os.environ["FLUID_SCRIPT_VALIDATION_LOG"] = tempfile.mkstemp(prefix="fluid-script-validation-")[1]
    atexit.register(Path(os.environ["FLUID_SCRIPT_VALIDATION_LOG"]).unlink, missing_ok=True)


def pytest_sessionstart() -> None:
    if not IN_CI:
        return
    if not layer_is_installed():
        pytest.exit("CI runs the GPU tests under the Vulkan validation layer: it is not installed", returncode=1)
    if vulkan_device() is None:
        pytest.exit("CI runs the GPU tests: no Vulkan 1.3 device here", returncode=1)


def pytest_report_header() -> str:
    wanted = os.environ.get("FLUID_SCRIPT_VALIDATION", "0") not in ("", "0")
    return f"Vulkan validation layer: {'on, with synchronisation validation' if wanted else 'off or not installed'}"


# ===== A validation message fails the test that caused it


def take_validation_messages() -> list[str]:
    """What the layer has said since the last call, here and in child processes. Costs nothing without Vulkan."""
    taken: list[str] = []
    # The add-on's own tests import the package under Blender's name for it, so there may be two of them.
    for name, module in list(sys.modules.items()):
        if name.endswith("fluid_addon.gpu.instance"):
            taken += module.validation_messages()
            module.clear_validation_messages()
    return taken + messages_of_children()


_bytes_taken = 0


def messages_of_children() -> list[str]:
    """The messages that other processes have left in the log since the last call; each begins with its process.

    They may be writing at any moment: nothing of the log is ever cut off, and half a line is left for the next call.
    """
    global _bytes_taken
    log = Path(os.environ.get("FLUID_SCRIPT_VALIDATION_LOG", os.devnull))
    if not log.is_file() or log.stat().st_size == _bytes_taken:
        return []
    with log.open("rb") as file:
        file.seek(_bytes_taken)
        whole = file.read().rpartition(b"\n")[0]
    _bytes_taken += len(whole) + 1 if whole else 0
    lines = whole.decode("utf-8", "replace").splitlines()
    return [line for line in lines if not line.startswith(f"{os.getpid()} ")]


@contextmanager
def under_validation() -> Iterator[None]:
    """Fails what runs inside for a message of the layer, and skips it where there is no Vulkan at all."""
    __tracebackhide__ = True
    try:
        yield
    except FluidError as error:
        if error.code == "no-vulkan" and not IN_CI and vulkan_device() is None:
            pytest.skip(str(error))
        raise
    if messages := take_validation_messages():
        pytest.fail("The validation layer says:\n" + "\n".join(messages), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    with under_validation():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    take_validation_messages()  # those of a failed set-up belong to its own report
    with under_validation():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    take_validation_messages()  # those of a failed test belong to its own report
    with under_validation():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def silence_to_the_end() -> Iterator[None]:
    """What the layer says when the last devices go, which only a cycle kept alive."""
    yield
    gc.collect()
    if messages := take_validation_messages():
        pytest.fail("\n".join(["After the last test the validation layer says:", *messages]), pytrace=False)


def pytest_sessionfinish() -> None:
    if log := os.environ.pop("FLUID_SCRIPT_VALIDATION_LOG", None):
        Path(log).unlink(missing_ok=True)


# ===== Arithmetic


@pytest.fixture(autouse=True)
def numpy_errors_are_raised() -> Iterator[None]:
    with np.errstate(all="raise"):
        yield
