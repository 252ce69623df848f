# SPDX-License-Identifier: GPL-3.0-or-later
"""A script's run: a Lua state, the engines that it makes, and one error if it fails."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..diagnostics import FluidError, Kind, Place, fail, render
from .host import Engine, Host, vocabulary
from .lua_errors import outside_library, related, runtime_error, stack, syntax_error
from .modules import Modules
from .named_arguments import compilable
from .parameters import Parameters
from .sandbox import Limits, Outcome, Sandbox
from .sources import Sources, SourceText, read_source, source_from_text

__all__ = ["MOST_ENGINES", "LuaContext", "running_contexts"]

#: Engines of one script: each of them holds devices and memory until the run ends.
MOST_ENGINES = 64

_running: list[LuaContext] = []


def running_contexts() -> tuple[LuaContext, ...]:
    """Those of this process in which a script runs now, for a thread that watches them."""
    return tuple(_running)


class LuaContext:
    """Runs Lua scripts on engines.

    Args:
        parameters: values that the run sets from outside; what the script declares is added to it.
        log: takes what scripts print, a line at a time, and their errors, all lines of one at once.
        note: takes what scripts warn of, one text at a time; default `log`.
        find_object: told the name that a script gives to `scene.object`; raises for one that is not there.
        cancel: once set, the script ends within a few milliseconds of Lua, with the error `cancelled`.
        seconds: a stretch of Lua without an engine call may take this long.
        memory_mb: a script may hold this much.
        texts: further modules by name, for `require`.
        root: folder in which `require` looks for modules; default the folder of the script that runs.

    Use it as a context manager, or `close` it: engines that scripts made are released then.
    """

    def __init__(
        self,
        *,
        parameters: Parameters | None = None,
        log: Callable[[str], None] = print,
        note: Callable[[str], None] | None = None,
        find_object: Callable[[str], None] | None = None,
        cancel: threading.Event | None = None,
        seconds: float = 10.0,
        memory_mb: float = 512,
        texts: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> None:
        self.parameters = parameters or Parameters()
        self._log = log
        self._note = note or log
        self._find_object = find_object or no_object
        self._cancel = cancel
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._texts = dict(texts or {})
        self._root = root
        self._factory: Callable[..., Engine] | None = None
        self._bound: int | None = None
        self._engines: dict[int, Engine] = {}
        self._made: list[Engine] = []
        self._host: Host | None = None
        self._limits: Limits | None = None
        self._sandbox: Sandbox | None = None
        self._closed = False
        self._sources = Sources()

    def bind_engine(self, engine: Any) -> None:
        """Give scripts an engine.

        Args:
            engine: what `FluidEngine.new` calls with its options, such as the class `FluidEngine`; or an engine, which
                scripts find as `sim`, and whose class `FluidEngine.new` calls.
        """
        if isinstance(engine, type) or not hasattr(engine, "add_stencil"):
            self._factory = engine
            return
        if self._factory is None:
            self._factory = type(engine)
        self._bound = self._register(engine)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines that are open: the bound one and those that scripts made, oldest first."""
        return tuple(self._engines.values())

    @property
    def modules(self) -> dict[str, str]:
        """The texts of the modules that the script has loaded so far, by names without the folders of this machine."""
        return {name: source.text for name, source in itertools.islice(self._sources.chunks(), 1, None)}

    def place(self) -> Place | None:
        """The script's line whose call is being served, or was last; None while no script runs."""
        return self._host.place() if self._host is not None else None

    def located(self, error: FluidError) -> FluidError:
        """The error at the call that is being served: at the word in it that each of its diagnostics is about."""
        return self._host.located(error) if self._host is not None else error

    @property
    def limits(self) -> Limits | None:
        """Those of the script that runs, for a watchdog in another thread (`Limits.silent_for`); None without one."""
        return self._limits

    def seen_at(self) -> Place | None:
        """The script's line at which Lua last showed that it lives; None while no script runs."""
        host, limits = self._host, self._limits
        return host.locate(*limits.seen_at) if host is not None and limits is not None else None

    def run_script(self, path: Path | str, name: str | None = None) -> None:
        """Run a file; messages call it `name`, default the path as given.

        Raises:
            FluidError: whatever is wrong with it; it was logged as "Lua Script Error: …" before.
        """
        path = Path(path)
        self._run(lambda: read_source(path, name), path.parent)

    def run_source(self, text: str, name: str) -> None:
        """Run a text; messages call it `name`. Raises as `run_script`."""
        self._run(lambda: source_from_text(name, text), None)

    def close(self) -> None:
        """Release the engines that scripts made. Closing twice does nothing.

        A script that still runs, here or in another thread, is stopped at its next call; its engines are released then.
        """
        self._closed = True
        if self._sandbox is not None:
            self._sandbox.close()
        else:
            self._release()

    def __enter__(self) -> LuaContext:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # ----- one run

    def _run(self, load: Callable[[], SourceText], folder: Path | None) -> None:
        if self._sandbox is not None or self._closed:
            raise fail("expired", "This context is closed, or runs a script already.")
        try:
            self._run_in_sandbox(load(), folder)
        except FluidError as error:
            if error.kind is not Kind.CANCELLED:
                self._log("Lua Script Error: " + "\n".join(render(d) for d in error.diagnostics))
            raise

    def _run_in_sandbox(self, source: SourceText, folder: Path | None) -> None:
        text = compilable(source)
        sources = self._sources = Sources()
        chunk = sources.add(source)
        limits = self._limits = Limits(self._seconds, self._memory_mb, self._cancel)
        host = self._host = Host(
            limits=limits,
            sources=sources,
            modules=Modules(self._root if self._root is not None else folder, self._texts),
            parameters=self.parameters,
            log=self._log,
            note=self._note,
            find_object=self._find_object,
            make_engine=self._make_engine,
            engines=self._engines,
        )
        sandbox = self._sandbox = Sandbox(host, limits, vocabulary())
        _running.append(self)
        try:
            outcome = sandbox.run(text, chunk, self._bound)
            if outcome.how != "done":
                raise _error_of(outcome, sandbox, limits, host, sources)
        finally:
            _running.remove(self)
            sandbox.close()
            self._sandbox = self._host = self._limits = None
            if self._closed:
                self._release()

    def _release(self) -> None:
        made, self._made = self._made, []
        self._engines.clear()
        self._bound = None
        for engine in reversed(made):
            engine.close()

    def _make_engine(self, options: Mapping[str, Any]) -> tuple[int, Engine]:
        if self._factory is None:
            raise fail("usage", "No engine is bound to this script.", "Call LuaContext.bind_engine first.")
        if len(self._made) >= MOST_ENGINES:
            hint = "Make engines once, before the loop over frames."
            raise fail("bad-argument", f"A script may make at most {MOST_ENGINES} engines.", hint)
        engine = self._factory(**options)
        self._made.append(engine)
        return self._register(engine), engine

    def _register(self, engine: Engine) -> int:
        number = max(self._engines, default=0) + 1
        self._engines[number] = engine
        return number


def no_object(name: str) -> None:
    """For scripts that run without a scene."""
    raise fail("unknown-object", f'There is no object "{name}".', "This script runs without a scene.")


def _error_of(outcome: Outcome, sandbox: Sandbox, limits: Limits, host: Host, sources: Sources) -> FluidError:
    if outcome.how == "syntax":
        return syntax_error(outcome.text, sources)
    trace = stack(outcome.frames, sources)
    if sandbox.stopped is not None:
        error = sandbox.stopped
    elif outcome.how == "stopped":
        error = fail("expired", "The run was closed while its script was still running.")
    elif outcome.how == "memory":
        error = limits.memory_error()
    else:
        found = host.raised(outcome.text.decode("utf-8", "surrogateescape"))
        if found is None:
            return runtime_error(outcome, sources)
        error = found
        trace = outside_library(trace, sources)
    place = replace(trace[0], label="") if trace else None
    placed = [d.at(place) for d in error.diagnostics]
    with_stack = FluidError(*(replace(d, related=d.related or related(trace, d.place)) for d in placed))
    with_stack.__cause__ = error.__cause__
    return with_stack
