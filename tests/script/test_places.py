# SPDX-License-Identifier: GPL-3.0-or-later
"""From a line to the word that a message is about, and from a stencil's code to the line on which it begins."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from fluid_addon.diagnostics import Place, fail
from fluid_addon.engine.body import place_in_code
from fluid_addon.engine.stencil import CodeOrigin, CodePart, StencilDefinition
from fluid_addon.script.places import code_origin, find_word
from fluid_addon.script.sources import Sources, SourceText

CALL = """\
local x = 1
sim:add_stencil("smoke", {
    inputs = {"density", "velocty"},
    code = [[
        float d = ReadField("densty", idx);
    ]],
    iteratons = 3,
}) sim:step(1)
local iteratons, velocty = 1, 2
"""


@pytest.mark.parametrize(
    ("word", "line", "column"),
    [
        ("add_stencil", 2, 5),
        ("smoke", 2, 18),
        ("velocty", 3, 27),
        ("iteratons", 7, 5),
        ("densty", 5, 30),
        ("stencil.inputs[2]", 3, 5),
    ],
)
def test_a_word_is_found_in_its_call(word: str, line: int, column: int) -> None:
    place = find_word(SourceText("a.lua", CALL), 2, [word])
    assert place is not None
    assert (place.line, place.column) == (line, column)
    assert place.text == CALL.splitlines()[line - 1]


@pytest.mark.parametrize("word", ["x", "nothing", "velo", "local", "step"])
def test_a_word_outside_the_call_is_not_found(word: str) -> None:
    assert find_word(SourceText("a.lua", CALL), 2, [word]) is None


def test_the_first_word_that_occurs_counts() -> None:
    place = find_word(SourceText("a.lua", 'f("b", "a")'), 1, ["missing", "a", "b"])
    assert place is not None
    assert place.column == 9


def test_columns_count_characters_not_bytes() -> None:
    place = find_word(SourceText("a.lua", 'f("äöü", "b")'), 1, ["b"])
    assert place is not None
    assert place.column == 11


def test_a_line_beyond_the_end_has_no_words() -> None:
    assert find_word(SourceText("a.lua", "x"), 7, ["x"]) is None


# ===== Where a stencil's code begins


def origin(text: str, code: str, call_line: int = 1, **others: str) -> CodeOrigin | None:
    sources = Sources()
    sources.add(SourceText("a.lua", text))
    for name, other in others.items():
        sources.add(SourceText(name, other))
    return code_origin(code, Place("a.lua", call_line), sources)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("f([[\nx;\n]])", "x;\n", 2),
        ("f([[x;\n]])", "x;\n", 1),
        ("f(\n\n[==[\r\nx;\r\ny;\r\n]==])", "x;\ny;\n", 4),
        ("f([[\n\n\nx;]])", "\n\nx;", 2),
        ("f('x;')", "x;", 1),
        ("-- [[\n--]]\nf([[x;]])", "x;", 3),
    ],
)
def test_code_begins_where_its_text_stands(text: str, code: str, line: int) -> None:
    assert origin(text, code) == CodeOrigin("a.lua", line)


def test_of_equal_texts_the_nearest_after_the_call_counts_and_then_before() -> None:
    text = "a = [[x;]]\nb = [[x;]]\nf(\n[[x;]])\ng([[x;]])"
    assert origin(text, "x;", 3) == CodeOrigin("a.lua", 4)
    assert origin("a = [[x;]]\nb = [[x;]]\nf(b)", "x;", 3) == CodeOrigin("a.lua", 2)


def test_code_of_another_file_is_found_there() -> None:
    assert origin("f(code)", "x;\n", 1, module="return [[\nx;\n]]") == CodeOrigin("module", 2)


def test_code_that_was_put_together_begins_at_its_call() -> None:
    assert origin("f(a .. b)\n", "x;y;", 1) == CodeOrigin("a.lua", 1, ())
    assert code_origin("x;", None, Sources()) is None


def test_the_texts_in_code_that_was_put_together_are_known() -> None:
    found = origin('x = "  b * 2" -- b * 2\nf("a = " .. x .. [[;\n  c + 1;]], "none")\n', "a =   b * 2;\n  c + 1;", 2)
    assert found is not None
    assert (found.line, [astuple(part)[:4] for part in found.parts or ()]) == (
        2,
        [("c + 1;", "a.lua", 3, 3), ("b * 2", "a.lua", 1, 8), ("a =", "a.lua", 2, 4), (";", "a.lua", 2, 20)],
    )


def test_an_error_in_code_that_was_put_together_is_shown_where_its_text_stands() -> None:
    parts = (CodePart("b * 2", "a.lua", 7, 10, 'shown = "b * 2"'), CodePart("a", "a.lua", 8, 2, '"a"'))
    stencil = StencilDefinition(
        "s", "float a = 1.0;\nfloat c = (b * 2) + a;", (), (), origin=CodeOrigin("a.lua", 3, parts)
    )
    shown = 'shown = "b * 2"'
    assert place_in_code(stencil, 1, 12) == Place("a.lua", 7, 10, 1, shown), "b"
    assert place_in_code(stencil, 1, 16) == Place("a.lua", 7, 14, 1, shown), "2"
    assert place_in_code(stencil, 1, 21) == Place("a.lua", 8, 2, 1, '"a"'), "a"
    assert place_in_code(stencil, 1, None) == Place("a.lua", 7, 10, 5, shown), "the one expression in the line"
    assert place_in_code(stencil, 0, 11) == Place("a.lua", 3, 11, 1, "float a = 1.0;"), "the script has no such text"


def test_a_script_with_crlf_ends_sends_code_with_plain_ends(lua, tmp_path) -> None:
    script = tmp_path / "smoke.lua"
    script.write_bytes(
        b"sim = FluidEngine.new{domain_size = {1, 1, 1}}\r\n"
        b"sim:add_stencil('a', {outputs = {'d'}, code = [[\r\n  x;\r\n  y;\r\n]]})\r\n"
    )
    definition = lua.run(script).calls[-1][1]
    assert (definition.code, definition.origin) == ("  x;\n  y;\n", CodeOrigin(str(script), 3))


# ===== Errors of the engine


def test_an_error_of_the_engine_is_shown_at_the_word_that_it_quotes(lua) -> None:
    def act(method: str) -> None:
        if method == "fill":
            raise fail("unknown-field", 'There is no field "densty".', 'Did you mean "density"?')

    lua.act = act
    (diagnostic,) = lua.engine_error("sim:fill(\n  field = 'densty',\n  value = 1)").diagnostics
    assert diagnostic.place == Place("smoke.lua", 3, 12, 6, "  field = 'densty',")
    assert diagnostic.hint == 'Did you mean "density"?'


def test_an_error_with_a_place_of_its_own_keeps_it_and_gets_its_line(lua) -> None:
    def act(method: str) -> None:
        if method == "add_stencil":
            raise fail("glsl-error", "No such function.", place=Place("smoke.lua", 3, 7, 3))

    lua.act = act
    script = "sim:add_stencil('a', {outputs = {'d'}, code = [[\n    y = foo();\n]]})"
    (diagnostic,) = lua.engine_error(script).diagnostics
    assert diagnostic.place == Place("smoke.lua", 3, 7, 3, "    y = foo();")


def test_the_line_of_a_call_is_known_while_it_is_served(lua) -> None:
    places = []
    lua.act = lambda _method: places.append(lua.context.place())
    lua.run("sim = FluidEngine.new{domain_size = {1, 1, 1}}\n\nfor i = 1, 2 do\n  sim:step(\n 1)\nend")
    assert [place.line for place in places] == [1, 4, 4]
    assert lua.context.place() is None
