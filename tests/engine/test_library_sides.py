# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's operators for the ends of the domain."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError

START = """
    local sides = require("fluid.sides")
    sim = FluidEngine.new{domain_size = {8, 6, 4}, voxel_size = 0.5, boundary = {"open", "clamp", "periodic"}}
    sim:add_field("density", Format.R32F, 1)
    sim:add_field("heat", Format.R32F, 2)
    sim:add_field("velocity", Format.R32G32B32F, {4, 2, 1}, {staggered = true})
"""


def test_open_sides_are_emptied(run_lua) -> None:
    engine = run_lua(
        START
        + """
        sides.clear(sim, {fields = {"density"}})
        sides.clear(sim, {fields = {heat = "0.25 * float(coord.y)"}, sides = {"x high", "z low"}, layers = 2})
        sim:step(1)
    """
    )
    expected = np.zeros((8, 6, 4))
    expected[1:-1, 1:-1, :] = 1
    assert (engine.array("density") == expected).all(), "z is periodic and has no ends"
    heat = np.full((8, 6, 4), 2.0)
    heat[6:] = 0.25 * np.arange(6)[:, None]
    assert (engine.array("heat") == heat).all()


def test_a_sponge_calms_the_flow_at_the_place_of_each_component(run_lua) -> None:
    engine = run_lua(
        START
        + """
        sides.sponge(sim, {thickness = 2, strength = "3.0", sides = {"x low", "x high"}, flow = {1, 0, 0}})
        sim:step(0.25)
        sim:step(0.25)
    """
    )
    velocity = engine.array("velocity")
    for component, (start, calm) in enumerate([(4, 1), (2, 0), (1, 0)]):
        x = (np.arange(8) + (0 if component == 0 else 0.5)) * 0.5
        s = np.maximum(np.clip(1 - x / 2, 0, 1), np.clip(1 - (4 - x) / 2, 0, 1))
        expected = calm + (start - calm) * np.exp(-3 * 0.5 * s**2)
        assert np.allclose(velocity[..., component], expected[:, None, None], rtol=1e-5)


def test_wind_blows_in_as_an_obstacle_that_moves(run_lua) -> None:
    engine = run_lua(
        START
        + """
        sides.inflow(sim, {side = "x high", velocity = {-3, 0, 0}, fields = {density = "p.y"}, layers = 2})
        sim:step(1)
    """
    )
    x, y, _ = np.indices((8, 6, 4))
    assert np.allclose(engine.array("solid"), 3 - 0.5 * (x + 0.5))
    assert (engine.array("solid_velocity") == [-3, 0, 0]).all()
    assert np.allclose(engine.array("density"), np.where(x >= 6, 0.5 * (y + 0.5), 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('sides.clear(sim, {fields = {"density"}, sides = "top"})', '"sides" has no side "top"; sides are "x low"'),
        ("sides.clear(sim, {})", '"fields" of gas.clear must be a list such as {"density"}'),
        ("sides.sponge(sim, {strenght = 2})", 'Did you mean "strength"?'),
        ('sides.inflow(sim, {side = "z low", velocity = {0, 0, 1}})', "The domain is periodic along z, so no wind"),
        ("sides.inflow(sim, {velocity = {0, 0, 1}})", '"side" of gas.inflow must be a side such as "x low"'),
        ('sides.clear(sim, {fields = {"density"}, layers = 0.5})', '"layers" must be a whole number above 0, not 0.5.'),
    ],
)
def test_wrong_options_are_named(run_lua, call, message) -> None:
    with pytest.raises(FluidError) as caught:
        run_lua(START + call)
    assert message in str(caught.value)
