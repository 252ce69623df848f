# SPDX-License-Identifier: GPL-3.0-or-later
"""Every preset gives the same bits on one device, two and three, dense and with every leaf active, and every time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fluid_addon.engine import FluidEngine
from fluid_addon.run import RunRequest, session
from fluid_addon.run.presets import Preset, list_presets
from fluid_addon.run.session import run_script

PRESETS = {preset.name: preset for preset in list_presets()}
STORAGES: dict[str, dict[str, Any]] = {
    "again": {},
    "two": {"gpu_count": 2},
    "three": {"gpu_count": 3},
    "sparse": {"sparse": True},
    "sparse two": {"sparse": True, "gpu_count": 2},
}
LEAF = 8
QUICK = ("wave_equation", "reaction_diffusion", "heat_diffusion")  # without the kernels of a solver

Fields = dict[tuple[int, str], npt.NDArray[Any]]


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, preset: Preset, size: int, storage: dict[str, Any]) -> Fields:
    """A small run of a preset with its domains stored in some way, and all fields of its engines at its end."""
    found: Fields = {}
    engines: list[FluidEngine] = []

    class Stored(FluidEngine):
        def __init__(self, **options: Any) -> None:
            count = storage.get("gpu_count", 1)
            if "domain_size" in options:
                count = min(count, -(-int(options["domain_size"][0]) // LEAF))
            super().__init__(**options | {"sparse": False} | storage | {"gpu_count": count})
            engines.append(self)
            assert self._simulation is not None
            if leaves := self._simulation.leaves:
                leaves.keep_awake(np.zeros((1, 3), int), np.array([self.domain.size]))

        def finish(self) -> None:
            super().finish()
            found.update({(engines.index(self), name): self.array(name) for name in self.fields})

    events: list[dict[str, Any]] = []
    with monkeypatch.context() as patch:
        patch.setattr(session, "FluidEngine", Stored)
        request = RunRequest(str(preset.script), str(folder), parameters={"resolution": size, "frames": 2})
        assert run_script(request, events.append, threading.Event()) == 0, events[-3:]
    assert found
    return found


def hold(
    monkeypatch: pytest.MonkeyPatch, folder: Path, preset: Preset, size: int, storages: dict[str, dict[str, Any]]
) -> None:
    expected = run(monkeypatch, folder / "dense", preset, size, {})
    for name, storage in storages.items():
        found = run(monkeypatch, folder / name, preset, size, storage)
        assert found.keys() == expected.keys()
        different = [key for key, values in expected.items() if found[key].tobytes() != values.tobytes()]
        assert different == [], name


@pytest.mark.parametrize("name", QUICK)
def test_some_presets_give_the_same_bits_sparse_and_on_two_devices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    hold(monkeypatch, tmp_path, PRESETS[name], 16, {"sparse two": STORAGES["sparse two"]})


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    hold(monkeypatch, tmp_path, PRESETS[name], 24, STORAGES)
