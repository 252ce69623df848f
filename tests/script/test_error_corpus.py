# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error of the Lua side, as the artist reads it: `tests/errors/<code>[-<what>].lua` is a wrong script, and the
`.txt` beside it the exact text. A `.txt` alone is a case without a file of its own, made below.

A script may begin with lines `--! name = value`, in TOML, that set how it is run: seconds, memory_mb, parameters,
cancelled, and close_in (the engine method in which the context is closed).
"""

from __future__ import annotations

import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fluid_addon.diagnostics import CODES, FluidError, render
from fluid_addon.script.parameters import Parameters
from fluid_addon.script.sources import MAX_SOURCE_BYTES

FOLDER = Path(__file__).parents[1] / "errors"
CASES = sorted(path.stem for path in FOLDER.glob("*.txt"))

#: The codes that this room raises; those of the engine have their own folder.
CODES_OF_THIS_ROOM = {
    "lua-syntax",
    "lua-error",
    "lua-timeout",
    "lua-memory",
    "bytecode",
    "script-encoding",
    "script-too-large",
    "script-missing",
    "named-arguments",
    "module-missing",
    "unknown-option",
    "unknown-method",
    "missing-option",
    "bad-argument",
    "not-finite",
    "plan-shape",
    "bad-name",
    "expired",
    "unknown-format",
    "unknown-object",
    "unknown-parameter",
    "duplicate-name",
    "cancelled",
}


def code_of(case: str) -> str:
    """The code that a case is named after."""
    return max((code for code in CODES if case == code or case.startswith(f"{code}-")), key=len)


def settings_of(script: Path) -> dict[str, Any]:
    """What the `--!` lines of a script say."""
    lines = script.read_bytes().splitlines() if script.is_file() else []
    return tomllib.loads("\n".join(line[3:].decode() for line in lines if line.startswith(b"--!")))


def run_case(lua, case: str) -> FluidError:
    script = Path(f"{case}.lua")
    settings = settings_of(script)
    cancel = threading.Event()
    if settings.pop("cancelled", False):
        cancel.set()
    if method := settings.pop("close_in", None):
        lua.act = lambda called: lua.context.close() if called == method else None
    parameters = Parameters(settings.pop("parameters", {}))
    return lua.error(script, cancel=cancel, parameters=parameters, **settings)


@pytest.fixture
def in_folder(monkeypatch) -> None:
    """The cases are read by their bare names, so that texts hold no path of this machine."""
    monkeypatch.chdir(FOLDER)


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize("case", [case for case in CASES if case != "script-too-large"])
def test_a_wrong_script_gets_the_text_that_is_written_down(lua, case: str) -> None:
    error = run_case(lua, case)
    assert error.code == code_of(case)
    expected = (FOLDER / f"{case}.txt").read_text(encoding="utf-8")
    assert "\n".join(render(d) for d in error.diagnostics) + "\n" == expected


def test_a_script_that_is_too_large_gets_the_text_that_is_written_down(lua, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("script-too-large.lua").write_bytes(b"-" * (MAX_SOURCE_BYTES + 1))
    error = run_case(lua, "script-too-large")
    assert render(error.diagnostics[0]) + "\n" == (FOLDER / "script-too-large.txt").read_text(encoding="utf-8")


def test_every_code_of_this_room_has_a_case_and_every_script_a_text() -> None:
    assert {code_of(case) for case in CASES} == CODES_OF_THIS_ROOM
    assert {path.stem for path in FOLDER.glob("*.lua")} <= set(CASES)
