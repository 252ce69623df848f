# SPDX-License-Identifier: GPL-3.0-or-later
"""A script's run as a whole: engines bound and released, errors logged and raised, nothing left behind."""

from __future__ import annotations

import gc
import json
import sys
import threading
import weakref
from functools import partial
from pathlib import Path

import pytest

from fluid_addon.diagnostics import Diagnostic, FluidError, Place, fail, render
from fluid_addon.script.context import LuaContext
from fluid_addon.script.host import Host
from fluid_addon.script.modules import Modules
from fluid_addon.script.parameters import Parameters
from fluid_addon.script.sandbox import Limits
from fluid_addon.script.sources import Sources
from tests.script.test_limits import in_a_process

STEP = "sim = FluidEngine.new{domain_size = {1, 1, 1}}\nsim:step(0.5)\n"


class CountingEngine:
    """An engine whose only wish is to be closed."""

    open_engines = 0

    def __init__(self, size: int = 0, **options: object) -> None:
        self.size, self.options, self.frame, self.time = size, options, 0, 0.0
        type(self).open_engines += 1

    def add_stencil(self, definition: object) -> None:
        pass

    def step(self, dt: float) -> None:
        self.frame, self.time = self.frame + 1, self.time + dt

    def close(self) -> None:
        type(self).open_engines -= 1


@pytest.fixture(autouse=True)
def every_engine_is_closed():
    CountingEngine.open_engines = 0
    yield
    assert CountingEngine.open_engines == 0


def context_with(engine: object) -> LuaContext:
    context = LuaContext(log=lambda _line: None)
    context.bind_engine(engine)
    return context


def test_a_class_is_called_with_the_options() -> None:
    with context_with(CountingEngine) as context:
        context.run_source(STEP, "smoke.lua")
        (engine,) = context.engines
        assert engine.options == {"domain_size": (1, 1, 1)}
        assert engine.frame == 1


def test_a_partial_adds_its_own_options() -> None:
    with context_with(partial(CountingEngine, size=3)) as context:
        context.run_source(STEP, "smoke.lua")
        assert context.engines[0].size == 3


def test_an_engine_is_found_as_sim_and_stays_open() -> None:
    engine = CountingEngine()
    with context_with(engine) as context:
        context.run_source("sim:step(0.25) other = FluidEngine.new{domain_size = {2, 2, 2}} other:step(1)", "smoke.lua")
        assert (engine.time, context.engines[1].time) == (0.25, 1)
    assert CountingEngine.open_engines == 1
    engine.close()


def test_without_an_engine_the_script_is_told() -> None:
    with LuaContext(log=lambda _line: None) as context, pytest.raises(FluidError) as caught:
        context.run_source(STEP, "smoke.lua")
    assert (caught.value.code, caught.value.diagnostics[0].place.line) == ("usage", 1)


def test_engines_outlive_their_script_until_the_context_is_closed() -> None:
    context = context_with(CountingEngine)
    context.run_source(STEP, "smoke.lua")
    context.run_source(STEP, "smoke.lua")
    assert CountingEngine.open_engines == 2
    context.close()
    context.close()
    assert context.engines == ()
    with pytest.raises(FluidError) as caught:
        context.run_source(STEP, "smoke.lua")
    assert caught.value.code == "expired"


def test_every_script_has_a_state_of_its_own(lua) -> None:
    with lua.open() as context:
        context.run_source("x = 1", "a.lua")
        context.run_source("print(x)", "b.lua")
    assert lua.lines == ["nil"]


def test_d57_a_context_closed_in_a_call_stops_its_script(lua) -> None:
    lua.act = lambda method: lua.context.close() if method == "step" else None
    error = lua.error(STEP + "print('alive')")
    assert error.code == "expired"
    assert "alive" not in lua.lines
    assert lua.engines[0].closed


def test_L17_a_script_cannot_be_started_inside_another(lua) -> None:
    codes = []

    def act(method: str) -> None:
        if method == "step":
            with pytest.raises(FluidError) as caught:
                lua.context.run_source("print('inside')", "inner.lua")
            codes.append(caught.value.code)

    lua.act = act
    lua.run(STEP + "sim:step(1)")
    assert codes == ["expired", "expired"]
    assert lua.lines == []


def test_a_number_that_is_no_engine_is_refused() -> None:
    host = Host(
        limits=Limits(1, 16, None),
        sources=Sources(),
        modules=Modules(),
        parameters=Parameters(),
        log=print,
        note=print,
        find_object=print,
        make_engine=lambda _options: (1, CountingEngine()),
        engines={},
    )
    with pytest.raises(FluidError) as caught:
        host.serve("call", (7, b"step", b"[1]", b"smoke.lua", 1))
    assert caught.value.code == "expired"
    with pytest.raises(ValueError, match="no such call"):
        host.serve("open", (b"/etc/passwd",))


# ===== Errors


def test_an_error_is_logged_and_raised(lua) -> None:
    error = lua.error("local x = nil\nx.y = 1")
    assert lua.lines == ["Lua Script Error: " + render(error.diagnostics[0])]


def test_an_error_of_the_engine_comes_out_as_it_is(lua) -> None:
    raised = FluidError(
        Diagnostic("glsl-error", "First.", Place("smoke.lua", 1), "Do this.", (Place("other.lua", 7),)),
        Diagnostic("glsl-type", "Second."),
    )

    def act(method: str) -> None:
        if method == "step":
            raise raised

    lua.act = act
    error = lua.error(STEP)
    assert [d.code for d in error.diagnostics] == ["glsl-error", "glsl-type"]
    assert [d.place.line for d in error.diagnostics] == [1, 2]
    assert error.diagnostics[0].related == (Place("other.lua", 7),)
    assert error.diagnostics[0].hint == "Do this."


def test_a_caught_error_of_the_engine_is_its_text_and_raised_again_it_is_itself(lua) -> None:
    def act(method: str) -> None:
        if method == "step":
            raise fail("unknown-field", 'There is no field "smoke".', "Declare it.")

    lua.act = act
    make, step = STEP.splitlines()
    lua.run(f"{make}\nprint(pcall(function() {step} end))")
    assert lua.lines == ['false\tThere is no field "smoke".']
    script = f"{make}\nlocal ok, text = pcall(function()\n{step}\nend)\nerror(text, 0)"
    (diagnostic,) = lua.error(script).diagnostics
    assert (diagnostic.code, diagnostic.hint) == ("unknown-field", "Declare it.")
    assert diagnostic.place is not None
    assert diagnostic.place.line == 3


@pytest.mark.parametrize(
    "fault", [ValueError("broken"), SystemExit(3), RecursionError("too deep"), KeyError("x"), MemoryError()]
)
def test_L16_a_fault_of_ours_is_named_and_kept_and_cannot_be_caught(lua, fault: BaseException) -> None:
    def act(method: str) -> None:
        if method == "step":
            raise fault

    lua.act = act
    error = lua.error(STEP.replace("sim:step(0.5)", "pcall(sim.step, sim, 0.5)"))
    (diagnostic,) = error.diagnostics
    assert error.code == "lua-error"
    assert diagnostic.message.startswith("Internal error: ")
    assert diagnostic.place is not None
    assert diagnostic.place.line == 2
    assert error.__cause__ is fault


def test_an_error_of_the_engine_keeps_its_cause(lua) -> None:
    def act(method: str) -> None:
        if method == "step":
            try:
                raise OSError("disk")
            except OSError as error:
                raise fail("disk-error", "The disk failed.") from error

    lua.act = act
    assert isinstance(lua.error(STEP).__cause__, OSError)


def test_L01_a_syntax_error_names_its_line_and_nothing_of_ours(lua) -> None:
    script = "local a = 1\n" * 6 + "local b = = 2\nprint(b)"
    (diagnostic,) = lua.error(script).diagnostics
    assert (diagnostic.code, diagnostic.place.line, diagnostic.related) == ("lua-syntax", 7, ())
    assert lua.lines[0].startswith("Lua Script Error: smoke.lua:7: error[lua-syntax]: This is not Lua: ")
    assert not any(word in lua.lines[0] for word in ("Traceback", "[fluid]", "lupa", "xpcall"))


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        ("{}", "The script raised a table as its error, which has no text."),
        ("{message = 'told'}", "told"),
        ("nil", "The script called error without a message."),
        ("print", "The script raised a function as its error, which has no text."),
        ("coroutine.create(print)", "The script raised a thread as its error, which has no text."),
        ("true", "The script raised a boolean as its error, which has no text."),
        ("setmetatable({}, {__tostring = function() return 'own' end})", "own"),
        ("setmetatable({}, {__tostring = error})", 'The script raised a table whose "__tostring" fails.'),
        (
            "setmetatable({}, {__tostring = function() return {} end})",
            'The script raised a table whose "__tostring" fails.',
        ),
    ],
)
def test_L03_an_error_that_is_no_text_is_told_in_words(lua, raised: str, text: str) -> None:
    error = lua.error(f"local x = 1\nerror({raised})")
    assert (error.code, error.diagnostics[0].message) == ("lua-error", text)


def test_L02_the_stack_shows_the_artists_functions_innermost_first(lua) -> None:
    script = "local M = {}\nfunction M.inner()\n  error('deep')\nend\nlocal function outer()\n  M.inner()\nend\nouter()"
    (diagnostic,) = lua.error(script).diagnostics
    shown = [(place.line, place.label) for place in diagnostic.related]
    assert shown == [(3, 'in "inner"'), (6, 'in "outer"'), (8, "")]
    assert diagnostic.place is not None
    assert (diagnostic.place.line, diagnostic.message) == (3, "deep")


def test_an_error_raised_for_the_caller_is_shown_at_the_caller(lua) -> None:
    script = "local function check(x)\n  if not x then error('x is missing', 2) end\nend\n\ncheck(nil)"
    assert lua.place(script).line == 5


def test_an_endless_recursion_is_shown_once(lua) -> None:
    (diagnostic,) = lua.error("local function f()\n  return 1 + f()\nend\nf()").diagnostics
    assert "stack overflow" in diagnostic.message
    assert [(p.line, p.label) for p in diagnostic.related] == [(2, 'in "f", many times'), (4, "")]


def test_a_long_path_is_recognised_in_messages(lua, tmp_path: Path) -> None:
    folder = tmp_path / ("ä" * 40) / ("b" * 70)
    folder.mkdir(parents=True)
    script = folder / "smoke.lua"
    script.write_text("local x\n\nx.y = 1")
    (diagnostic,) = lua.error(script).diagnostics
    assert diagnostic.place is not None
    assert (diagnostic.place.file, diagnostic.place.line) == (str(script), 3)
    assert diagnostic.message == 'attempt to index a nil value (local "x")'


# ===== Nothing stays


def test_a_context_and_its_state_are_freed_at_once() -> None:
    gc.disable()
    try:
        context = context_with(CountingEngine)
        context.run_source(STEP, "smoke.lua")
        engine = weakref.ref(context.engines[0])
        whole = weakref.ref(context)
        context.close()
        del context
        assert engine() is None
        assert whole() is None
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("count", [250, pytest.param(1000, marks=pytest.mark.long)])
def test_L20_runs_in_a_row_leave_nothing(count: int) -> None:
    good = STEP + "local t = {} for i = 1, 2000 do t[i] = {i} end"
    wrong = STEP + "sim:stepp(1)"
    # In a process of its own, where no other test takes or releases memory.
    (printed,) = in_a_process(f"""
        import gc, json
        from fluid_addon.run.process_figures import resident_memory

        def held_after(runs):
            codes = {{run({wrong!r} if number % 4 == 0 else {good!r}) for number in range(runs)}}
            gc.collect()
            return sorted(codes), resident_memory()

        print(json.dumps([held_after(100), held_after({count})]))
    """)
    (codes, before), (_, after) = json.loads(printed)
    assert codes == ["done", "unknown-method"]
    assert after - before < 5e6


def test_scripts_run_in_several_threads_at_once() -> None:
    printed: list[str] = []

    def run() -> None:
        context = LuaContext(log=printed.append)
        context.run_source("local n = 0 for i = 1, 300000 do n = n + i end print(n)", "smoke.lua")
        context.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert printed == ["45000150000"] * 4
