# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts run on real Lua and on an engine that only writes down what it was told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fluid_addon.diagnostics import FluidError, Place
from fluid_addon.engine.solver import Solved, SolverDefinition
from fluid_addon.engine.stencil import StencilDefinition
from fluid_addon.script.context import LuaContext


class RecordingEngine:
    """Has the methods of `FluidEngine` and computes nothing. `calls` holds (method, arguments) in order."""

    def __init__(self, calls: list[tuple[str, Any]], act: Callable[[str], Any], **options: Any) -> None:
        self.calls = calls
        self._act = act
        self.frame, self.time, self.closed = 0, 0.0, False
        self.domain_size, self.voxel_size = (8, 9, 10), 0.25
        self.origin, self.boundary = (1.0, 2.0, -3.5), ("open", "clamp", "periodic")
        self.sparse = bool(options.get("sparse"))
        self._record("new", options)

    def _record(self, method: str, arguments: Any) -> Any:
        self.calls.append((method, arguments))
        return self._act(method)

    def add_field(self, name: str, format: int, init: Any = 0.0, **more: Any) -> None:  # noqa: A002 - the engine's own
        self._record("add_field", (name, format, init, more) if more else (name, format, init))

    def add_object(self, name: str, object: str) -> None:  # noqa: A002 - the engine's own
        self._record("add_object", (name, object))

    def add_stencil(self, definition: StencilDefinition) -> None:
        self._record("add_stencil", definition)

    def add_solver(self, definition: SolverDefinition) -> None:
        self._record("add_solver", definition)

    def activate(self, **options: Any) -> None:
        self._record("activate", options)

    def solved(self, name: str) -> Solved:
        self._record("solved", name)
        return Solved(0.25, 3)

    def run_stencil(self, name: str, dt: float | None) -> None:
        self._record("run_stencil", (name, dt))

    def step(self, dt: float) -> None:
        self._record("step", dt)
        self.frame, self.time = self.frame + 1, self.time + dt

    def run(self, **options: Any) -> None:
        self._record("run", options)

    def reduce(self, field: str, op: str) -> Any:
        return self._record("reduce", (field, op))

    def read(self, field: str, coord: tuple[int, int, int]) -> Any:
        return self._record("read", (field, coord))

    def fill(self, field: str, value: Any) -> None:
        self._record("fill", (field, value))

    def load(self, field: str, path: str, grid: str | None = None) -> None:
        self._record("load", (field, path, grid))

    def set_enabled(self, stencil: str, enabled: bool) -> None:
        self._record("set_enabled", (stencil, enabled))

    def export_vdb(self, path: str, fields: tuple[str, ...] | None, half: bool) -> None:
        self._record("export_vdb", (path, fields, half))

    def export_nvdb(self, path: str, fields: tuple[str, ...] | None) -> None:
        self._record("export_nvdb", (path, fields))

    def close(self) -> None:
        self.closed = True


@dataclass
class LuaBench:
    """Runs scripts and keeps what they did.

    Attributes:
        calls: of every engine, in order.
        lines: what was logged.
        act: called with the name of each engine method; what it returns or raises is the method's answer.
    """

    calls: list[tuple[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    engines: list[RecordingEngine] = field(default_factory=list)
    act: Callable[[str], Any] = lambda _method: None
    context: LuaContext | None = None

    def make_engine(self, **options: Any) -> RecordingEngine:
        engine = RecordingEngine(self.calls, lambda method: self.act(method), **options)
        self.engines.append(engine)
        return engine

    def open(self, **options: Any) -> LuaContext:
        """A context with this bench's engine and log."""
        self.context = LuaContext(**{"log": self.lines.append, "seconds": 5.0, **options})
        self.context.bind_engine(self.make_engine)
        return self.context

    def run(self, source: str | Path, name: str = "smoke.lua", **options: Any) -> LuaBench:
        """Run a script, or a file, that is to end well."""
        with self.open(**options) as context:
            if isinstance(source, Path):
                context.run_script(source)
            else:
                context.run_source(source, name)
        return self

    def error(self, source: str | Path, name: str = "smoke.lua", **options: Any) -> FluidError:
        """Run a script that is to fail, and give its error."""
        with pytest.raises(FluidError) as caught:
            self.run(source, name, **options)
        return caught.value

    def code(self, source: str, **options: Any) -> str:
        """The code of the error of a script, or "done"."""
        try:
            self.run(source, **options)
        except FluidError as error:
            return error.code
        return "done"

    def engine_error(self, text: str, **options: Any) -> FluidError:
        """The error of a script whose first line makes the engine `sim`; `text` begins on line 2."""
        return self.error("sim = FluidEngine.new({domain_size = {8, 8, 8}})\n" + text, **options)

    def place(self, source: str | Path, name: str = "smoke.lua", **options: Any) -> Place:
        """Where the error of a script is."""
        place = self.error(source, name, **options).diagnostics[0].place
        assert place is not None
        return place

    def printed(self, source: str, **options: Any) -> list[str]:
        """What a script prints."""
        return self.run(source, **options).lines


@pytest.fixture
def lua() -> Iterator[LuaBench]:
    yield LuaBench()


@pytest.fixture
def cancelled() -> threading.Event:
    event = threading.Event()
    event.set()
    return event
