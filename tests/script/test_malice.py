# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts of our own malice (`malice/*.lua`), written against what the code of this room does: each ends as its first
lines say, within its limits of time and memory, and leaves the process able to run the next.

A script says how it ends and, if they differ, how much memory and time it has, in lines of TOML that begin with `--!`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).with_name("malice")
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.lua"))

#: Beside what Lua may have, the process may grow by this much at its peak: answers, copies, and Python's own.
ROOM_MB = 260.0

# Runs scripts one after the other, and says in JSON of each how it ended and what it took.
PROGRAM = r"""
import json, sys, time
from pathlib import Path
from fluid_addon.diagnostics import FluidError, fail, render
from fluid_addon.script.context import LuaContext

class Engine:
    frame, time, domain_size = 0, 0.0, (1, 1, 1)
    def __init__(self, **options): pass
    def __getattr__(self, name):
        if name.startswith("__"): raise AttributeError(name)
        return lambda *args, **options: None
    def load(self, field, path, grid=None):
        raise fail("grid-file-missing", f'There is no file "{Path.cwd() / path}".', f'Look in "{Path.cwd()}".')
    def export_vdb(self, path, fields, half):
        where = r"[Errno 13] Permission denied: 'C:\Users\ann\x.vdb'"
        raise fail("disk-error", f"Cannot write '{Path.home() / path}': {where}.")
    def step(self, dt):
        self.frame += 1
        if self.frame > 100_000: raise fail("cancelled", "Enough.")

def memory(name):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024 if name in lines else 0.0

for path, seconds, memory_mb in json.loads(sys.argv[1]):
    lines = []
    context = LuaContext(log=lines.append, note=lines.append, seconds=seconds, memory_mb=memory_mb)
    context.bind_engine(Engine)
    before = resident = 0.0
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = memory("VmRSS")
    begin, code, names = time.monotonic(), "done", []
    try:
        context.run_script(path)
    except FluidError as error:
        code = error.code
        names = [place.label for d in error.diagnostics for place in d.related]
        lines.append(render(error.diagnostics[0]))
        assert "Internal error" not in str(error), error
    seconds = time.monotonic() - begin
    context.close()
    grown = memory("VmHWM") - before if before else 0.0
    kept = {"lines": len(lines), "characters": sum(map(len, lines)), "longest": max(map(len, lines), default=0)}
    print(json.dumps({"code": code, "seconds": seconds, "grown": grown, "names": names, "last": lines[-60:], **kept}))
    again = []
    context = LuaContext(log=again.append)
    context.run_source("print(40 + 2)", "a.lua")
    assert again == ["42"]
"""


@dataclass(frozen=True)
class Ending:
    """How a script ended: the code of its error or "done", what it took, and what it said."""

    code: str
    seconds: float
    grown: float
    names: list[str]
    last: list[str]
    lines: int
    characters: int
    longest: int


def settings_of(script: str) -> dict[str, Any]:
    lines = (FOLDER / f"{script}.lua").read_text(encoding="utf-8").splitlines()
    return tomllib.loads("\n".join(line[3:] for line in lines if line.startswith("--!")))


@pytest.fixture(scope="module")
def endings(tmp_path_factory) -> dict[str, Ending]:
    """Every script's ending. All run in one process, so that none may break it for the next."""
    folder = tmp_path_factory.mktemp("artist-ann-secret")
    for script in SCRIPTS:
        (folder / f"{script}.lua").write_bytes((FOLDER / f"{script}.lua").read_bytes())
    (folder / "helper.lua").write_text("return function(f) f('from the helper') end", encoding="utf-8")
    (folder / "broken.lua").write_text("x x x", encoding="utf-8")
    (folder / "fails.lua").write_text("local t = nil\nreturn t.x", encoding="utf-8")
    runs = []
    for script in SCRIPTS:
        settings = settings_of(script)
        seconds = settings.get("seconds", 1.0 if settings["ends"] == "lua-timeout" else 60.0)
        runs.append((str(folder / f"{script}.lua"), seconds, settings.get("memory_mb", 64)))
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}", json.dumps(runs)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = [Ending(**json.loads(line)) for line in done.stdout.splitlines()]
    return dict(zip(SCRIPTS, found, strict=True))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_of_malice_ends_as_it_should(endings: dict[str, Ending], script: str) -> None:
    ending, settings = endings[script], settings_of(script)
    assert ending.code == settings["ends"], ending.last
    # Where a limit of time ends it that is some seconds at most, but the machine does much else; the others just end.
    assert ending.seconds < (30 if ending.code == "lua-timeout" else 200)
    assert ending.grown < settings.get("memory_mb", 64) + ROOM_MB
    assert ending.longest < 10_000
    assert ending.characters < 8_000_000
    assert ending.lines < 200_000
    assert not any("\x1b" in line for line in ending.last)


def test_no_folder_of_the_machine_is_told_to_a_script(endings: dict[str, Ending]) -> None:
    told = endings["leaks"].last
    assert len(told) >= 60
    for secret in ("artist-ann-secret", str(Path.home()), "Users", "site-packages", "fluid_addon"):
        assert not [line for line in told if secret in line]


def test_names_of_functions_write_no_lines_of_a_stack(endings: dict[str, Ending]) -> None:
    names = endings["names_of_functions"].names
    assert names[0].startswith('in "a?7?forged?smoke.lua?b?')
    assert len(names) == 2, names


def test_nothing_that_an_argument_brings_along_is_called(endings: dict[str, Ending]) -> None:
    calls, refused = endings["arguments"].last[-2:]
    called, passed, ok, message = calls.split("\t")
    assert (called, ok) == ("0", "false")
    assert "larger than 1 MiB" in message
    assert refused.startswith("false\tThis call has 250 arguments")
    assert passed == "0"


def test_a_stopped_script_has_no_last_word(endings: dict[str, Ending]) -> None:
    assert not [line for line in endings["after_the_end"].last if line.startswith("alive")]


def test_L05_nothing_runs_where_the_clock_has_no_stack(endings: dict[str, Ending]) -> None:
    assert endings["no_stack"].last[0] == "all refused"


def test_messages_are_short_whatever_they_quote(endings: dict[str, Ending]) -> None:
    assert "error[lua-error]: long messages: 0" in endings["large_texts"].last[-1]
