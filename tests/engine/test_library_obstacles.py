# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's obstacles: the open parts of faces, what moves, and what the gas does beside them."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError


def openness(engine) -> np.ndarray:
    packed = engine.array("faces")
    return np.stack([(packed >> shift) & 255 for shift in (0, 8, 16)], axis=-1) / 255.0


def test_a_level_floor_leaves_the_part_of_each_side_face_that_is_above_it(run_lua) -> None:
    for height in (2.0, 2.6):
        engine = run_lua(f"""
            local obstacles = require("fluid.obstacles")
            sim = FluidEngine.new{{domain_size = {{4, 4, 6}}, voxel_size = 1, origin = {{0, 0, 10}}}}
            obstacles.obstacle(sim, {{shape = {{distance = "(p.z - {10 + height})"}}}})
            obstacles.faces(sim)
        """)
        part = openness(engine)
        side = np.clip(np.arange(6) + 1 - height, 0, 1)
        assert np.allclose(part[..., :2], side[:, None], atol=0.5 / 255)
        assert (part[..., 2] == (np.arange(6) > height)).all(), "a face is above the floor or below it"


def square_above_a_line(middle, slopes) -> float:
    """The part of the unit square on which middle + slopes . x is above 0, x from -1/2 to 1/2, by counting."""
    x = (np.arange(400) + 0.5) / 400 - 0.5
    return float((middle + slopes[0] * x[:, None] + slopes[1] * x[None, :] > 0).mean())


@pytest.mark.parametrize("boundary", ["open", "periodic"])
def test_a_tilted_plane_cuts_faces_exactly(run_lua, boundary) -> None:
    normal = np.array([0.48, -0.6, 0.64])
    offset = 0.37
    engine = run_lua(f"""
        local obstacles = require("fluid.obstacles")
        sim = FluidEngine.new{{domain_size = {{6, 6, 6}}, voxel_size = 0.5, boundary = "{boundary}"}}
        obstacles.obstacle(sim, {{shape = {{distance = "(dot(p, vec3(0.48, -0.6, 0.64)) - {offset})"}}}})
        obstacles.faces(sim)
    """)
    part = openness(engine)
    inner = range(1, 5) if boundary == "periodic" else range(6)
    worst = 0.0
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        for voxel in np.ndindex(6, 6, 6):
            if not all(v in inner for v in voxel) or (voxel[axis] == 0):
                continue
            middle = 0.5 * (np.array(voxel) + 0.5 - 0.5 * (np.arange(3) == axis))
            expected = square_above_a_line(normal @ middle - offset, 0.5 * normal[others])
            if expected > 0.03:
                worst = max(worst, abs(part[*voxel, axis] - expected))
    assert worst < 0.006, "1/255 of the format and 1/400 of the count"


def test_obstacles_unite_and_the_nearest_says_how_it_moves(run_lua) -> None:
    engine = run_lua("""
        local obstacles = require("fluid.obstacles")
        sim = FluidEngine.new{domain_size = {32, 16, 16}, voxel_size = 0.125}
        local large = {distance = "(length(p - vec3(1.0, 1.0, 1.0)) - 0.7)", velocity = "vec3(1.0, 0.0, 0.0)"}
        local small = {distance = "(length(p - vec3(3.0, 1.0, 1.0)) - 0.5)"}
        obstacles.obstacle(sim, {shape = large})
        obstacles.obstacle(sim, {shape = small, velocity = {0, 0, "p.x"}})
        obstacles.faces(sim)
    """)
    solid, velocity = engine.array("solid"), engine.array("solid_velocity")
    p = (np.stack(np.indices((32, 16, 16)), axis=-1) + 0.5) / 8
    first, second = np.linalg.norm(p - [1, 1, 1], axis=-1) - 0.7, np.linalg.norm(p - [3, 1, 1], axis=-1) - 0.5
    assert np.allclose(solid, np.minimum(first, second), atol=1e-6)
    clear = np.abs(first - second) > 1e-5
    assert (velocity[clear & (first < second)] == [1, 0, 0]).all()
    assert np.allclose(velocity[clear & (second < first), 2], p[clear & (second < first), 0], atol=1e-6)
    # The open parts give the volume: by the divergence theorem, the closed parts across x count columns of the balls.
    closed = 1 - openness(engine)[1:, ..., 0]
    assert closed.sum() / 8**3 == pytest.approx(4 / 3 * np.pi * (0.7**3 + 0.5**3), rel=0.01)


def test_obstacles_that_move_are_computed_in_every_step(run_lua) -> None:
    engine = run_lua("""
        local obstacles = require("fluid.obstacles")
        sim = FluidEngine.new{domain_size = {16, 8, 8}, voxel_size = 1}
        obstacles.obstacle(sim, {shape = {distance = "(p.x - 1.0)"}})
        obstacles.obstacle(sim, {shape = {distance = "abs(p.x - 4.0 - 2.0 * time) - 1.0"}, velocity = {2, 0, 0}})
        obstacles.faces(sim)
        assert(sim:read("solid", {3, 0, 0}) == -0.5)
        sim:step(2)
        assert(sim:read("solid", {3, 0, 0}) == -0.5, "time is 0 in the first step")
        sim:step(2)
    """)
    x = np.arange(16) + 0.5
    expected = np.minimum(x - 1, np.abs(x - 8) - 1)
    assert np.allclose(engine.array("solid"), expected[:, None, None])
    assert (openness(engine)[7:9, ..., 1:] == 0).all() and (openness(engine)[4] == 1).all()


def test_an_obstacle_that_moves_comes_before_the_faces(run_lua) -> None:
    with pytest.raises(FluidError, match=r"must come before gas\.faces"):
        run_lua("""
            local obstacles = require("fluid.obstacles")
            sim = FluidEngine.new{domain_size = {8, 8, 8}}
            obstacles.faces(sim)
            obstacles.obstacle(sim, {shape = {distance = "(p.x - time)"}, moving = true})
        """)


def test_obstacles_take_on_the_gas_beside_them_and_are_empty_inside(run_lua) -> None:
    engine = run_lua("""
        local obstacles = require("fluid.obstacles")
        sim = FluidEngine.new{domain_size = {6, 6, 10}, voxel_size = 1}
        obstacles.obstacle(sim, {shape = {distance = "(p.z - 6.0)"}})
        sim:add_field("density", Format.R32F, 0)
        sim:add_field("heat", Format.R32F, 0)
        sim:add_stencil("start", {outputs = {"density", "heat"}, enabled = false, code = [[
            WriteField("density", idx, coord.z >= 6 ? float(coord.x) : 50.0);
            WriteField("heat", idx, coord.z >= 6 ? 3.0 : -50.0);
        ]]})
        sim:run_stencil("start")
        obstacles.extend(sim, {fields = {density = 0, heat = 0.5}})
        sim:step(1)
    """)
    density, heat = engine.array("density"), engine.array("heat")
    x = np.arange(6)[:, None, None]
    assert (density[:, :, 4:] == x).all() and (heat[:, :, 4:] == 3).all(), "two voxels deep"
    assert (density[:, :, :4] == 0).all() and (heat[:, :, :4] == 0.5).all()


def test_what_blows_in_blows_out_and_nothing_passes_an_obstacle(run_lua) -> None:
    """A wind tunnel with a ball that moves: through every cross-section goes what the wind brings in."""
    engine = run_lua("""
        local gas = require("fluid.gas")
        sim = FluidEngine.new{domain_size = {24, 12, 12}, voxel_size = 0.25}
        gas.fields(sim, {"density"})
        gas.inflow(sim, {side = "x low", velocity = {2, 0, 0}, layers = 2})
        gas.obstacle(sim, {shape = gas.sphere{center = {3, 1.5, 1.3}, radius = 0.8}, velocity = {0, 0, 0.5}})
        gas.faces(sim)
        gas.project(sim, {obstacles = true, tolerance = 1e-4,
            sides = {"closed", "open", "closed", "closed", "closed", "closed"}})
        sim:step(0.1)
        assert(sim:solved("solve_pressure").residual <= 1e-4)
    """)
    velocity, solid = engine.array("velocity").astype(np.float64), engine.array("solid_velocity").astype(np.float64)
    part = openness(engine)
    flux = np.zeros((24, 12, 12, 3))
    for axis in range(3):
        inner = (slice(None),) * axis + (slice(1, None),)
        before = (slice(None),) * axis + (slice(None, -1),)
        moved = 0.5 * (solid[(*inner, ..., axis)] + solid[(*before, ..., axis)])
        open_part, flow = part[(*inner, ..., axis)], velocity[(*inner, ..., axis)]
        assert np.allclose(flow[open_part == 0], moved[open_part == 0]), "closed faces move with the obstacle"
        flux[(*inner, ..., axis)] = open_part * flow + (1 - open_part) * moved
    through = flux[2:-1, ..., 0].sum((1, 2))
    assert np.allclose(through, 2 * 12 * 12, rtol=1e-3)
    assert velocity[..., 0].max() > 2.2, "it goes around the ball"
