# SPDX-License-Identifier: GPL-3.0-or-later
"""warn: a note of the run, at the script's line, and not without end."""

from __future__ import annotations

import threading

import pytest

from fluid_addon.run import RunRequest
from fluid_addon.run.session import run_script
from fluid_addon.script.printed import Warnings


def notes_of(lua, source: str) -> list[str]:
    found: list[str] = []
    lua.run(source, note=found.append)
    return found


def test_the_parts_of_a_warning_are_one_text(lua) -> None:
    assert notes_of(lua, 'warn("only ", 3, " of ", 2.5)') == ["only 3 of 2.5"]
    assert lua.lines == []


def test_without_a_listener_a_warning_goes_into_the_log(lua) -> None:
    assert lua.printed('warn("thin air")') == ["thin air"]


def test_lua_s_own_switches_are_no_warnings(lua) -> None:
    assert notes_of(lua, 'warn("@off") warn("still here") warn("@on")') == ["still here"]


def test_a_warning_is_printable_and_short(lua) -> None:
    (shown,) = notes_of(lua, 'warn("a\\nb\\27[31m" .. string.rep("x", 5000))')
    assert shown.startswith("a\\nb\\x1b[31m")
    assert shown.endswith("…")
    assert len(shown) < 1100


def test_too_many_warnings_end_with_one_that_says_so(lua) -> None:
    found = notes_of(lua, "for i = 1, 1000 do warn('again ' .. i) end")
    assert len(found) == Warnings.MOST + 1
    assert found[-2] == f"again {Warnings.MOST}"
    assert found[-1] == f"The script has warned {Warnings.MOST} times; further warnings are not shown."


@pytest.mark.parametrize("argument", ["nil", "", "{}", "true", "print"])
def test_a_warning_is_text(lua, argument: str) -> None:
    error = lua.error(f"warn({argument})")
    assert error.code == "lua-error"
    assert 'bad argument #1 to "warn"' in str(error)


def test_a_run_tells_a_warning_with_its_line(tmp_path) -> None:
    events = []
    request = RunRequest(script="smoke.lua", source='local a = 1\nwarn("low on air")', output=str(tmp_path))
    assert run_script(request, events.append, threading.Event()) == 0
    assert {"event": "note", "text": "low on air", "file": "smoke.lua", "line": 2} in events
