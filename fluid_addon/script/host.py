# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers the calls that a script makes through the border: engines, parameters, modules, print."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from ..diagnostics import FluidError, Place, did_you_mean, fail
from ..engine.formats import Format
from ..engine.solver import Solved, SolverDefinition
from ..engine.stencil import StencilDefinition
from .arguments import decode, take_arguments
from .interface import CALLS, METHODS, PROPERTIES
from .lua_errors import syntax_error
from .modules import Modules
from .named_arguments import compilable, rewrite_named_arguments
from .parameters import Parameters
from .places import code_origin, complete, refine
from .printed import PrintedLines, Warnings
from .sandbox import Limits, Scalar, spoken
from .sources import Sources, SourceText

__all__ = ["Engine", "Host", "vocabulary"]


class Engine(Protocol):
    """What a script does with an engine; `FluidEngine` is one."""

    sparse: bool

    @property
    def frame(self) -> int: ...
    @property
    def time(self) -> float: ...
    @property
    def domain_size(self) -> tuple[int, int, int]: ...
    @property
    def voxel_size(self) -> float: ...
    @property
    def origin(self) -> tuple[float, float, float]: ...
    @property
    def boundary(self) -> tuple[str, str, str]: ...
    def add_field(self, name: str, format: int, init: Any = ..., **options: Any) -> None: ...  # noqa: A002
    def add_object(self, name: str, object: str) -> None: ...  # noqa: A002
    def add_stencil(self, definition: StencilDefinition) -> None: ...
    def add_solver(self, definition: SolverDefinition) -> None: ...
    def activate(self, field: str | None = ..., **options: Any) -> None: ...
    def solved(self, name: str) -> Solved: ...
    def run_stencil(self, name: str, dt: float | None = ...) -> None: ...
    def step(self, dt: float) -> None: ...
    def run(self, **options: Any) -> None: ...
    def reduce(self, field: str, op: str) -> Any: ...
    def read(self, field: str, coord: Sequence[int]) -> Any: ...
    def fill(self, field: str, value: Any) -> None: ...
    def load(self, field: str, path: str, grid: str | None = ...) -> None: ...
    def set_enabled(self, stencil: str, enabled: bool) -> None: ...
    def export_vdb(self, path: str, fields: Sequence[str] | None = ..., half: bool = ...) -> None: ...
    def export_nvdb(self, path: str, fields: Sequence[str] | None = ...) -> None: ...
    def close(self) -> None: ...


def vocabulary() -> str:
    """The names of the interface, in the form that `lua/fluid_engine.lua` reads."""
    lines = [f"format {name} {number.value}" for name, number in Format.__members__.items()]
    lines += [f"property {name}" for name in PROPERTIES]
    for name, call in CALLS.items():
        lines.append(" ".join(["method" if name in METHODS else "function", name, *call.names[: call.positional]]))
    return "\n".join(lines)


class Host:
    """Serves one script. Engines are numbers on the Lua side; those made here are in `engines`."""

    #: Errors that a script may catch and raise again, by their text.
    REMEMBERED = 64

    def __init__(
        self,
        *,
        limits: Limits,
        sources: Sources,
        modules: Modules,
        parameters: Parameters,
        log: Callable[[str], None],
        note: Callable[[str], None],
        find_object: Callable[[str], None],
        make_engine: Callable[[Mapping[str, Any]], tuple[int, Engine]],
        engines: Mapping[int, Engine],
    ) -> None:
        self._limits = limits
        self._sources = sources
        self._modules = modules
        self._parameters = parameters
        self._printed = PrintedLines(log)
        self._warnings = Warnings(note)
        self._find_object = find_object
        self._make_engine = make_engine
        self._engines = engines
        self._current: Engine | None = next(reversed(list(engines.values())), None)
        self._at: tuple[Scalar, Scalar] = (b"", 0)
        self._raised: OrderedDict[str, FluidError] = OrderedDict()

    # ----- places

    def locate(self, file: Scalar, line: Scalar) -> Place | None:
        """A line of a loaded script as a place."""
        if not isinstance(file, bytes) or not isinstance(line, int) or line < 1:
            return None
        source = self._sources.of_chunk(file.decode("utf-8", "surrogateescape"))
        return source.place(line) if source else None

    def place(self) -> Place | None:
        """The line of the call that is served."""
        return self.locate(*self._at)

    def raised(self, text: str) -> FluidError | None:
        """The error that a call raised with this text."""
        return self._raised.get(text)

    # ----- calls

    def serve(self, call: str, arguments: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        """Answer one call of the Lua side.

        Raises:
            FluidError: with the script's line; it becomes a Lua error there.
        """
        if len(arguments) >= 2 and isinstance(arguments[-1], int) and isinstance(arguments[-2], bytes):
            self._at = (arguments[-2], arguments[-1])
        try:
            return self._dispatch(call, arguments)
        except FluidError as error:
            located = self.located(error)
            self._raised[spoken(located)] = located
            if len(self._raised) > self.REMEMBERED:
                self._raised.popitem(last=False)
            raise located from error.__cause__

    def located(self, error: FluidError) -> FluidError:
        """The error with the place in the script of each diagnostic, as far as it is known."""
        place = self.place()
        diagnostics = []
        for diagnostic in error.diagnostics:
            if diagnostic.place is not None:
                diagnostics.append(complete(diagnostic, self._sources))
            elif place is not None:
                diagnostics.append(diagnostic.at(refine(place, diagnostic.message, self._sources)))
            else:
                diagnostics.append(diagnostic)
        return FluidError(*diagnostics)

    def _dispatch(self, call: str, arguments: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        match call, arguments:
            case "call", (int() as number, bytes() as method, bytes() as payload, _, _):
                return self._engine_call(number, method.decode(), payload)
            case "get", (int() as number, bytes() as name, _, _):
                return _vector(getattr(self._engine(number), name.decode()))
            case "new", (bytes() as payload, _, _):
                number, self._current = self._make_engine(take_arguments(CALLS["new"], decode(payload)))
                self._limits.restart_clock()
                return (number,)
            case "param", (bytes() as payload, _, _):
                options = take_arguments(CALLS["param"], decode(payload))
                return (_scalar(self._parameters.declare(**options, frame=self._frame())),)
            case "object", (bytes() as payload, _, _):
                name = take_arguments(CALLS["object"], decode(payload))["name"]
                self._find_object(name)
                return (_bytes(name),)
            case "parameter", (bytes() as name, _, _):
                return (_scalar(self._parameters.value_at(_text(name), self._frame())),)
            case "print", (bytes() as line,):
                self._printed.add(_text(line))
                return ()
            case "warn", (bytes() as text, _, _):
                self._warnings.add(_text(text))
                return ()
            case "rewrite", (bytes() as chunk,):
                return (_bytes(rewrite_named_arguments(SourceText("load", _text(chunk)))),)
            case "require", (bytes() as name, _, _):
                return self._require(_text(name))
            case "syntax", (bytes() as message,):
                raise syntax_error(message, self._sources)
            case "refuse", (bytes() as code, bytes() as message, _, _):
                raise fail(code.decode(), _text(message))
            case _:
                raise self._unknown(call, arguments)

    def _unknown(self, call: str, arguments: tuple[Scalar, ...]) -> FluidError:
        name = _text(arguments[0])[:80] if arguments and isinstance(arguments[0], bytes) else ""
        match call:
            case "unknown method":
                hint = did_you_mean(name, [*METHODS, *PROPERTIES])
                return fail("unknown-method", f'An engine has no "{name}".', hint)
            case "unknown member of scene":
                return fail("unknown-method", f'The scene has no "{name}".', 'Write scene.object("Name").')
            case "unknown member of an object":
                return fail("unknown-method", f'An object of the scene has no "{name}".', "It has a name.")
            case "unknown constructor":
                return fail("unknown-method", f'FluidEngine has no "{name}".', "Write FluidEngine.new{…}.")
            case "unknown format":
                hint = did_you_mean(name, Format.__members__)
                return fail("unknown-format", f'There is no format "{name}".', hint)
            case "no engine":
                hint = f"Call it with a colon: sim:{name}(…)."
                return fail("bad-argument", f'"{name}" was called without an engine.', hint)
        raise ValueError(f"no such call: {call} with {len(arguments)} arguments")

    # ----- engines

    def _frame(self) -> int:
        return self._current.frame if self._current is not None else 0

    def _engine(self, number: int) -> Engine:
        engine = self._engines.get(number)
        if engine is None:
            raise fail("expired", "This engine is closed.", "Make a new one with FluidEngine.new.")
        return engine

    def _engine_call(self, number: int, method: str, payload: bytes) -> tuple[Scalar, ...]:
        options = take_arguments(CALLS[method], decode(payload))
        engine = self._current = self._engine(number)
        begin = time.monotonic()
        try:
            values = _vector(self._act(engine, method, options))
        except BaseException:
            # A failed call is no progress, or a script could fail for ever.
            self._limits.exclude(time.monotonic() - begin)
            raise
        self._limits.restart_clock()
        return values

    def _act(self, engine: Engine, method: str, options: dict[str, Any]) -> Any:
        match method:
            case "add_field":
                engine.add_field(**options)
            case "add_object":
                engine.add_object(**options)
            case "add_stencil":
                code = options["code"].replace("\r\n", "\n").replace("\r", "\n")
                origin = code_origin(code, self.place(), self._sources)
                definition = {"inputs": (), **options, "code": code, "origin": origin}
                engine.add_stencil(StencilDefinition(**definition))
            case "add_solver":
                engine.add_solver(SolverDefinition(**options))
            case "activate":
                engine.activate(**options)
            case "solved":
                return asdict(engine.solved(options["name"]))
            case "run_stencil":
                engine.run_stencil(options["name"], options.get("dt"))
            case "enable":
                engine.set_enabled(options["name"], options.get("enabled", True))
            case "export_vdb":
                engine.export_vdb(options["path"], options.get("fields"), options.get("half", False))
            case "export_nvdb":
                engine.export_nvdb(options["path"], options.get("fields"))
            case "step":
                engine.step(options["dt"])
            case "run":
                engine.run(**options)
            case "reduce":
                return engine.reduce(options["field"], options["op"])
            case "read":
                return engine.read(options["field"], options["coord"])
            case "fill":
                engine.fill(options["field"], options["value"])
            case "load":
                engine.load(**options)
            case _:
                raise ValueError(f"no such method: {method}")
        return None

    # ----- modules

    def _require(self, name: str) -> tuple[Scalar, ...]:
        source = self._modules.find(name)
        kind = b"library" if source.library else b"script"
        return _bytes(compilable(source)), _bytes(self._sources.add(source)), kind


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _scalar(value: Any) -> Scalar:
    """A number of Python or numpy, or a text, as one that may cross the border."""
    if isinstance(value, str):
        return _bytes(value)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return value
    return int(value) if isinstance(value, int) else float(value)


def _vector(value: Any) -> tuple[Scalar, ...]:
    """Nothing, a single value, the parts of a vector after their count, or named values after theirs, negated."""
    if value is None:
        return ()
    if isinstance(value, dict):
        return (-len(value), *(_scalar(part) for pair in value.items() for part in pair))
    if isinstance(value, (tuple, list)):
        return (len(value), *(_scalar(part) for part in value))
    return 0, _scalar(value)
