# SPDX-License-Identifier: GPL-3.0-or-later
"""`require` finds the library, texts and files beside the script, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fluid_addon.diagnostics import FluidError, render
from fluid_addon.engine.stencil import CodeOrigin
from fluid_addon.script.modules import LIBRARY, Modules
from fluid_addon.script.sources import MAX_SOURCE_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scene" / "my").mkdir(parents=True)
    return tmp_path / "scene"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_module_beside_the_script(lua, folder: Path) -> None:
    write(folder / "my" / "helpers.lua", "local M = {} function M.twice(x) return 2 * x end return M")
    script = write(folder / "smoke.lua", 'local h = require("my.helpers")\nprint(h.twice(4), h == require"my.helpers")')
    assert lua.run(script).lines == ["8\ttrue"]


def test_a_text_goes_before_a_file(lua, folder: Path) -> None:
    write(folder / "helpers.lua", "return 'file'")
    script = write(folder / "smoke.lua", "print(require('helpers'))")
    assert lua.run(script).lines == ["file"]
    for name in ("helpers.lua", "helpers"):
        lua.lines.clear()
        assert lua.run(script, texts={name: "return 'text'"}).lines == ["text"]


def test_a_script_in_memory_requires_texts_and_the_given_folder(lua, folder: Path) -> None:
    write(folder / "helpers.lua", "return 'file'")
    lua.run("print(require('helpers'), require('my.text'))", root=folder, texts={"my/text.lua": "return 'text'"})
    assert lua.lines == ["file\ttext"]


def test_a_module_is_run_once_and_shares_globals(lua) -> None:
    texts = {"count.lua": "n = (n or 0) + 1"}
    assert lua.printed("require('count') require('count') print(n, require('count'))", texts=texts) == ["1\ttrue"]


def test_a_module_may_return_false(lua) -> None:
    texts = {"no.lua": "print('once') return false"}
    assert lua.printed("print(require('no')) print(require('no'))", texts=texts) == ["once", "false", "false"]


def test_named_arguments_work_in_modules(lua) -> None:
    texts = {"go.lua": "#!lua\nreturn function(sim) sim:step(dt = 0.5) end"}
    lua.run("require('go')(FluidEngine.new{domain_size = {1, 1, 1}})", texts=texts)
    assert lua.calls[-1] == ("step", 0.5)


def test_an_error_in_a_module_names_its_line(lua, folder: Path) -> None:
    module = write(folder / "bad.lua", "local x\nreturn x.y")
    script = write(folder / "smoke.lua", "-- first\nrequire('bad')")
    error = lua.error(script)
    (diagnostic,) = error.diagnostics
    assert diagnostic.place is not None
    assert (diagnostic.place.file, diagnostic.place.line) == (str(module), 2)
    assert [(p.file, p.line) for p in diagnostic.related] == [(str(module), 2), (str(script), 2)]


def test_a_syntax_error_in_a_module_names_its_line(lua, folder: Path) -> None:
    module = write(folder / "bad.lua", "local x = 1\nlocal y = = 2")
    script = write(folder / "smoke.lua", "require('bad')")
    error = lua.error(script)
    assert error.code == "lua-syntax"
    assert render(error.diagnostics[0]).splitlines()[0].startswith(f"{module}:2: ")


def test_a_stencil_in_a_module_begins_in_its_file(lua) -> None:
    texts = {"advect.lua": "return function(sim)\n  sim:add_stencil('a', {outputs = {'d'}, code = [[\n  x;\n]]})\nend"}
    lua.run("require('advect')(FluidEngine.new{domain_size = {1, 1, 1}})", texts=texts)
    assert lua.calls[-1][1].origin == CodeOrigin("advect.lua", 3)


def test_a_library_is_found_by_its_prefix(tmp_path: Path) -> None:
    write(tmp_path / "gas.lua", "return 1")
    modules = Modules(None, {"fluid.gas": "no", "fluid/gas.lua": "no"}, library=tmp_path)
    source = modules.find("fluid.gas")
    assert (source.file, source.text, source.library) == ("fluid/gas.lua", "return 1", True)
    with pytest.raises(FluidError) as caught:
        modules.find("fluid.gass")
    assert caught.value.diagnostics[0].hint == 'Did you mean "fluid.gas"?'


def test_an_error_that_a_library_meets_is_shown_at_the_line_of_the_artist(lua, tmp_path: Path, monkeypatch) -> None:
    write(tmp_path / "gas.lua", "return function(sim)\n  sim:step('x')\nend")
    monkeypatch.setattr(Modules.__init__, "__defaults__", (None, None, tmp_path))
    error = lua.engine_error("local gas = require('fluid.gas')\ngas(sim)")
    (diagnostic,) = error.diagnostics
    assert diagnostic.place is not None
    assert (diagnostic.place.file, diagnostic.place.line) == ("smoke.lua", 3)
    assert diagnostic.related == ()


def test_every_module_of_the_library_compiles_and_loads(lua) -> None:
    names = Modules().library_names()
    assert len(names) == len(list(LIBRARY.rglob("*.lua")))
    for name in names:
        assert lua.code(f"require('{name}')") == "done"


# ===== Refused

NOT_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a..b",
    "a/b",
    "/etc/passwd",
    "a.",
    "x\0",
    "C:x",
    "ä",
    "a b",
    "a" * 300,
    "a\nb",
    "*",
]


@pytest.mark.parametrize("name", NOT_NAMES)
def test_what_is_no_name_of_a_module(folder: Path, name: str) -> None:
    with pytest.raises(FluidError) as caught:
        Modules(folder, {name: "text"}).find(name)
    assert caught.value.code == "bad-name"


def test_a_link_out_of_the_folder_is_not_followed(lua, folder: Path) -> None:
    write(folder.parent / "secret.lua", "return 'secret'")
    (folder / "link.lua").symlink_to(folder.parent / "secret.lua")
    (folder / "up").symlink_to(folder.parent)
    for name in ("link", "up.secret"):
        assert lua.error(write(folder / "smoke.lua", f"require('{name}')")).code == "module-missing"


def test_a_hint_names_nothing_outside_of_the_folder(lua, folder: Path) -> None:
    write(folder.parent / "secret.lua", "return 1")
    write(folder / "my" / "secrets.lua", "return 1")
    (folder / "up").symlink_to(folder.parent)
    (folder / "loop").symlink_to(folder / "loop")
    for name in ("up.secre", "loop.secre"):
        error = lua.error(write(folder / "smoke.lua", f"require('{name}')"))
        assert (error.code, error.diagnostics[0].hint) == ("module-missing", None)
    error = lua.error(write(folder / "smoke.lua", "require('my.secre')"))
    assert error.diagnostics[0].hint == 'Did you mean "my.secrets"?'


def test_a_link_inside_the_folder_is_fine(lua, folder: Path) -> None:
    write(folder / "my" / "a.lua", "return 'a'")
    (folder / "b.lua").symlink_to(folder / "my" / "a.lua")
    assert lua.run(write(folder / "smoke.lua", "print(require('b'))")).lines == ["a"]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"\x1bLua", "bytecode"), (b"\xff", "script-encoding"), (b"-" * (MAX_SOURCE_BYTES + 1), "script-too-large")],
)
def test_a_module_is_checked_like_a_script(lua, folder: Path, content: bytes, code: str) -> None:
    (folder / "bad.lua").write_bytes(content)
    error = lua.error(write(folder / "smoke.lua", "\nrequire('bad')"))
    assert error.code == code
    assert error.diagnostics[0].place is not None


@pytest.mark.parametrize("name", ["folder", "pipe", "loop", "gone", "device"])
def test_what_is_no_file_is_no_module(lua, folder: Path, name: str) -> None:
    (folder / "folder.lua").mkdir()
    (folder / "loop.lua").symlink_to(folder / "loop.lua")
    (folder / "gone.lua").symlink_to(folder / "nothing.lua")
    (folder / "device.lua").symlink_to("/dev/zero")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.lua")  # reading it would never end
    assert lua.error(write(folder / "smoke.lua", f"require('{name}')")).code == "module-missing"


def test_a_module_is_spelled_as_its_file_is_on_every_system(lua, folder: Path) -> None:
    write(folder / "Helpers.lua", "return 1")
    write(folder / "my" / "Tools.lua", "return 1")
    script = folder / "smoke.lua"
    for wrong in ("helpers", "HELPERS", "My.Tools", "my.tools"):
        assert lua.error(write(script, f"require('{wrong}')")).code == "module-missing"
    lua.lines.clear()
    assert lua.run(write(script, "print(require('Helpers'), require('my.Tools'))")).lines == ["1\t1"]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "..secret", "my..secret", "my/../../secret", "C:secret", "fluid.../gas"]
)
def test_a_way_out_of_the_folder_is_no_name(lua, folder: Path, name: str) -> None:
    write(folder.parent / "secret.lua", "return 'secret'")
    assert lua.error(write(folder / "smoke.lua", f"require([[{name}]])")).code == "bad-name"


def test_the_library_cannot_be_replaced_from_beside_the_script(lua, folder: Path) -> None:
    (folder / "fluid").mkdir()
    write(folder / "fluid" / "gas.lua", "return 'mine'")
    write(folder / "fluid" / "mine.lua", "return 'mine'")
    script = folder / "smoke.lua"
    assert lua.run(write(script, "print(type(require('fluid.gas')))")).lines == ["table"]
    assert lua.error(write(script, "require('fluid.mine')")).code == "module-missing"


def test_a_script_hears_of_no_folder_of_the_machine(lua, folder: Path) -> None:
    write(folder / "fails.lua", "error('in the module')")
    script = write(
        folder / "smoke.lua",
        "print(pcall(require, 'missing')) print(pcall(require, 'fails')) print(pcall(error, 'x', 2))",
    )
    lua.run(script)
    assert "missing.lua" in lua.lines[0]
    assert lua.lines[1] == "false\tfails.lua:1: in the module"
    assert str(folder) not in "".join(lua.lines)
    error = lua.error(write(script, "require('missing')"))
    assert str(folder) in str(error), "the artist does"


def test_two_texts_of_one_name_are_told_apart_in_messages(lua, folder: Path) -> None:
    write(folder / "smoke.lua", "return function()\n\n  error('deep')\nend")
    error = lua.error("local f = require('smoke')\nf()", name="smoke.lua", root=folder)
    (diagnostic,) = error.diagnostics
    assert [(p.file, p.line) for p in diagnostic.related] == [(str(folder / "smoke.lua"), 3), ("smoke.lua", 2)]


def test_modules_that_require_each_other_are_named(lua) -> None:
    texts = {"a.lua": "return require('b')", "b.lua": "return require('a')"}
    error = lua.error("require('a')", texts=texts)
    assert error.code == "module-missing"
    assert '"a" requires itself' in str(error)


def test_a_module_that_failed_may_be_tried_again(lua) -> None:
    texts = {"a.lua": "tries = (tries or 0) + 1 if tries == 1 then error('no') end return tries"}
    assert lua.printed("pcall(require, 'a') print(require('a'))", texts=texts) == ["2"]


def test_a_missing_module_says_where_it_was_looked_for(lua, folder: Path) -> None:
    write(folder / "helpers.lua", "")
    error = lua.error(write(folder / "smoke.lua", "require('helper')"), texts={"other.lua": ""})
    (diagnostic,) = error.diagnostics
    looked = f'There is no module "helper"; looked for a text "helper.lua" and the file "{folder / "helper.lua"}".'
    assert (diagnostic.message, diagnostic.hint) == (looked, 'Did you mean "helpers"?')
