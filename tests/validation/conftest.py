# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the scripts of the physical proofs, and keeps what the long ones found for docs/validation.md."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fluid_addon.engine import FluidEngine
from fluid_addon.engine.environment import EngineEnvironment
from fluid_addon.script.context import LuaContext
from fluid_addon.script.parameters import Parameters

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass
class Played:
    """A script that has run to its end, its engine still open."""

    engine: FluidEngine
    lines: list[str]
    notes: list[str]

    def plane(self, field: str) -> npt.NDArray[np.float64]:
        """A field of a domain that is one voxel deep along y, as [x, z] or [x, z, component], in 64 bits."""
        return self.engine.array(field)[:, 0].astype(np.float64)

    def numbers(self) -> list[list[float]]:
        """What the script printed, a list of numbers a line."""
        return [[float(word) for word in line.split()] for line in self.lines]


class StartedEngine(FluidEngine):
    """An engine some of whose fields begin with given values."""

    def __init__(self, *, start: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._start = start

    def add_field(self, name: str, *arguments: Any, **options: Any) -> None:
        super().add_field(name, *arguments, **options)
        if name in self._start:
            assert self._simulation is not None
            self._simulation.start_from(self.fields[name], np.asarray(self._start[name], np.float32))


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled kernels, kept from one proof to the next, in all of pytest's workers."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"


@pytest.fixture
def play(kernels: Path) -> Iterator[Callable[..., Played]]:
    """`play("cavity", n=64, dt=0.01)` runs scripts/cavity.lua with these parameters.

    `start` holds arrays that fields begin with, by name.
    """
    contexts: list[LuaContext] = []

    def run(script: str, start: dict[str, Any] | None = None, **values: float | bool) -> Played:
        lines: list[str] = []
        notes: list[str] = []
        parameters = Parameters(values)
        environment = EngineEnvironment(parameters=parameters, note=notes.append, cache=kernels)
        context = LuaContext(parameters=parameters, log=lines.append)
        contexts.append(context)
        context.bind_engine(functools.partial(StartedEngine, environment=environment, start=start or {}))
        context.run_script(SCRIPTS / f"{script}.lua")
        (engine,) = context.engines
        assert isinstance(engine, FluidEngine)
        engine.finish()
        return Played(engine, lines, notes)

    yield run
    for context in contexts:
        context.close()


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`record("V4 …", setup=…, expected=…, found=…, accepted=…)`: a row of the table of docs/validation.md.

    Written where FLUID_SCRIPT_RECORD names a folder, as `make test-long` does. `curves` are arrays for the plots.
    """
    folder = os.environ.get("FLUID_SCRIPT_RECORD")
    rows: list[dict[str, str]] = []

    def write(case: str, *, curves: dict[str, Any] | None = None, **columns: str) -> None:
        rows.append({"case": case, **columns, "test": f"{request.path.name}::{request.node.name}"})
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            name = "".join(c if c.isalnum() else "_" for c in request.node.name)
            Path(folder, f"{name}.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
            if curves:
                np.savez(Path(folder, f"{name}.npz"), **curves)

    return write
