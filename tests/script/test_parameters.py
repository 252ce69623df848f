# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters: declared once, overridden from outside, keyed over frames, read in Lua."""

from __future__ import annotations

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.script.parameters import ParameterDeclaration, Parameters

DECLARE = 'param("buoyancy", {default = 1.5, min = 0, max = 10, help = "how hot gas rises"})\n'


def test_a_parameter_is_declared_and_read(lua) -> None:
    parameters = Parameters()
    script = f"print({DECLARE.strip()}, params.buoyancy)\nprint(param('on', {{default = true}}))"
    assert lua.printed(script, parameters=parameters) == ["1.5\t1.5", "true"]
    assert parameters.declared == [
        ParameterDeclaration("buoyancy", 1.5, 0, 10, "how hot gas rises"),
        ParameterDeclaration("on", True),
    ]
    assert parameters.names() == [("buoyancy", False), ("on", True)]


def test_a_value_from_outside_goes_first(lua) -> None:
    parameters = Parameters({"buoyancy": 2, "on": False})
    script = f"print({DECLARE.strip()})\nprint(param('on', {{default = true}}))"
    assert lua.printed(script, parameters=parameters) == ["2", "false"]


def test_samples_are_blended_between_frames_and_held_outside() -> None:
    parameters = Parameters({"x": {10: 1.0, 20: 3.0}, "on": {5: True, 8: False}})
    parameters.declare("x", 0)
    parameters.declare("on", False)
    assert [parameters.value_at("x", frame) for frame in (0, 10, 15, 20, 99)] == [1, 1, 2, 3, 3]
    assert [parameters.value_at("on", frame) for frame in (0, 5, 7, 8, 9)] == [True, True, True, False, False]


def test_params_follow_the_frame_of_the_engine(lua) -> None:
    parameters = Parameters({"x": {0: 0.0, 2: 4.0}})
    script = (
        "param('x', {default = 1})\nsim = FluidEngine.new{domain_size = {1, 1, 1}}\n"
        "for i = 1, 3 do print(params.x) sim:step(1) end"
    )
    assert lua.printed(script, parameters=parameters) == ["0.0", "2.0", "4.0"]


def test_whole_numbers_stay_whole(lua) -> None:
    assert lua.printed("print(param('n', {default = 8}))") == ["8"]


def test_declaring_twice_alike_is_no_error(lua) -> None:
    lua.run(DECLARE + DECLARE)


def test_overrides_that_no_script_declares_are_reported(lua) -> None:
    parameters = Parameters({"buoyancy": 2, "visocsity": 1, "a": 0})
    lua.run(DECLARE, parameters=parameters)
    assert parameters.unused_overrides() == ["a", "visocsity"]


REFUSED = [
    (DECLARE + 'param("buoyancy", {default = 2})', {}, "duplicate-name", "with other options"),
    ('param("a", {default = 1}) param("a", {default = true})', {}, "duplicate-name", "with other options"),
    ('param("a", {default = 1, min = 2})', {}, "bad-argument", "outside its range 2 to …"),
    ('param("a", {default = 1, min = 3, max = 2})', {}, "bad-argument", '"min" of the parameter "a" is 3'),
    ('param("a", {default = true, max = 2})', {}, "bad-argument", 'takes no "max"'),
    ('param("a", {default = "x"})', {}, "bad-argument", '"default" must be a number'),
    ('param("a", {min = 2})', {}, "missing-option", 'param needs "default"'),
    ('param("a", {default = 1, step = 2})', {}, "unknown-option", '"step" is no option of param'),
    ('param("my param", {default = 1})', {}, "bad-name", "my param"),
    ('param("a__b", {default = 1})', {}, "bad-name", "a__b"),
    ('param("gl_x", {default = 1})', {}, "bad-name", "gl_x"),
    ('param("a", {default = 1 / 0})', {}, "not-finite", '"default" is infinite'),
    (DECLARE, {"buoyancy": 11}, "bad-argument", "The given value of the parameter"),
    (DECLARE, {"buoyancy": {1: 2.0, 2: -1.0}}, "bad-argument", "is -1, outside its range 0 to 10"),
    (DECLARE, {"buoyancy": True}, "bad-argument", "is a number, and was set to True"),
    (DECLARE, {"buoyancy": "2"}, "bad-argument", "is a number, and was set to '2'"),
    (DECLARE, {"buoyancy": float("nan")}, "not-finite", "was set to nan"),
    (DECLARE, {"buoyancy": {}}, "bad-argument", "no samples"),
    ('param("on", {default = true})', {"on": 0.5}, "bad-argument", "is true or false, and was set to 0.5"),
    ("print(params.buoyncy)", {}, "unknown-parameter", '"buoyncy"'),
    (DECLARE + "print(params.buoyncy)", {}, "unknown-parameter", '"buoyncy"'),
]


@pytest.mark.parametrize(("script", "overrides", "code", "words"), REFUSED)
def test_a_wrong_parameter_is_refused(lua, script: str, overrides, code: str, words: str) -> None:
    error = lua.error(script, parameters=Parameters(overrides))
    assert error.code == code
    assert words in str(error)
    assert error.diagnostics[0].place is not None


def test_a_misspelt_parameter_is_corrected(lua) -> None:
    error = lua.error(DECLARE + "print(params.buoyncy)")
    assert error.diagnostics[0].hint == 'Did you mean "buoyancy"?'


def test_a_refused_parameter_is_not_declared() -> None:
    parameters = Parameters({"a": 5})
    with pytest.raises(FluidError):
        parameters.declare("a", 1, 0, 2)
    assert parameters.declared == []


@pytest.mark.parametrize(
    ("override", "value", "said"),
    [
        (20.0, 10.0, ["20"]),
        ({1: -2.0, 2: 5.0, 3: 30.0}, 5.0, ["-2 to 30"]),
        (True, 1, []),
        (4, 4, []),
    ],
)
def test_values_of_sliders_are_made_to_fit_and_that_is_said(override, value, said) -> None:
    told: list[str] = []
    parameters = Parameters({"x": override}, note=told.append)
    assert parameters.declare("x", 1.5, 0.0, 10.0, frame=2) == value
    assert told == [
        f'The parameter "x" was set to {what}, which does not fit it: the nearest was taken.' for what in said
    ]


def test_a_slider_of_what_is_a_switch_now_turns_it() -> None:
    told: list[str] = []
    parameters = Parameters({"x": 0.5, "y": {0: 0, 4: 1}}, note=told.append)
    assert (parameters.declare("x", False), parameters.declare("y", True, frame=2)) == (True, False)
    assert told == ['The parameter "x" was set to 0.5, which does not fit it: the nearest was taken.']
