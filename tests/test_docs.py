# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Lua example of the documentation runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fluid_addon.run import RunRequest
from fluid_addon.run.session import check_script, run_script

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "docs/quickstart.md", "docs/lua-reference.md", "docs/gas-library.md"]
BALL = """
v 1 0 0\nv -1 0 0\nv 0 1 0\nv 0 -1 0\nv 0 0 1\nv 0 0 -1
f 1 3 5\nf 3 2 5\nf 2 4 5\nf 4 1 5\nf 3 1 6\nf 2 3 6\nf 4 2 6\nf 1 4 6
"""


def examples() -> list[tuple[str, int, str]]:
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8")
        for match in re.finditer(r"^```lua\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            found.append((page, text.count("\n", 0, match.start()) + 2, match[1]))
    return found


@pytest.mark.parametrize(("page", "line", "code"), examples(), ids=lambda v: str(v)[:40].replace("\n", " "))
def test_an_example_of_the_documentation(page, line, code, tmp_path):
    import threading

    events = []
    (tmp_path / "Ball.obj").write_text(BALL)
    objects = {"Ball": str(tmp_path / "Ball.obj")}
    request = RunRequest(script=f"{page}:{line}", source=code, output=str(tmp_path / "bakes"), objects=objects)
    status = run_script(request, events.append, threading.Event())
    errors = [item["text"] for event in events if event["event"] == "error" for item in event["diagnostics"]]
    assert status == 0, "\n".join(errors)
    assert [e for e in events if e["event"] == "note"] == []
    assert check_script(request) == []


def test_every_function_of_the_interface_is_documented():
    text = (ROOT / "docs/lua-reference.md").read_text("utf-8")
    from fluid_addon.script.host import vocabulary

    for line in vocabulary().splitlines():
        kind, name, *_ = line.split()
        if kind in ("method", "property", "format"):
            assert re.search(rf"[:.`]{name}\b", text), f"{kind} {name} is not in the reference"
    glsl = "\n".join(path.read_text("utf-8") for path in (ROOT / "shaders/include").glob("*.glsl"))
    for name in re.findall(r"^\w+ ([A-Z]\w+)\(", glsl, re.MULTILINE):
        assert f"`{name}(" in text, f"GLSL {name} is not in the reference"


def test_every_operator_of_the_gas_library_is_documented():
    from fluid_addon.script.context import LuaContext

    names: list[str] = []
    with LuaContext(log=names.append) as context:
        context.run_source(
            """
            for name, operator in pairs(require("fluid.gas")) do
                if type(operator) == "function" then print(name) end
            end
            """,
            "names.lua",
        )
    assert len(names) >= 40
    text = (ROOT / "docs/gas-library.md").read_text("utf-8")
    assert [name for name in sorted(names) if not re.search(rf"gas\.{name}\(", text.replace("{", "("))] == []
