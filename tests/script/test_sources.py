# SPDX-License-Identifier: GPL-3.0-or-later
"""L10: files that are no plain UTF-8 Lua, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluid_addon.diagnostics import FluidError, render
from fluid_addon.script.sources import MAX_SOURCE_BYTES, SourceText, read_source


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfprint(7)",
        b"print(7)\r\n-- the end\r\n",
        b"#!/usr/bin/env lua\nprint(7)",
        b"\xef\xbb\xbf#!/usr/bin/env lua\r\nprint(7)",
        b"-- \xc3\xa4\nprint(7)",
    ],
    ids=["byte order mark", "CRLF", "first line with #", "both", "umlaut"],
)
def test_L10_usual_files_run(lua, tmp_path: Path, content: bytes) -> None:
    script = tmp_path / "smoke.lua"
    script.write_bytes(content)
    assert lua.run(script).lines == ["7"]


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"\x1bLua\x54\x00", "bytecode", None),
        (b"x = 1\ny = '\xe4'\n", "script-encoding", 2),
        ("x = 1\n".encode("utf-16"), "script-encoding", None),
        (b"x = 1\n\x00\n", "lua-syntax", 2),
        (b"-- " + b"x" * MAX_SOURCE_BYTES, "script-too-large", None),
    ],
    ids=["bytecode", "latin-1", "utf-16", "NUL", "large"],
)
def test_L10_other_files_are_refused(lua, tmp_path: Path, content: bytes, code: str, line: int | None) -> None:
    script = tmp_path / "smoke.lua"
    script.write_bytes(content)
    error = lua.error(script)
    place = error.diagnostics[0].place
    assert (error.code, place and place.line) == (code, line)
    assert lua.lines == ["Lua Script Error: " + render(error.diagnostics[0])]


@pytest.mark.parametrize("path", ["missing.lua", ".", "a\0b.lua", "x/" * 3000])
def test_a_path_that_is_no_file(lua, tmp_path: Path, path: str) -> None:
    assert lua.error(tmp_path / path).code == "script-missing"


def test_L10_a_text_is_checked_like_a_file(lua) -> None:
    assert lua.error("\x1bLua").code == "bytecode"
    assert lua.error("-" * (MAX_SOURCE_BYTES + 1)).code == "script-too-large"
    lua.lines.clear()
    assert lua.printed("\ufeffprint(7)") == ["7"]


def test_d58_the_name_of_a_text_cannot_disguise_itself(lua) -> None:
    error = lua.error("error('x')", name="a\nb\x1b[31m.lua")
    assert render(error.diagnostics[0]).splitlines()[0] == r"a\nb\x1b[31m.lua:1: error[lua-error]: x"


def test_d60_a_line_is_quoted_without_hidden_characters() -> None:
    source = SourceText("a.lua", "x = 1 -- \u202e\x07z\n")
    assert source.place(1).text == "x = 1 -- ··z"


def test_lines_beyond_the_end_have_no_text() -> None:
    source = SourceText("a.lua", "x\ny")
    assert [source.line(n) for n in (0, 1, 2, 3)] == [None, "x", "y", None]


def test_a_file_is_named_as_given(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.lua").write_text("x")
    assert read_source(Path("a.lua")).file == "a.lua"
    with pytest.raises(FluidError, match=r'Cannot read "b\.lua"'):
        read_source(Path("b.lua"))
