# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's diffusion and viscosity, against discrete closed forms and the steady profiles of channels."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError

WAVE = """
    sim:add_field("f", Format.R32F, 0)
    sim:add_stencil("start", {outputs = {"f"}, enabled = false, code = [[
        vec3 a = 6.283185307179586 * (vec3(coord) + 0.5) / vec3(domain_size);
        WriteField("f", idx, sin(a.x) * sin(a.y) * sin(a.z));
    ]]})
    sim:run_stencil("start")
"""


def amplitude(engine) -> float:
    f = engine.array("f").astype(np.float64)
    angle = 2 * np.pi * (np.arange(f.shape[0]) + 0.5) / f.shape[0]
    mode = np.einsum("i,j,k", *[np.sin(angle)] * 3)
    return float((f * mode).sum() / (mode * mode).sum())


def test_v1_heat_has_the_discrete_amplitude(run_lua) -> None:
    engine = run_lua(
        """
        local diffusion = require("fluid.diffusion")
        sim = FluidEngine.new{domain_size = {32, 32, 32}, voxel_size = 1 / 32, boundary = "periodic"}
    """
        + WAVE
        + """
        diffusion.diffuse(sim, {field = "f", coefficient = 1, method = "explicit", step = 1 / 8192})
        for step = 1, 164 do sim:step(1 / 8192) end
    """
    )
    assert amplitude(engine) == pytest.approx(0.09249455, rel=1e-5)


def test_explicit_diffusion_takes_the_sweeps_that_it_needs_and_never_blows_up(run_lua) -> None:
    """n sweeps shrink a wave by the Legendre polynomial P_n of what one short step would leave."""
    engine = run_lua(
        """
        local diffusion = require("fluid.diffusion")
        sim = FluidEngine.new{domain_size = {16, 16, 16}, voxel_size = 0.5, boundary = "periodic"}
    """
        + WAVE
        + """
        diffusion.diffuse(sim, {field = "f", coefficient = 0.5, method = "explicit", step = 0.25}) -- r = 3/6: 3 sweeps
        sim:step(0.125)
        sim:step(0.25)
    """
    )
    parts = [12 * dt * 2 / 6 * np.sin(np.pi / 16) ** 2 for dt in (0.125, 0.25)]
    expected = np.prod([np.polynomial.legendre.legval(1 - part, [0, 0, 0, 1]) for part in parts])
    assert amplitude(engine) == pytest.approx(expected, rel=1e-5)
    for _ in range(20):
        engine.step(10.0)
    assert 0 < amplitude(engine) < 1


def test_heat_between_fixed_ends_is_a_straight_line_and_insulated_ends_keep_it(run_lua) -> None:
    engine = run_lua("""
        local diffusion = require("fluid.diffusion")
        sim = FluidEngine.new{domain_size = {8, 4, 4}, voxel_size = 1}
        sim:add_field("f", Format.R32F, 0)
        sim:add_field("kept", Format.R32F, 0)
        sim:add_stencil("start", {outputs = {"kept"}, enabled = false, code = [[
            WriteField(kept, idx, float(coord.x * coord.y));
        ]]})
        sim:run_stencil("start")
        diffusion.diffuse(sim, {field = "f", coefficient = 1, method = "explicit", sweeps = 20,
            fixed = {["x low"] = 1, ["x high"] = "3.0"}})
        diffusion.diffuse(sim, {field = "kept", coefficient = 1, method = "explicit", sweeps = 1})
        for step = 1, 12 do sim:step(35) end
    """)
    line = 1 + 2 * (np.arange(8) + 0.5) / 8
    assert np.allclose(engine.array("f"), line[:, None, None], atol=1e-5)
    kept = engine.array("kept")
    assert kept.sum() == pytest.approx(28 * 6 * 4, rel=1e-5)
    assert np.ptp(kept) < 28, "it spreads"


def test_implicit_diffusion_is_backward_euler_for_steps_of_any_length(run_lua) -> None:
    """Between insulated ends, a cosine shrinks by 1 / (1 + 4 r sin^2) a step; short steps near the exact decay."""
    engine = run_lua("""
        local diffusion = require("fluid.diffusion")
        sim = FluidEngine.new{domain_size = {16, 8, 8}, voxel_size = 0.5}
        sim:add_field("f", Format.R32F, 0)
        sim:add_stencil("start", {outputs = {"f"}, enabled = false, code = [[
            WriteField("f", idx, 1.0 + cos(3.14159265 * (float(coord.x) + 0.5) / 16.0));
        ]]})
        sim:run_stencil("start")
        diffusion.diffuse(sim, {field = "f", coefficient = 0.5, step = 100})
    """)
    wave = np.cos(np.pi * (np.arange(16) + 0.5) / 16)
    slope = 4 * np.sin(np.pi / 32) ** 2

    def after(*steps: float) -> float:
        engine.run_stencil("start")
        for dt in steps:
            engine.step(dt)
        f = engine.array("f")
        assert f.mean() == pytest.approx(1, abs=1e-6)
        left = float(((f - 1) * wave[:, None, None]).sum() / (64 * (wave * wave).sum()))
        assert np.allclose(f, 1 + left * wave[:, None, None], atol=2e-5)
        return left

    long = (0.125, 2.0, 100.0)
    assert after(*long) == pytest.approx(1 / np.prod([1 + 2 * dt * slope for dt in long]), abs=2e-4)
    exact = np.exp(-2 * slope * 4)
    errors = [after(*[4 / steps] * steps) - exact for steps in (2, 4, 8)]
    assert errors[0] < 0.04 and 1.7 < errors[0] / errors[1] < 2.2 and 1.8 < errors[1] / errors[2] < 2.2
    assert engine.array("diffusion_change").any()
    engine.run_stencil("diffuse_f")  # in no time nothing changes
    assert not engine.array("diffusion_change").any()


def test_a_coefficient_that_only_the_device_knows_is_diffused_explicitly(run_lua) -> None:
    with pytest.raises(FluidError, match="takes a coefficient that is a number"):
        run_lua("""
            local diffusion = require("fluid.diffusion")
            sim = FluidEngine.new{domain_size = {8, 8, 8}}
            sim:add_field("f", Format.R32F, 0)
            diffusion.diffuse(sim, {field = "f", coefficient = "0.1 + time", step = 10})
            sim:step(1)
            diffusion.diffuse(sim, {field = "f", coefficient = "0.1 + time", method = "implicit"})
        """)


def test_couette_flow_is_a_straight_line(run_lua) -> None:
    """A lid that moves along x over a wall that stands still: u = y, and nothing else moves."""
    engine = run_lua("""
        local diffusion = require("fluid.diffusion")
        sim = FluidEngine.new{domain_size = {4, 8, 4}, voxel_size = 0.125, boundary = {"periodic", "open", "periodic"}}
        sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
        diffusion.viscosity(sim, {coefficient = 1, walls = {"free", "no-slip", "free"}, sweeps = 20,
            wall_velocity = {["y high"] = {1, 0, "0.5"}}})
        for step = 1, 12 do sim:step(35 / 64) end
    """)
    line = ((np.arange(8) + 0.5) / 8)[None, :, None]
    velocity = engine.array("velocity")
    assert np.allclose(velocity[..., 0], line, atol=1e-5)
    assert np.allclose(velocity[..., 2], 0.5 * line, atol=1e-5)
    assert (velocity[..., 1] == 0).all()


def test_poiseuille_flow_is_the_discrete_parabola(run_lua) -> None:
    """A force of 1 along z between walls in x: nu u'' = -1 gives y (1 - y) / 2, which ghost values lift by h^2 / 8."""
    engine = run_lua("""
        local diffusion = require("fluid.diffusion")
        sim = FluidEngine.new{domain_size = {8, 4, 4}, voxel_size = 0.125, boundary = {"clamp", "periodic", "periodic"}}
        sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
        sim:add_stencil("push", {inputs = {"velocity"}, outputs = {"velocity"}, iterations = 1, code = [[
            WriteField("velocity", idx, ReadField("velocity", idx) + vec3(0.0, 0.0, dt));
        ]]})
        diffusion.viscosity(sim, {coefficient = 1, walls = "no-slip", sweeps = 1})
        for step = 1, 800 do sim:step(1 / 6 / 64) end
    """)
    y = (np.arange(8) + 0.5) / 8
    profile = engine.array("velocity")[:, 1, 1, 2]
    dt, h = 1 / 6 / 64, 1 / 8
    after_push = profile + dt
    assert np.allclose(after_push, y * (1 - y) / 2 + h * h / 8, rtol=1e-4)


def test_free_walls_keep_a_flow_along_them_and_a_wall_lets_nothing_through(run_lua) -> None:
    engine = run_lua("""
        local diffusion = require("fluid.diffusion")
        sim = FluidEngine.new{domain_size = {6, 6, 6}, voxel_size = 1}
        sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
        sim:add_stencil("start", {outputs = {"velocity"}, enabled = false, code = [[
            WriteField("velocity", idx, vec3(coord.x == 0 ? 0.0 : sin(3.14159265 * float(coord.x) / 6.0), 0.0, 0.0));
        ]]})
        sim:run_stencil("start")
        diffusion.viscosity(sim, {coefficient = 0.1, sweeps = 1})
        for step = 1, 5 do sim:step(1) end
    """)
    left = (1 - 0.1 * 4 * np.sin(np.pi / 12) ** 2) ** 5
    expected = np.sin(np.pi * np.arange(6) / 6) * left
    assert np.allclose(engine.array("velocity")[..., 0], expected[:, None, None], atol=1e-6)


def test_an_obstacle_drags_the_flow_along(run_lua) -> None:
    """Faces inside keep the obstacle's velocity: a straight line from its last faces to the wall that stands still."""
    engine = run_lua("""
        local gas = require("fluid.gas")
        sim = FluidEngine.new{domain_size = {4, 8, 4}, voxel_size = 1, boundary = {"periodic", "open", "periodic"}}
        sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
        gas.obstacle(sim, {shape = {distance = "(p.y - 2.0)"}, velocity = {1, 0, 0}})
        gas.faces(sim)
        sim:add_stencil("start", {inputs = {"solid_velocity"}, outputs = {"velocity"}, enabled = false, code = [[
            WriteField("velocity", idx, coord.y < 2 ? ReadField("solid_velocity", idx) : vec3(0.0));
        ]]})
        sim:run_stencil("start")
        gas.viscosity(sim, {coefficient = 1, sweeps = 20, walls = "no-slip", obstacles = true})
        for step = 1, 10 do sim:step(30) end
    """)
    line = np.minimum(1, (8 - (np.arange(8) + 0.5)) / 6.5)
    assert np.allclose(engine.array("velocity")[..., 0], line[:, None], atol=1e-4)
