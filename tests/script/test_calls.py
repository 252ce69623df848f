# SPDX-License-Identifier: GPL-3.0-or-later
"""The Lua interface: what each call hands to the engine, what comes back, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.engine.formats import Format
from fluid_addon.engine.solver import SolverDefinition
from fluid_addon.engine.stencil import StencilDefinition
from fluid_addon.script.sandbox import Sandbox

ENGINE = "sim = FluidEngine.new({domain_size = {8, 8, 8}})\n"

CALLS = {
    "add_field": ("sim:add_field('d', Format.R32F, 1.5)", ("add_field", ("d", Format.R32F, 1.5))),
    "add_field without init": ("sim:add_field('d', Format.R16F)", ("add_field", ("d", Format.R16F, 0.0))),
    "add_field by name": (
        "sim:add_field(name = 'd', format = Format.R32I, init = 3)",
        ("add_field", ("d", Format.R32I, 3)),
    ),
    "add_field with options": (
        "sim:add_field('v', Format.R32G32B32F, {0, 0, 0}, {staggered = true})",
        ("add_field", ("v", Format.R32G32B32F, (0, 0, 0), {"staggered": True})),
    ),
    "add_field with options alone": (
        "sim:add_field('v', Format.R32G32B32F, {staggered = true})",
        ("add_field", ("v", Format.R32G32B32F, 0.0, {"staggered": True})),
    ),
    "add_field vector": (
        "sim:add_field('v', Format.R32G32B32F, {1, 2.0, -0.0})",
        ("add_field", ("v", Format.R32G32B32F, (1, 2.0, -0.0))),
    ),
    "step": ("sim:step(0.5)", ("step", 0.5)),
    "step table": ("sim:step{dt = 0.5}", ("step", 0.5)),
    "step by name": ("sim:step(dt = 1/4)", ("step", 0.25)),
    "run": (
        "sim:run{frames = 120, fps = 24, substeps = 'auto', cfl = 3, export = 'smoke_####.vdb'}",
        ("run", {"frames": 120, "fps": 24, "substeps": "auto", "cfl": 3, "export": "smoke_####.vdb"}),
    ),
    "run with whole floats": ("sim:run(frames = 2.0, substeps = 3)", ("run", {"frames": 2, "substeps": 3})),
    "run_stencil": ("sim:run_stencil('a')", ("run_stencil", ("a", None))),
    "run_stencil dt": ("sim:run_stencil('a', 0.1)", ("run_stencil", ("a", 0.1))),
    "run_stencil table": ("sim:run_stencil('a', {dt = 0.1})", ("run_stencil", ("a", 0.1))),
    "enable": ("sim:enable('a', false)", ("set_enabled", ("a", False))),
    "enable by default": ("sim:enable('a')", ("set_enabled", ("a", True))),
    "load": ("sim:load('d', 'x.vdb')", ("load", ("d", "x.vdb", None))),
    "load of a grid": ("sim:load('d', 'x.nvdb', {grid = 'smoke'})", ("load", ("d", "x.nvdb", "smoke"))),
    "fill": ("sim:fill('v', {1, 2, 3})", ("fill", ("v", (1, 2, 3)))),
    "reduce": ("sim:reduce('d', 'sum')", ("reduce", ("d", "sum"))),
    "read": ("sim:read('d', {1, 2, 3})", ("read", ("d", (1, 2, 3)))),
    "export_vdb": ("sim:export_vdb('a.vdb')", ("export_vdb", ("a.vdb", None, False))),
    "export_vdb options": (
        "sim:export_vdb('ä.vdb', {fields = {'d'}, half = true})",
        ("export_vdb", ("ä.vdb", ("d",), True)),
    ),
    "export_vdb empty options": ("sim:export_vdb('a.vdb', {})", ("export_vdb", ("a.vdb", None, False))),
    "export_vdb by name": ("sim:export_vdb(path = 'a.vdb')", ("export_vdb", ("a.vdb", None, False))),
    "export_nvdb": ("sim:export_nvdb('a.nvdb', {fields = {'d'}})", ("export_nvdb", ("a.nvdb", ("d",)))),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_reaches_the_engine(lua, name: str) -> None:
    script, expected = CALLS[name]
    lua.act = lambda method: 1.0 if method in ("reduce", "read") else None
    lua.run(ENGINE + script)
    assert lua.calls[1:] == [expected]


def test_a_solver_reaches_the_engine_and_what_it_solved_comes_back(lua) -> None:
    text = lua.printed(
        ENGINE
        + "sim:add_solver('s', {unknown = 'p', rhs = 'd', sides = {'open', 'closed', 'open'}, most = 5.0})"
        + " local found = sim:solved('s') print(found.residual, found.iterations)"
    )
    assert lua.calls[1][1] == SolverDefinition("s", "p", "d", sides=("open", "closed", "open"), most=5)
    assert text == ["0.25\t3"]


def test_a_stencil_reaches_the_engine(lua) -> None:
    lua.run(
        ENGINE
        + "sim:add_stencil('s', {outputs = {'a'}, code = 'x' .. 'y', iterations = 4.0, enabled = false,"
        + " requires_halos = false})"
    )
    definition = lua.calls[1][1]
    assert isinstance(definition, StencilDefinition)
    assert (definition.name, definition.code, definition.inputs, definition.outputs) == ("s", "xy", (), ("a",))
    assert (definition.iterations, definition.enabled, definition.requires_halos) == (4, False, False)


def test_every_option_of_a_new_engine(lua) -> None:
    lua.run(
        "FluidEngine.new(domain_size = {1, 2, 3}, voxel_size = 0.5, origin = {0, 1.5, -1}, gpu_count = 2,"
        " device = 'RTX', grid_file = 'a.nvdb', sparse = true, boundary = {'open', 'clamp', 'periodic'})\n"
        "FluidEngine:new{domain_size = {1, 2, 3}, device = 1, boundary = 'clamp'}\n"
        "FluidEngine.new()"
    )
    assert [options for _, options in lua.calls] == [
        {
            "domain_size": (1, 2, 3),
            "voxel_size": 0.5,
            "origin": (0, 1.5, -1),
            "gpu_count": 2,
            "device": "RTX",
            "grid_file": "a.nvdb",
            "sparse": True,
            "boundary": ("open", "clamp", "periodic"),
        },
        {"domain_size": (1, 2, 3), "device": 1, "boundary": "clamp"},
        {},
    ]


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (1.5, "1.5"),
        (3, "3"),
        ((1.0, 2, 3.5), "{1.0 2 3.5}"),
        (np.float32(0.5), "0.5"),
        (np.int32(-4), "-4"),
        ((np.float32(0.5), np.uint32(7)), "{0.5 7}"),
        (float("nan"), "nan"),
    ],
)
def test_what_a_field_holds_comes_back_as_lua_numbers(lua, answer, printed: str) -> None:
    lua.act = lambda method: answer if method == "read" else None
    script = (
        "local v = sim:read('d', {0, 0, 0})\n"
        "print(type(v) == 'table' and '{' .. table.concat(v, ' ') .. '}' or (tostring(v):gsub('-nan', 'nan')))"
    )
    assert lua.printed(ENGINE + script) == [printed]


def test_an_engine_that_answers_an_object_is_a_fault_and_hands_nothing_over(lua) -> None:
    lua.act = lambda method: object() if method == "read" else None
    error = lua.error(ENGINE + "print(pcall(sim.read, sim, 'd', {0, 0, 0}))")
    assert error.code == "lua-error"
    assert isinstance(error.__cause__, TypeError)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("-0.0", -0.0),
        ("0.1", 0.1),
        ("2^63", 2.0**63),
        ("math.maxinteger", 2**63 - 1),
        ("math.mininteger", -(2**63)),
        ("5e-324", 5e-324),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("3", 3),
        ("3.0", 3.0),
    ],
)
def test_L12_numbers_reach_the_engine_to_the_last_bit(lua, written: str, value: float) -> None:
    lua.run(ENGINE + f"sim:fill('d', {{{written}, {written}}})")
    for part in lua.calls[-1][1][1]:
        assert (type(part), repr(part)) == (type(value), repr(value))


@pytest.mark.parametrize("written", ["1e400", "-1e400", "0/0", "-(0/0)", "math.huge"])
def test_L12_numbers_without_a_value_are_refused(lua, written: str) -> None:
    assert lua.engine_error(f"sim:step({written})").code == "not-finite"


def test_d49_d50_d52_only_numbers_texts_and_booleans_cross_the_border(lua, monkeypatch) -> None:
    crossed: set[type] = set()
    answer = Sandbox._answer

    def seen(self: Sandbox, call: bytes, *arguments: object) -> object:
        crossed.update(type(argument) for argument in (call, *arguments))
        values = answer(self, call, *arguments)
        crossed.update(type(value) for value in values)
        return values

    monkeypatch.setattr(Sandbox, "_answer", seen)
    script = """
    local odd = setmetatable({}, {__index = error, __newindex = error, __len = error, __call = error})
    local values = {odd, {odd}, print, coroutine.create(print), sim, FluidEngine, 1, 1.5, "x", true, {1, {2}},
                    {a = {b = 1}}}
    local calls = {sim.fill, sim.step, sim.run, sim.add_stencil, FluidEngine.new, param, print, warn, require, load}
    for i = 1, 12 do
      for _, call in ipairs(calls) do
        pcall(call, values[i], values[i], values[i])
        pcall(call, sim, values[i], values[i])
      end
      pcall(function() return sim[values[i]], params[values[i]] end)
      pcall(function() sim[values[i]] = values[i] end)
    end
    """
    lua.act = lambda method: (1.0, 2) if method == "read" else None
    lua.run(ENGINE + script + "print(sim:read('d', {0, 0, 0})[2], sim.frame, sim.boundary[1])")
    assert lua.lines[-1] == "2\t0\topen"
    assert crossed <= {type(None), bool, int, float, bytes}


def test_frame_and_time_are_read_from_the_engine(lua) -> None:
    assert lua.printed(ENGINE + "sim:step(0.25) sim:step(0.25) print(sim.frame, sim.time)") == ["2\t0.5"]


def test_formats_are_the_numbers_of_vulkan(lua) -> None:
    names = list(Format.__members__)
    script = "".join(f"print(Format.{name})\n" for name in names)
    assert lua.printed(script) == [str(Format[name].value) for name in names]


def test_two_engines_are_told_apart(lua) -> None:
    lua.run(
        "a = FluidEngine.new{domain_size = {1, 1, 1}} b = FluidEngine.new{domain_size = {2, 2, 2}} b:step(1) a:step(2)"
    )
    first, second = lua.engines
    assert (first.time, second.time) == (2, 1)


REFUSED = {
    "unknown option": ("FluidEngine.new{visocsity = 1}", "unknown-option", '"visocsity" is no option'),
    "L14 close option": ("sim:run{frams = 1}", "unknown-option", '"frams"'),
    "missing": ("sim:run{fps = 24}", "missing-option", 'needs "frames"'),
    "missing by position": ("sim:add_field('d')", "missing-option", 'needs "format"'),
    "missing nil": ("sim:read('d', nil)", "missing-option", 'needs "coord"'),
    "no arguments": ("sim:step()", "missing-option", 'needs "dt"'),
    "too many": ("sim:step(1, 2)", "bad-argument", "takes 1 argument by position, not 2"),
    "d56 a million": ("sim:fill('d', table.unpack({}, 1, 200000))", "bad-argument", "has 200001 arguments"),
    "list for options": ("sim:export_vdb('a.vdb', {'d'})", "bad-argument", "takes 1 argument by position"),
    "no table": ("sim:run(120)", "bad-argument", "takes a table of options, not the number 120"),
    "twice": ("sim:add_stencil('s', {name = 's', outputs = {'a'}, code = ''})", "bad-argument", "given twice"),
    "text for number": ("sim:step('1e3')", "bad-argument", '"dt" must be a number, not the text "1e3"'),
    "boolean for number": ("sim:step(true)", "bad-argument", "not the boolean true"),
    "fraction": ("sim:run{frames = 1.5}", "bad-argument", '"frames" must be a whole number, not the number 1.5'),
    "two numbers": ("sim:read('d', {1, 2})", "bad-argument", '"coord" must be three whole numbers, not a list of 2'),
    "inner": ("sim:read('d', {1, 'x', 2})", "bad-argument", '"coord[2]" must be a whole number'),
    "names for list": ("sim:fill('d', {x = 1})", "bad-argument", '"value" must be a number or a list'),
    "name for list": ("sim:export_vdb('a', {fields = 'd'})", "bad-argument", '"fields" must be a list of names'),
    "one of": ("sim:reduce('d', 'summ')", "bad-argument", 'must be "sum", "min", "max" or "norm"'),
    "boundary": ("FluidEngine.new{boundary = {'open', 'shut', 'open'}}", "bad-argument", '"boundary[2]" must be'),
    "format number": ("sim:add_field('d', 12345)", "unknown-format", "12345"),
    "format name": ("sim:add_field('d', Format.R32)", "unknown-format", '"R32"'),
    "L11 name": (r"sim:add_field('d\xff', Format.R32F)", "bad-name", r"d\xff"),
    "L11 inner name": (r"sim:export_vdb('a', {fields = {'\xff'}})", "bad-name", "fields[1]"),
    "text bytes": (r"sim:export_vdb('\xff')", "bad-argument", "not UTF-8"),
    "path NUL": (r"sim:export_vdb('a\0b')", "bad-argument", '"path" must be a path'),
    "L12 nan": ("sim:step(0/0)", "not-finite", '"dt" is not a number'),
    "L12 infinite": ("sim:fill('d', {1, -1e400})", "not-finite", '"value[2]" is infinite'),
    "L12 deep": ("sim:run{frames = 1, fields = {rho = {init = {1, 2, 0/0}}}}", "not-finite", '"fields.rho.init[3]"'),
    "L13 hole": ("sim:fill('d', {1, nil, 3})", "plan-shape", '"value" has a hole: its entry 2 is nil'),
    "L13 mixed": ("sim:run{frames = 1, 2}", "plan-shape", "mixes names and positions"),
    "L13 cycle": ("local t = {} t.a = {t} sim:run(t)", "plan-shape", '"a[1]" contains itself'),
    "L13 depth": ("local t = {} for i = 1, 1000 do t = {t} end sim:fill('d', t)", "plan-shape", "nested more than 32"),
    "L13 large": (
        "local t = {} for i = 1, 9e4 do t[i] = 1 / i end sim:fill('d', t)",
        "plan-shape",
        "larger than 1 MiB",
    ),
    "L13 keys": ("local t = {} for i = 1, 1e6 do t[i] = i end sim:fill('d', t)", "plan-shape", "more than 100000"),
    "L13 metatable": ("sim:fill('d', setmetatable({}, {}))", "plan-shape", '"value" is a table with a metatable'),
    "function": ("sim:run{frames = print}", "plan-shape", '"frames" is a function'),
    "coroutine": ("sim:fill('d', {1, coroutine.create(print)})", "plan-shape", '"value[2]" is a thread'),
    "d59 keys": ("sim:run{frames = 1, [true] = 1}", "plan-shape", "a boolean as a key"),
    "d59 same": ("sim:run{[1] = 1, ['1'] = 1}", "plan-shape", "mixes names and positions"),
    "d59 huge key": ("sim:run{frames = 1, [('x'):rep(2e6)] = 1}", "plan-shape", "larger than 1 MiB"),
    "d59 proto": ("sim:run{frames = 1, __proto__ = 1}", "unknown-option", '"__proto__"'),
    "an engine": ("sim:fill('d', sim)", "plan-shape", "metatable"),
    "method": ("sim:setp(1)", "unknown-method", '"setp"'),
    "method by number": ("sim[1]()", "unknown-method", '"1"'),
    "constructor": ("FluidEngine.create{}", "unknown-method", '"create"'),
    "dot": ("sim.step(0.1)", "bad-argument", '"step" was called without an engine'),
    "assign": ("sim.frame = 3", "bad-argument", "cannot be changed"),
    "assign format": ("Format.R32F = 3", "bad-argument", "Format cannot be changed"),
    "assign params": ("params.x = 3", "bad-argument", "params cannot be changed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_L11_L12_L13_L14_a_wrong_call_is_refused_and_never_reaches_the_engine(lua, name: str) -> None:
    script, code, words = REFUSED[name]
    error = lua.engine_error(script)
    assert error.code == code
    assert words in str(error)
    assert [method for method, _ in lua.calls] == ["new"]
    place = error.diagnostics[0].place
    assert place is not None
    assert place.line == 2


def test_what_is_refused_can_be_caught_as_text(lua) -> None:
    script = "local ok, text = pcall(sim.step, sim, 'x')\nprint(ok, text)\nsim:step(1)"
    lua.run(ENGINE + script)
    assert lua.lines == ['false\t"dt" must be a number, not the text "x".']
    assert lua.calls[-1] == ("step", 1)


PLAN = """
local names = {}
for i = 1, 40 do names["name" .. i] = i end
local list = {}
for name in pairs(names) do list[#list + 1] = name end
sim = FluidEngine.new{domain_size = {1, 1, 1}}
local options = {frames = 3}
for _, key in pairs({"fps", "cfl", "substeps", "export"}) do options[key] = key == "export" and "a_#.vdb" or 3 end
sim:run(options)
"""


def test_L15_two_processes_send_the_same_bytes() -> None:
    program = (
        "import sys\n"
        "from fluid_addon.script import host\n"
        "from fluid_addon.script.context import LuaContext\n"
        "class Engine:\n"
        "    frame = 0\n"
        "    def __init__(self, **options): pass\n"
        "    def run(self, **options): pass\n"
        "    def close(self): pass\n"
        "take = host.decode\n"
        "def seen(payload):\n"
        "    print(payload)\n"
        "    return take(payload)\n"
        "host.decode = seen\n"
        "context = LuaContext()\n"
        "context.bind_engine(Engine)\n"
        f"context.run_source({PLAN!r}, 'smoke.lua')\n"
    )
    root = Path(__file__).parents[2]
    outputs = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root).stdout
        for _ in range(2)
    }
    assert outputs == {
        'b\'[{"domain_size":[1,1,1]}]\'\nb\'[{"cfl":3,"export":"a_#.vdb","fps":3,"frames":3,"substeps":3}]\'\n'
    }
