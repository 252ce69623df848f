# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's decay and combustion, against their closed forms and the balance of mass."""

from __future__ import annotations

import numpy as np
import pytest

HEAD = "sim = FluidEngine.new{domain_size = {8, 8, 8}}\n"


@pytest.mark.parametrize("steps", [1, 10])
def test_dissipation_is_exact_in_dt(run_lua, steps) -> None:
    engine = run_lua(f"""{HEAD}
        local decay = require("fluid.decay")
        sim:add_field("a", Format.R32F, 2)
        sim:add_field("b", Format.R32F, -1)
        sim:add_field("c", Format.R32F, 0.125)
        sim:add_field("v", Format.R32G32B32F, {{3, 0, -4}})
        sim:add_field("warm", Format.R32F, 5)
        decay.dissipate(sim, {{fields = {{a = 0.5, b = "0.25 + 0.25 * float(coord.x)"}}}})
        decay.dissipate(sim, {{fields = {{c = 0.5, v = 1}}, mode = "linear"}})
        decay.dissipate(sim, {{fields = {{warm = 2}}, to = 1}})
        for step = 1, {steps} do sim:step(0.5 / {steps}) end
    """)
    assert np.allclose(engine.array("a"), 2 * np.exp(-0.25), rtol=2e-6)
    x = np.arange(8)[:, None, None]
    assert np.allclose(engine.array("b"), -np.exp(-0.5 * (0.25 + 0.25 * x)) * np.ones((8, 8, 8)), rtol=2e-6)
    assert (engine.array("c") == 0).all(), "0.125 - 0.25 does not go below 0"
    assert np.allclose(engine.array("v"), np.array([3, 0, -4]) * 0.9, rtol=2e-6), "5 long, then 4.5"
    assert np.allclose(engine.array("warm"), 1 + 4 * np.exp(-1), rtol=2e-6)


@pytest.mark.parametrize("steps", [1, 10])
def test_cooling_is_exact_in_dt(run_lua, steps) -> None:
    engine = run_lua(f"""{HEAD}
        local decay = require("fluid.decay")
        sim:add_field("temperature", Format.R32F, 3)
        sim:add_field("kelvin", Format.R32F, 1500)
        sim:add_field("cold", Format.R32F, -1)
        decay.cool(sim, {{rate = 0.7}})
        decay.cool(sim, {{field = "kelvin", rate = 4, mode = "radiative", reference = 1000, ambient = 300}})
        decay.cool(sim, {{field = "cold", rate = 2, mode = "radiative"}})
        for step = 1, {steps} do sim:step(0.5 / {steps}) end
    """)
    assert np.allclose(engine.array("temperature"), 3 * np.exp(-0.35), rtol=2e-6)
    assert np.allclose(engine.array("kelvin"), 300 + 1200 / (1 + 3 * 4 * 0.5 * 1.2**3) ** (1 / 3), rtol=3e-6)
    assert np.allclose(engine.array("cold"), -1 / 4 ** (1 / 3), rtol=3e-6)


FIRE = """
    local combustion = require("fluid.combustion")
    combustion.fields(sim)
    sim:add_field("density", Format.R32F, 0.25)
    sim:add_field("temperature", Format.R32F, 0)
    sim:add_stencil("start", {outputs = {"fuel"}, enabled = false, code = [[
        WriteField("fuel", idx, coord.x == 0 ? 0.0 : 0.125 * float(coord.x + coord.y));
    ]]})
    sim:run_stencil("start")
"""


def test_burning_keeps_the_balance_of_fuel_and_smoke(run_lua) -> None:
    engine = run_lua(
        HEAD
        + FIRE
        + """
        combustion.burn(sim, {smoke = 0.5, expansion = 4})
        for step = 1, 4 do sim:step(0.25) end
    """
    )
    x, y, _ = np.indices((8, 8, 8))
    start = np.where(x == 0, 0.0, 0.125 * (x + y))
    left = np.maximum(start - 0.75, 0)
    fuel, density = engine.array("fuel"), engine.array("density")
    assert np.allclose(fuel, left, atol=1e-6)
    assert np.allclose(density, 0.25 + 0.5 * (start - left), atol=1e-6)
    flame = engine.array("flame")
    assert flame.min() == 0 and flame.max() == 1
    assert np.allclose(flame, np.sqrt(np.clip(left, 0, 1)), atol=1e-3), "the square root makes 1e-7 of fuel 3e-4"
    lit = left > 0.01
    temperature = engine.array("temperature")
    assert np.allclose(temperature[lit], 1.25 + 0.5 * flame[lit], atol=1e-6)
    assert (temperature[x == 0] == 0).all() and temperature.max() <= 1.75
    before_last = np.maximum(start - 0.5625, 0)
    assert np.allclose(engine.array("expansion"), 4 * (before_last - left) / 0.25, atol=1e-5)


def test_fuel_that_waits_for_heat_and_products_that_are_left_out(run_lua) -> None:
    engine = run_lua(
        HEAD
        + FIRE
        + """
        sim:add_stencil("spark", {outputs = {"temperature"}, enabled = false, code = [[
            WriteField("temperature", idx, coord.z == 3 ? 0.9 : 0.5);
        ]]})
        sim:run_stencil("spark")
        combustion.burn(sim, {when = "temperature > 0.8", density = false, flame = false, rate = "0.5 + 0.0 * time"})
        combustion.flame(sim)
        combustion.kelvin(sim)
        sim:step(0.5)
    """
    )
    x, y, z = np.indices((8, 8, 8))
    start = np.where(x == 0, 0.0, 0.125 * (x + y))
    left = np.where(z == 3, np.maximum(start - 0.25, 0), start)
    assert np.allclose(engine.array("fuel"), left, atol=1e-6)
    assert np.allclose(engine.array("flame"), np.sqrt(np.clip(left, 0, 1)), atol=1e-3)
    assert (engine.array("density") == 0.25).all()
    temperature = engine.array("temperature")
    assert (temperature[z != 3] == 0.5).all() and temperature[4, 4, 3] == pytest.approx(1.25 + 0.5 * 0.75**0.5)
    assert np.allclose(engine.array("kelvin"), 293 + 750 * temperature, rtol=1e-6)
