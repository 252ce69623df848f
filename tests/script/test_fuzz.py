# SPDX-License-Identifier: GPL-3.0-or-later
"""d61: scripts put together from the dangerous pieces end in one of the known ways, and never the process.

Hypothesis draws them, so that one that does not is cut down to what it takes. They run in a process of their own, which
is to survive them all and to run an honest script after each.
"""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]

#: {S} a statement, {E} an expression, {F} a function, {M} a metatable.
GRAMMAR = {
    "S": """
        local a = {E} | b = {E} | pcall({F}, {E}) | xpcall({F}, {F}) | coroutine.wrap({F})({E})
        do local c <close> = setmetatable({{}}, {{__close = {F}}}) {S} end | for i = 1, 20 do {S} end
        while {E} do {S} end | error({E}) | if {E} then {S} end | setmetatable(t, {M}) | t[{E}] = {E}
        coroutine.resume(coroutine.create({F}), {E}) | sim:step({E}) | sim:fill({E}, {E}) | {S} {S} | {S} {S}
        table.sort({{1, 2, {E}}}, {F}) | print({E}, {E}) | sim[{E}] = {E} | rawset(sim, {E}, {E}) | load({E}, {E})
        pcall(require, {E}) | coroutine.close(coroutine.create({F})) | debug.sethook()
        for k, v in pairs({E}) do {S} end
        for k in next, {E} do t[k] = nil {S} end | repeat {S} until next(t) == nil | goto on | ::on:: | param({E}, {E})
        sim:add_field({E}, {E}) | sim:step(dt = {E}) | warn({E}) | table.insert(t, {E}) | table.remove(t, {E})
        table.move(t, {E}, {E}, {E}) | math.randomseed({E}) | string.x = {F} | _ENV = {E} | local _ENV = {E} {S}
        scene.object({E}) | FluidEngine.new({E}) | sim:run({E}) | sim:add_stencil({E}, {E})
    """,
    "E": """
        1 | t | a | nil | 'x' | 1e9 | -1 | {{{E}, {E}}} | {{x = {E}}} | {{[{E}] = {E}}} | {F} | #{E} | {E} .. {E}
        setmetatable({{}}, {M}) | tostring({E}) | ('x'):rep({E}) | ('aaa'):gsub('.', {F}) | 0/0 | -0.0 | 1 << 63
        string.format('%s %d', {E}, {E}) | table.concat({E}) | table.unpack({{{E}, {E}}}) | select({E}, {E}, 1)
        sim | sim.frame | params.x | Format[{E}] | getmetatable({E}) | pcall({F}, {E}) | _G | {E}.x | {E}[{E}]
        {E}({E}) | {E}:x({E}) | string.char(27) .. 'Lua' | coroutine.running() | math.maxinteger | ('%b()'):rep(3)
        ('a'):find({E}) | table.pack({E}, {E}) | next(t) | next(t, {E}) | io or os or package | load('return _ENV')()
        {E} == {E} | {E} < {E} | {E} + {E} | string.pack({E}, {E}) | utf8.char({E}) | ('x'):rep(1e6)
        coroutine.wrap({F})
        string.format('%p', {E}) | math.random({E}) | f({E}) | ipairs({E}) | pairs({E}) | tostring | string | {{...}}
    """,
    "F": """
        function(...) {S} return {E} end | print | error | pcall | coroutine.yield | sim.step | tostring | next | pairs
        function() while true do {S} end end | function(...) return ... end | setmetatable | load | string.rep
        coroutine.wrap | f | function(k) return pcall(f, k) end | require | table.sort | coroutine.close
    """,
    "M": """
        {{__index = {F}}} | {{__tostring = {F}, __name = {E}}} | {{__call = {F}, __len = {F}, __eq = {F}}}
        {{__newindex = {F}, __concat = {F}}} | {{__gc = {F}}} | {{__mode = 'kv', __metatable = {E}}}
        {{__close = {F}, __lt = {F}}} | t | {{__pairs = {F}}} | {{__mode = {E}}} | {{__index = t}}
    """,
}
PLAIN = {"S": "a = 1", "E": "1", "F": "print", "M": "{}"}
CHOICES = {symbol: re.split(r"\s*\|\s*|\s*\n\s*", text.strip()) for symbol, text in GRAMMAR.items()}

# Reads scripts, a line of JSON each, and answers with how each ended.
PROGRAM = r"""
import json, sys
from fluid_addon.diagnostics import FluidError, fail
from fluid_addon.script.context import LuaContext

class Engine:
    frame, time = 0, 0.0
    def __init__(self, **options): pass
    def __getattr__(self, name):
        if name.startswith("__"): raise AttributeError(name)
        return lambda *args, **options: self.step(0)
    def step(self, dt):
        self.frame += 1
        if self.frame > 300:  # a loop that steps may go on for days
            raise fail("cancelled", "Enough.")
    def close(self): pass

for line in sys.stdin:
    context = LuaContext(log=lambda line: None, seconds=0.05, memory_mb=16)
    context.bind_engine(Engine)
    try:
        context.run_source(json.loads(line), "fuzz.lua")
        code = "done"
    except FluidError as error:
        code = "internal" if "Internal error" in str(error) else error.code
    finally:
        context.close()
    again = []
    context = LuaContext(log=again.append)
    context.run_source("print(40 + 2)", "a")
    print(code if again == ["42"] else "broken", flush=True)
"""

#: How a script may end. Errors of the compiler are those of pieces that do not fit together.
ENDS = {
    "done",
    "lua-error",
    "lua-syntax",
    "lua-timeout",
    "lua-memory",
    "bad-argument",
    "missing-option",
    "unknown-option",
    "unknown-method",
    "unknown-format",
    "unknown-object",
    "unknown-parameter",
    "duplicate-name",
    "plan-shape",
    "not-finite",
    "bad-name",
    "module-missing",
    "named-arguments",
    "cancelled",
}


class Child:
    """The process in which scripts run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.codes: Counter[str] = Counter()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line.strip())
        self._answers.put("")

    def run(self, script: str) -> str:
        """How a script ends; "" if it ends the process, "stalled" if it runs far beyond its limits."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(script) + "\n")
            self._process.stdin.flush()
            code = self._answers.get(timeout=60)  # its limit is a twentieth of a second
        except (queue.Empty, OSError):
            code = "stalled"
        self.codes[code] += 1
        return code

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


@st.composite
def piece(draw: Any, symbol: str, depth: int) -> str:
    if depth == 0:
        return PLAIN[symbol]
    parts = re.split(r"\{([A-Z])\}", draw(st.sampled_from(CHOICES[symbol])))
    return "".join(
        draw(piece(part, depth - 1)) if at % 2 else part.replace("{{", "{").replace("}}", "}")
        for at, part in enumerate(parts)
    )


@st.composite
def scripts(draw: Any) -> str:
    body = " ".join(draw(piece("S", draw(st.integers(2, 5)))) for _ in range(draw(st.integers(1, 4))))
    return f"sim = FluidEngine.new{{domain_size = {{1, 1, 1}}}} t = {{}} function f(...) {body} end\n{body}"


def check(child: Child, script: str) -> None:
    assert child.run(script) in ENDS


SUPPRESSED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
FAST = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=SUPPRESSED,
    phases=[Phase.generate, Phase.shrink],
)
LONG = settings(FAST, max_examples=4000)


@FAST
@given(script=scripts())
def test_d61_random_scripts_end_in_a_known_way(child: Child, script: str) -> None:
    check(child, script)


def test_d61_most_of_them_are_lua(child: Child) -> None:
    """Or the test above would show nothing."""
    if not child.codes:
        pytest.skip("runs after the test above")
    assert child.codes["lua-syntax"] < 0.6 * child.codes.total()
    assert len(child.codes) >= 4


@pytest.mark.long
@LONG
@given(script=scripts())
def test_d61_many_random_scripts_end_in_a_known_way(child: Child, script: str) -> None:
    check(child, script)
