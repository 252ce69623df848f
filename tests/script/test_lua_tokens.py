# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokenizer reads Lua as Lua does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lupa import lua54

from fluid_addon.script.lua_tokens import line_starts, string_value, tokenize


def texts(source: str) -> list[str]:
    return [token.text for token in tokenize(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.b:c(1)", ["a", ".", "b", ":", "c", "(", "1", ")"]),
        ("x = 0x1p-4 + 1e+3 + .5 + 3.", ["x", "=", "0x1p-4", "+", "1e+3", "+", ".5", "+", "3."]),
        (
            "a..b ... a//b a~=b a<<b ::c::",
            ["a", "..", "b", "...", "a", "//", "b", "a", "~=", "b", "a", "<<", "b", "::", "c", "::"],
        ),
        ("0xe+1", ["0xe", "+", "1"]),
        ("--[[ f(x = 1) ]] a", ["a"]),
        ("--[==[ ]] \n ]==] a", ["a"]),
        ("-- one line\nb", ["b"]),
        ("--[=x not long\nb", ["b"]),
        ("[==[ a ]] b ]==] c", ["[==[ a ]] b ]==]", "c"]),
        (r'"a\"b" c', [r'"a\"b"', "c"]),
        ('"a\\z   \n  b" c', ['"a\\z   \n  b"', "c"]),
        ('"a\\\nb" c', ['"a\\\nb"', "c"]),
        ("#!/usr/bin/lua f(\nb", ["b"]),
        ("if a then goto x end", ["if", "a", "then", "goto", "x", "end"]),
        ("a != b", ["a", "!", "=", "b"]),
    ],
)
def test_a_script_becomes_tokens(source: str, expected: list[str]) -> None:
    assert texts(source) == expected


@pytest.mark.parametrize("source", ['a "b\n', "a [[ b", "a --[==[ b ]]", "a 'b"])
def test_what_never_ends_is_the_last_token(source: str) -> None:
    assert [token.kind for token in tokenize(source)] == ["name", "unfinished"]


def test_an_unfinished_string_of_many_escapes_is_read_in_time() -> None:
    assert tokenize('"' + "\\z   " * 20_000)[-1].kind == "unfinished"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\r"])
def test_lines_are_counted_as_lua_counts_them(end: str) -> None:
    text = f"a{end}b{end}{end}c"
    assert [text[start : start + 1] for start in line_starts(text)] == ["a", "b", end[0], "c"]


LONG = st.text(alphabet="ab]=[\n\r ", max_size=12)


@given(LONG, st.integers(0, 3))
def test_a_long_string_stands_for_what_lua_says(body: str, level: int) -> None:
    source = f"[{'=' * level}[{body}]{'=' * level}]"
    (first, *rest) = tokenize(source)
    if first.kind != "long_string" or rest:
        return  # the body closed the string early
    value = string_value(first)
    assert value is not None
    assert value[0] == lua54.LuaRuntime().eval(source)
