# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of the scene as scripts hold them: a name, and nothing that could be changed."""

from __future__ import annotations

import pytest

SIM = "sim = FluidEngine.new{domain_size = {8, 8, 8}}\n"


@pytest.mark.parametrize(
    "call",
    [
        'sim:add_object("ball", scene.object("Ball.001"))',
        'sim:add_object{name = "ball", object = scene.object("Ball.001")}',
        'local b = scene.object("Ball.001") sim:add_object(name = "ball", object = b)',
    ],
)
def test_an_object_goes_to_the_engine_by_its_name(lua, call):
    asked = []
    lua.run(SIM + call, find_object=asked.append)
    assert lua.calls[-1] == ("add_object", ("ball", "Ball.001")) and asked == ["Ball.001"]


def test_an_object_has_a_name_and_nothing_else(lua):
    known = {"find_object": lambda _name: None}
    assert lua.printed('print(scene.object("Bäll").name, type(scene.object("x")))', **known) == ["Bäll\ttable"]
    assert lua.printed('print(getmetatable(scene), getmetatable(scene.object("x")))', **known)[-1] == "false\tfalse"
    assert lua.code('scene.object("x").name = "y"', **known) == "bad-argument"
    assert str(lua.error('print(scene.object("x").mesh)', **known)) == 'An object of the scene has no "mesh".'
    assert lua.code('scene.object("x", "y")', **known) == "bad-argument"


@pytest.mark.parametrize("given", ['"Ball"', "7", "sim", "{object = 7}", '{object = "a", more = 1}'])
def test_only_an_object_is_taken_for_one(lua, given):
    code = lua.code(f'{SIM}sim:add_object("ball", {given})')
    assert code in ("bad-argument", "plan-shape")
