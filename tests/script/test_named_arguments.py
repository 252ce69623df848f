# SPDX-License-Identifier: GPL-3.0-or-later
"""`f(a = 1)` becomes `f({a = 1})`, and nothing that Lua understands changes by a single byte."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lupa import lua54

from fluid_addon.diagnostics import FluidError
from fluid_addon.script.named_arguments import rewrite_named_arguments
from fluid_addon.script.sources import SourceText


def rewritten(text: str) -> str:
    return rewrite_named_arguments(SourceText("smoke.lua", text))


def is_lua(text: str) -> bool:
    try:
        lua54.LuaRuntime().compile(text, mode="t")
    except lua54.LuaError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sim:step(dt = 0.016)", "sim:step({dt = 0.016})"),
        ("f(a = 1, b = 2)", "f({a = 1, b = 2})"),
        ("f(a = g(b = 1), c = {d = 2})", "f({a = g({b = 1}), c = {d = 2}})"),
        ("f(g(b = 1), 2)", "f(g({b = 1}), 2)"),
        ("f(a = 1)(b = 2):c(d = 3)", "f({a = 1})({b = 2}):c({d = 3})"),
        ("t[1](a = 1) t.x.y(a = 1)", "t[1]({a = 1}) t.x.y({a = 1})"),
        ('f"x"(a = 1) f[[x]](a = 1) f{1}(a = 1)', 'f"x"({a = 1}) f[[x]]({a = 1}) f{1}({a = 1})'),
        ("f(\n  a = 1, -- b = 2)\n  c = [[ ) ]]\n)", "f({\n  a = 1, -- b = 2)\n  c = [[ ) ]]\n})"),
        ("f(--[[x]]a--[[y]]=1)", "f({--[[x]]a--[[y]]=1})"),
        ("f(a = function(x, y) local b, c = 1, 2 return b end)", None),
        ("f(a = (b == 1), c = #d)", "f({a = (b == 1), c = #d})"),
        ("f(a = 1,)", "f({a = 1,})"),
        ("(f or g)(a = 1)", "(f or g)({a = 1})"),
        ("return f(a = 1)", "return f({a = 1})"),
        ("é(a = 1)", "é(a = 1)"),
    ],
)
def test_named_arguments_become_a_table(text: str, expected: str | None) -> None:
    if expected is None:
        expected = text.replace("f(", "f({", 1)[:-1] + "})"
    assert rewritten(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "function f(a = 1) end",
        "local function f(a = 1) end",
        "function t.x:f(a = 1) end",
        "local f = function (a = 1) end",
        "if (x = 1) then end",
        "while (x = 1) do end",
        "local x = (a = 1)",
        "return (a = 1)",
        "f(a = 1",
        "f('(a = 1)') -- f(a = 1)",
        "f([[ g(a = 1) ]])",
        "f(function() local a, b = 1, 2; c = 3 end, 4)",
        "f{a = 1, b = 2}",
        "f(a == 1, b ~= 2, c <= 3)",
        "f(a.b, c = = 1",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert rewritten(text) == text


@pytest.mark.parametrize(
    ("text", "line", "column", "width", "words"),
    [
        ("sim:step(1, dt = 2)", 1, 13, 2, '"dt" by name and another'),
        ("f(dt = 2, 1)", 1, 11, 1, '"dt" by name and another'),
        ('param("x",\n  default = 1)', 2, 3, 7, '"default" by name'),
        ("f(g(a = 1), b = 2)", 1, 13, 1, '"b" by name'),
        ("f(a = 1, b = 2, a = 3)", 1, 17, 1, '"a" twice'),
    ],
)
def test_a_wrong_call_is_shown(text: str, line: int, column: int, width: int, words: str) -> None:
    with pytest.raises(FluidError) as caught:
        rewritten(text)
    (diagnostic,) = caught.value.diagnostics
    place = diagnostic.place
    assert place is not None
    assert (caught.value.code, place.line, place.column, place.width) == ("named-arguments", line, column, width)
    assert words in diagnostic.message


# ===== Whatever Lua understands stays as it is

#: A grammar of valid Lua: S statements, E expressions, N names, L literals, W white space. The first of each is plain.
GRAMMAR = {
    "S": [
        "a = {E}",
        "local a, b = {E}, {E}",
        "a.b, c[ {E}] = {E}",
        "if {E} then {S} elseif b then c = 2 else {S} end",
        "for i = 1, {E} do {S} end",
        "for k, v in next, {E} do {S} end",
        "while {E} do {S} break end",
        "repeat local a = {E} until (a)",
        "do local a <const> = {E} end",
        "do goto done ::done:: end {S}",
        "local function f(a, b, ...) local a, b = 1, 2; {S} return {E}, {E} end",
        "function a.b:c(d, ...) {S} end",
        "{N}({E}, {E})",
        "{S}{W}{S}",
    ],
    "E": [
        "{N}",
        "{L}",
        "{N}({E}{W}, {E})",
        "{N}.b:c({W}{E})",
        "({E} == {E})",
        "({N})({E})({E}, {E})",
        "{N}{{a = {E}, b = {E}; {E}}}",
        "{N}'x'({E})",
        "{N}[[ (a = 1) ]]:b({E})",
        "function(a, b, ...) local a, b = 1, 2; {S} end",
        "- {E} .. #{N}",
        "not {E} and {E}",
    ],
    "N": ["a", "b", "sim", "x1"],
    "L": [
        "1",
        "0x1p4",
        "'s'",
        '"(a = 1)"',
        "[[ f(a = 1) ]]",
        "[==[ ]] (a = 1) ]==]",
        "nil",
        "...",
        "{{}}",
        "{{a = 1, 2}}",
    ],
    "W": [" ", "\n", " --[[ (a = 1) ]] ", " -- f(a = 1)\n", "\r\n"],
}


def expand(symbol: str, choices: list[int]) -> str:
    """A text of the grammar; the choices are used up from the end, and after that everything is plain."""
    options = GRAMMAR[symbol]
    template = options[choices.pop() % len(options)] if choices else options[0]
    pieces = re.split(r"\{([A-Z])\}", template)
    texts = (expand(piece, choices) if at % 2 else piece.format() for at, piece in enumerate(pieces))
    return "".join(texts)


CHOICES = st.lists(st.integers(0, 200), max_size=40)
SCRIPTS = CHOICES.map(lambda choices: expand("S", choices))
MARKS = "( ) { } [ ] , ; = == . : :: .. ... # - -- \n"
WORDS = "a b sim function end if then do repeat until while for in local return 1 'x' [[y]] goto not and or nil <const>"
FRAGMENTS = st.sampled_from([*MARKS.split(" "), *WORDS.split(" ")])


@given(SCRIPTS)
@settings(max_examples=300)
def test_grammatical_scripts_stay(text: str) -> None:
    assert is_lua(text), text
    assert rewritten(text) == text


@given(st.lists(FRAGMENTS, max_size=12).map(" ".join))
@settings(max_examples=600)
def test_whatever_lua_compiles_stays(text: str) -> None:
    try:
        changed = rewritten(text) != text
    except FluidError:
        changed = True
    if changed:
        assert not is_lua(text), "a valid script was changed"


@given(SCRIPTS, CHOICES)
@settings(max_examples=150)
def test_a_named_call_after_any_script_compiles_and_keeps_its_lines(text: str, choices: list[int]) -> None:
    first, second = expand("E", choices), expand("E", choices)
    script = f"{text}\nsim:step(p = {first},\n q = {second})"
    changed = rewritten(script)
    assert is_lua(changed), changed
    assert changed.count("\n") == script.count("\n")
