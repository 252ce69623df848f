# SPDX-License-Identifier: GPL-3.0-or-later
"""`f(a = 1)` becomes `f({a = 1})`, and nothing that Lua understands changes by a single byte."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
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

NAMES = st.sampled_from(["a", "b", "sim", "self", "x1"])
LITERALS = st.sampled_from(
    ["1", "0x1p4", "'s'", '"(a = 1)"', "[[ f(a = 1) ]]", "[==[ ]] ]==]", "nil", "true", "...", "{}", "{a = 1, 2, [3] = 4}"]
)
SPACES = st.sampled_from([" ", "\n", " --[[ (a = 1) ]] ", " -- f(a = 1)\n", "\r\n"])


def calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(inner, max_size=3).map(", ".join)
    blocks = st.builds("function({}) local a, b = 1, 2; a = 3; {} end".format, st.just("a, b"), statements(inner))
    return st.one_of(
        st.builds("{}({})".format, NAMES, lists),
        st.builds("{}.{}:{}({})".format, NAMES, NAMES, NAMES, lists),
        st.builds("({} == {})".format, inner, inner),
        st.builds("({})({})({})".format, NAMES, lists, lists),
        st.builds("{}{{a = {}, b = {}; {}}}".format, NAMES, inner, inner, inner),
        st.builds("{}'x'({})".format, NAMES, lists),
        blocks,
    )


def statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("local a, b = {}, {}".format, inner, inner),
        st.builds("a.b, c[{}] = {}".format, inner, inner),
        st.builds("if {} then a = 1 elseif b then c = 2 else d = 3 end".format, inner),
        st.builds("for i = 1, {} do a = i end".format, inner),
        st.builds("while {} do a = 1; break end".format, inner),
        st.builds("repeat local a = {} until (a)".format, inner),
        st.builds("do local a <const> = {} end".format, inner),
        st.builds("goto done; ::done:: a = {}".format, inner),
    )


EXPRESSIONS = st.recursive(st.one_of(NAMES, LITERALS), calls, max_leaves=12)
SCRIPTS = st.lists(st.tuples(statements(EXPRESSIONS), SPACES), min_size=1, max_size=5).map(
    lambda parts: "\n".join(a + b for a, b in parts)
)
FRAGMENTS = st.sampled_from(
    "( ) { } [ ] , ; = == . : :: .. ... # - a b sim function end if then do repeat until while for in local return "
    "1 'x' [[y]] goto not and or nil <const> -- \n".split(" ")
)


@given(SCRIPTS)
@settings(max_examples=150)
def test_grammatical_scripts_stay(text: str) -> None:
    assert is_lua(text), text
    assert rewritten(text) == text


@given(st.lists(FRAGMENTS, max_size=12).map(" ".join))
@example("f(function(a) b = 1 end)")
@settings(max_examples=600)
def test_whatever_lua_compiles_stays(text: str) -> None:
    try:
        changed = rewritten(text) != text
    except FluidError:
        changed = True
    if changed:
        assert not is_lua(text), "a valid script was changed"


@given(SCRIPTS, NAMES, EXPRESSIONS, EXPRESSIONS)
@settings(max_examples=60)
def test_a_named_call_in_any_script_compiles_and_keeps_its_lines(text: str, name: str, first: str, second: str) -> None:
    script = f"{text}\n{name}(p = {first},\n q = {second})"
    changed = rewritten(script)
    assert is_lua(changed), changed
    assert changed.count("\n") == script.count("\n")
