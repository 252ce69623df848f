# SPDX-License-Identifier: GPL-3.0-or-later
"""Time, memory and cancellation end a script wherever it is, and name its line."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from fluid_addon.diagnostics import fail
from fluid_addon.script import host, sandbox

ROOT = Path(__file__).parents[2]
NESTED = """\
local function spin()
  while true do
    local x = 1
  end
end
"""


@pytest.mark.parametrize(
    "call",
    [
        "spin()",
        "pcall(spin)",
        "coroutine.wrap(spin)()",
        "xpcall(error, spin)",
        "do local x <close> = setmetatable({}, {__close = spin}) end",
        "pcall(pcall, coroutine.wrap(function() pcall(spin) end))",
    ],
)
def test_L04_L05_a_loop_is_stopped_at_its_own_line(lua, call: str) -> None:
    error = lua.error(NESTED + call, seconds=0.1)
    place = error.diagnostics[0].place
    assert error.code == "lua-timeout"
    assert place is not None
    assert place.line in (2, 3)


def test_L09_memory_that_is_caught_again_and_again_is_stopped(lua) -> None:
    script = "local t = {}\nwhile true do\n  pcall(function() while true do t[#t + 1] = {} end end)\nend"
    assert lua.place(script, memory_mb=8).line == 3
    assert lua.code(script, memory_mb=8) == "lua-memory"


def test_L08_memory_names_the_line_that_took_it(lua) -> None:
    assert lua.place("local s = 'x'\nfor i = 1, 100 do\n  s = s .. s\nend", memory_mb=8).line == 3


def test_a_script_larger_than_its_memory_is_an_error_too(lua) -> None:
    assert lua.code("local t = {" + "{}," * 300_000 + "}", memory_mb=1) == "lua-memory"


@pytest.mark.parametrize(
    "catch", ["pcall", "function(f) return xpcall(f, print) end", "function(f) coroutine.wrap(f)() end"]
)
def test_a_stopped_script_runs_nothing_more(lua, catch: str) -> None:
    script = f"local catch = {catch}\npcall(catch, function() while true do end end)\nprint('alive')"
    assert lua.code(script, seconds=0.1) == "lua-timeout"
    assert not [line for line in lua.lines if "alive" in line.splitlines()[0]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds on the clock by which scripts are limited; a test alone moves it, whatever else the machine does."""
    now = [0.0]
    for module in (sandbox, host):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


#: Long enough for the clock to be looked at several times.
A_WHILE = "for _ = 1, 30000 do end"


def test_an_engine_call_begins_a_new_stretch(lua, clock: list[float]) -> None:
    def act(_method: str) -> None:
        clock[0] += 0.25

    lua.act = act
    script = f"sim = FluidEngine.new{{domain_size = {{1, 1, 1}}}}\nfor i = 1, 3 do sim:step(0.1) {A_WHILE} end"
    lua.run(script, seconds=0.2)
    assert [method for method, _ in lua.calls] == ["new", "step", "step", "step"]


def test_time_in_a_call_that_fails_does_not_count(lua, clock: list[float]) -> None:
    def act(method: str) -> None:
        if method == "step":
            clock[0] += 0.3
            raise fail("unknown-field", "broken")

    lua.act = act
    script = (
        f"sim = FluidEngine.new{{domain_size = {{1, 1, 1}}}}\nprint(pcall(sim.step, sim, 0.1)) {A_WHILE} sim:step(1)"
    )
    assert "broken" in str(lua.error(script, seconds=0.2))
    assert lua.lines[0] == "false\tbroken"


@pytest.mark.parametrize(
    "script",
    ["while true do end", "while true do pcall(function() while true do end end) end", "while true do print(1) end"],
)
def test_L07_cancel_ends_a_loop(lua, script: str) -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.05, cancel.set)
    timer.start()
    assert lua.code(script, cancel=cancel, seconds=60) == "cancelled"
    timer.join()


def test_a_run_that_was_cancelled_is_no_script_error_in_the_log(lua, cancelled) -> None:
    error = lua.error("while true do end", cancel=cancelled)
    assert error.code == "cancelled"
    assert lua.lines == []


def test_cancel_during_an_engine_call_cannot_be_caught(lua) -> None:
    cancel = threading.Event()
    lua.act = lambda method: cancel.set() if method == "step" else None
    script = "sim = FluidEngine.new{domain_size = {1, 1, 1}}\nprint(pcall(sim.step, sim, 0.1))\nprint('alive')"
    error = lua.error(script, cancel=cancel)
    place = error.diagnostics[0].place
    assert error.code == "cancelled"
    assert place is not None
    assert place.line == 2
    assert lua.lines == []


def test_an_interrupt_by_the_keyboard_ends_the_script(lua) -> None:
    def act(method: str) -> None:
        if method == "step":
            raise KeyboardInterrupt

    lua.act = act
    script = "sim = FluidEngine.new{domain_size = {1, 1, 1}}\nwhile true do pcall(sim.step, sim, 0.1) end"
    error = lua.error(script)
    assert error.code == "cancelled"
    assert isinstance(error.__cause__, KeyboardInterrupt)


def test_a_watchdog_sees_whether_lua_lives_and_where(lua) -> None:
    in_call, silences, places = [], [], []

    def act(method: str) -> None:
        if method == "step":
            in_call.append((lua.context.limits.silent_for, lua.context.seen_at().line))

    def watch() -> None:
        while not done.wait(0.005):
            limits = lua.context.limits if lua.context else None
            if limits is not None and limits.in_lua:
                silences.append(limits.silent_for)
                places.append(lua.context.seen_at())

    done = threading.Event()
    watchdog = threading.Thread(target=watch)
    watchdog.start()
    lua.act = act
    script = (
        "sim = FluidEngine.new{domain_size = {1, 1, 1}}\nsim:step(0.1)\nlocal n = 0\nfor i = 1, 3e7 do n = n + i end"
    )
    try:
        lua.run(script, seconds=60)
    finally:
        done.set()
        watchdog.join()
    assert in_call == [(0, 2)], "in an engine call Lua is not asked for signs of life"
    assert max(silences) > 0
    assert 4 in [place.line for place in places if place is not None]
    assert lua.context.limits is None
    assert lua.context.seen_at() is None


# ===== What could bring the process down: each in a process of its own

PRELUDE = """
import sys, threading
from fluid_addon.diagnostics import FluidError
from fluid_addon.script.context import LuaContext
from fluid_addon.script.parameters import Parameters

class Engine:
    frame, time = 0, 0.0
    def __init__(self, **options): pass
    def step(self, dt): pass
    def close(self): pass

def run(source, **options):
    context = LuaContext(log=lambda line: None, **{"seconds": 60.0, "memory_mb": 16, **options})
    context.bind_engine(Engine)
    try:
        context.run_source(source, "smoke.lua")
        return "done"
    except FluidError as error:
        return error.code
    finally:
        context.close()
"""


def in_a_process(code: str) -> list[str]:
    """What a Python program prints; that it ends by itself is part of what is tested."""
    program = PRELUDE + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=280, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_d51_large_answers_near_the_limit(lua) -> None:
    del lua
    printed = in_a_process(
        """
        module = "return [[" + "x" * 3_000_000 + "]]"
        texts = {f"m{i}": module for i in range(12)}
        print(run("for i = 0, 11 do require('m' .. i) end", texts=texts))
        keep = "local t = {} for i = 0, 11 do "
        print(run(keep + "pcall(function() t[i] = require('m' .. i) end) end", texts=texts))
        print(run(keep + "t[i] = ('x'):rep(1200000) pcall(require, 'm' .. i) end", texts=texts))
        print(run("print(40 + 2)"))
        """
    )
    assert printed == ["lua-memory", "lua-memory", "lua-memory", "done"]


def test_the_limit_holds_for_every_size_of_memory(lua) -> None:
    del lua
    printed = in_a_process(
        """
        script = '''
        sim = FluidEngine.new{domain_size = {1, 1, 1}}
        local t = {}
        while true do
          t[#t + 1] = {#t}
          if #t % 100 == 0 then
            sim:step(0.1) print(#t) pcall(function() return params.x end) load("return " .. #t)
          end
        end'''
        print({run(script, memory_mb=size / 16) for size in (1, 3, 7, 11, 16, 23, 37, 48, 64, 79)})
        """
    )
    assert printed == ["{'lua-memory'}"]


def test_errors_at_every_depth_of_the_stack(lua) -> None:
    del lua
    printed = in_a_process(
        """
        script = '''
        sim = FluidEngine.new{domain_size = {1, 1, 1}}
        local function deep(n) if n == 0 then sim:step("x") end return (pcall(deep, n - 1)) or error("up") end
        local function wrapped(n) if n == 0 then sim:step(0.1) end coroutine.wrap(wrapped)(n - 1) end
        for n = %d, 250 do pcall(deep, n) pcall(wrapped, n) end
        deep(%d)'''
        print({run(script % (150, n), memory_mb=256) for n in (1, 211)})  # behind all those errors
        print({run(script % (250, n), memory_mb=256) for n in range(1, 230, 30)})
        """
    )
    assert printed == ["{'lua-error'}"] * 2


def test_a_script_in_another_thread_with_a_small_stack(lua) -> None:
    del lua
    printed = in_a_process(
        """
        threading.stack_size(512 * 1024)
        codes = []
        for script in ("local function f() coroutine.wrap(f)() end f()",
                       "local function f(x) return (x:gsub('.', f)) end f('x')",
                       "local function f(a, b) table.sort({3, 2, 1}, f) return a < b end f(1, 2)",
                       "error(setmetatable({}, {__tostring = function(s) return tostring(s) end}))",
                       "load(('('):rep(5000))() "):
            thread = threading.Thread(target=lambda: codes.append(run(script)))
            thread.start()
            thread.join()
        print(codes)
        """
    )
    # the sort is Lua, whose stack is not C's: it may grow until the memory is used up
    assert printed == ["['lua-error', 'lua-error', 'lua-memory', 'lua-error', 'lua-error']"]
