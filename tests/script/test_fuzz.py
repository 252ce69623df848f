# SPDX-License-Identifier: GPL-3.0-or-later
"""d61: scripts put together at random from the dangerous pieces end in one of the known ways, and never the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Runs in a process of its own: {S} a statement, {E} an expression, {F} a function.
PROGRAM = r"""
import json, random, re, sys
from fluid_addon.diagnostics import FluidError, fail
from fluid_addon.script import LuaContext

GRAMMAR = {
    "S": ["local a = {E}", "b = {E}", "pcall({F}, {E})", "xpcall({F}, {F})", "coroutine.wrap({F})({E})",
          "do local c <close> = setmetatable({{}}, {{__close = {F}}}) {S} end", "for i = 1, 20 do {S} end",
          "while {E} do {S} end", "error({E})", "if {E} then {S} end", "setmetatable(t, {M})", "t[{E}] = {E}",
          "coroutine.resume(coroutine.create({F}), {E})", "sim:step({E})", "sim:fill({E}, {E})", "{S} {S}", "{S} {S}",
          "table.sort({{1, 2, {E}}}, {F})", "print({E}, {E})", "sim[{E}] = {E}", "rawset(sim, {E}, {E})",
          "load({E}, {E})", "pcall(require, {E})", "coroutine.close(coroutine.create({F}))", "debug.sethook()"],
    "E": ["1", "t", "a", "nil", "'x'", "1e9", "-1", "{{{E}, {E}}}", "{{x = {E}}}", "{F}", "#{E}", "{E} .. {E}",
          "setmetatable({{}}, {M})", "tostring({E})", "('x'):rep({E})", "('aaa'):gsub('.', {F})",
          "string.format('%s %d', {E}, {E})", "table.concat({E})", "table.unpack({{{E}, {E}}})", "select({E}, {E}, 1)",
          "sim", "sim.frame", "params.x", "Format[{E}]", "getmetatable({E})", "pcall({F}, {E})", "_G",
          "{E}.x", "{E}[{E}]", "{E}({E})", "{E}:x({E})", "string.char(27) .. 'Lua'", "coroutine.running()",
          "math.maxinteger",
          "('%b()'):rep(3)", "('a'):find({E})", "table.pack({E}, {E})", "next(t)", "io or os or package",
          "load('return _ENV')()"],
    "F": ["function(...) {S} return {E} end", "print", "error", "pcall", "coroutine.yield", "sim.step", "tostring",
          "function() while true do {S} end end", "function(...) return ... end", "setmetatable", "load", "string.rep",
          "coroutine.wrap", "f"],
    "M": ["{{__index = {F}}}", "{{__tostring = {F}, __name = {E}}}", "{{__call = {F}, __len = {F}, __eq = {F}}}",
          "{{__newindex = {F}, __concat = {F}}}", "{{__gc = {F}}}", "{{__mode = 'kv', __metatable = {E}}}",
          "{{__close = {F}, __lt = {F}}}", "t"],
}
PLAIN = {"S": "a = 1", "E": "1", "F": "print", "M": "{}"}

def expand(symbol, rng, depth):
    if depth == 0:
        return PLAIN[symbol]
    pieces = re.split(r"\{([A-Z])\}", rng.choice(GRAMMAR[symbol]))
    return "".join(expand(p, rng, depth - 1) if i % 2 else p.replace("{{", "{").replace("}}", "}")
                   for i, p in enumerate(pieces))

class Engine:
    frame, time = 0, 0.0
    def __init__(self, **options): pass
    def step(self, dt):
        self.frame += 1
        if self.frame > 300:  # a loop that steps may go on for days
            raise fail("cancelled", "Enough.")
    def fill(self, field, value): self.step(0)
    def close(self): pass

codes = {}
seed, count = map(int, sys.argv[1:])
for number in range(seed, seed + count):
    rng = random.Random(number)
    body = " ".join(expand("S", rng, rng.randint(2, 6)) for _ in range(4))
    script = "sim = FluidEngine.new{domain_size = {1, 1, 1}} t = {} function f(...) " + body + " end\n" + body
    print(f"seed {number}", file=sys.stderr, flush=True)
    context = LuaContext(log=lambda line: None, seconds=0.05, memory_mb=16)
    context.bind_engine(Engine)
    try:
        context.run_source(script, "fuzz.lua")
        code = "done"
    except FluidError as error:
        code = error.code
        if "Internal error" in str(error):
            print(script)
            raise
    finally:
        context.close()
    codes[code] = codes.get(code, 0) + 1
    again = []
    context = LuaContext(log=again.append)
    context.run_source("print(40 + 2)", "a")
    assert again == ["42"]
print(json.dumps(codes))
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
    "unknown-parameter",
    "plan-shape",
    "not-finite",
    "bad-name",
    "module-missing",
    "named-arguments",
    "cancelled",
}


def test_d61_random_scripts_end_in_a_known_way() -> None:
    command = [sys.executable, "-c", PROGRAM, "1", "200"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + "\n".join(done.stderr.splitlines()[-30:])
    codes = json.loads(done.stdout.splitlines()[-1])
    assert set(codes) <= ENDS
    assert sum(codes.values()) == 200
    assert codes.get("lua-syntax", 0) < 100, "most of the scripts have to be Lua for this to test anything"
