# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's shapes and sources, against volumes and rates in closed form."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from fluid_addon.diagnostics import render
from fluid_addon.run import RunRequest
from fluid_addon.run.session import run_script

N = 48
H = 1 / 16
HEAD = f"""
local shapes, gas = require("fluid.shapes"), require("fluid.sources")
sim = FluidEngine.new{{domain_size = {{{N}, {N}, {N}}}, voxel_size = {H}, origin = {{-1.5, -1.5, -1}}}}
"""
SMALL = """
local shapes, gas = require("fluid.shapes"), require("fluid.sources")
sim = FluidEngine.new{domain_size = {16, 16, 16}, voxel_size = 0.125, origin = {-1, -1, 0}}
sim:add_field("density", Format.R32F, 0)
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
"""
BALL = "shapes.sphere{center = {0, 0, 1}, radius = 0.5}"

SPHERE = 4 / 3 * math.pi
#: Volumes of shapes that lie in the domain of HEAD.
VOLUMES = {
    "shapes.sphere{center = {0, 0, 0.5}, radius = 1}": SPHERE,
    "shapes.box{center = {0.1, 0, 0.5}, size = {1, 0.5, 1.5}}": 0.75,
    # a box whose edges are rounded is a ball rolled through a smaller box (Steiner's formula)
    "shapes.box{center = {0, 0, 0.5}, size = {1, 1, 1}, rounding = 0.25}": (
        0.5**3 + 6 * 0.5**2 * 0.25 + 3 * math.pi * 0.25**2 * 0.5 + SPHERE * 0.25**3
    ),
    "shapes.capsule{from = {-0.5, 0, 0}, to = {0.5, 0.4, 0.8}, radius = 0.4}": (
        math.pi * 0.4**2 * math.sqrt(1 + 0.16 + 0.64) + SPHERE * 0.4**3
    ),
    "shapes.cylinder{center = {0, 0, 0.5}, radius = 0.5, height = 1.5}": math.pi * 0.5**2 * 1.5,
    "shapes.cylinder{center = {0, 0, 0.5}, radius = 0.7, height = 0.5, axis = {1, 2, 3}}": math.pi * 0.7**2 * 0.5,
    "shapes.torus{center = {0, 0, 0.5}, radius = 0.8, thickness = 0.3, axis = {1, 0, 1}}": (
        2 * math.pi**2 * 0.8 * 0.3**2
    ),
    "shapes.plane{point = {0, 0, 0.5}, normal = {0, 0, -2}}": 3 * 3 * 1.5,
    "shapes.union(ball(-1, 0.4), ball(1, 0.3))": SPHERE * (0.4**3 + 0.3**3),
    "shapes.intersection(ball(0, 1), shapes.plane{point = {0, 0, 0.5}})": SPHERE / 2,
    "shapes.subtraction(ball(0, 1), ball(0, 0.7))": SPHERE * (1 - 0.7**3),
    "shapes.grown(ball(0, 1), -0.2)": SPHERE * 0.8**3,
    "shapes.shell(ball(0, 0.8), 0.4)": SPHERE * (1 - 0.6**3),
    'shapes.sphere{center = "vec3(0.0, 0.0, 0.5 * float(frame))", radius = "0.5 + 0.5 * dt"}': SPHERE,
}


def test_shapes_have_their_volumes_and_lie_in_their_bounds(run_lua) -> None:
    script = HEAD + "local function ball(x, r) return shapes.sphere{center = {x, 0, 0.5}, radius = r} end"
    for number, shape in enumerate(VOLUMES):
        script += f"""
            sim:add_field("f{number}", Format.R32F, 0)
            local shape{number} = {shape}
            gas.emit(sim, {{shape = shape{number}, fields = {{f{number} = 1}}, mode = "set"}})
            if shape{number}.low then
                print({number}, table.concat(shape{number}.low, " "), table.concat(shape{number}.high, " "))
            end
        """
    lines: list[str] = []
    engine = run_lua(script + "sim:step(1)", lines.append)
    centres = [np.arange(N) * H + H / 2 + low for low in (-1.5, -1.5, -1)]
    bounded = {int(line.split()[0]): np.array(line.split()[1:], float) for line in lines}
    for number, (shape, volume) in enumerate(VOLUMES.items()):
        inside = engine.array(f"f{number}").astype(np.float64)
        assert inside.sum() * H**3 == pytest.approx(volume, rel=0.012), shape
        if "plane{" in shape or '"vec3' in shape:
            continue
        low, high = bounded[number][:3], bounded[number][3:]
        for axis in range(3):
            covered = centres[axis][(inside >= 0.5).any(axis=tuple({0, 1, 2} - {axis}))]
            assert low[axis] <= covered.min() < low[axis] + 2 * H, shape
            assert high[axis] - 2 * H < covered.max() <= high[axis], shape


def test_a_soft_edge_is_a_ramp_over_so_many_voxels(run_lua) -> None:
    engine = run_lua(
        SMALL
        + """
        sim:add_field("hard", Format.R32F, 0)
        local wall = shapes.plane{point = {0.03125, 0, 0}, normal = {1, 0, 0}}
        gas.emit(sim, {shape = wall, fields = {density = 2}, softness = 4})
        gas.emit(sim, {shape = wall, fields = {hard = 2}, softness = 0})
        sim:step(1)
    """
    )
    voxels = (np.arange(16) + 0.5) - (0.03125 + 1) / 0.125  # from the wall
    expected = 2 * np.clip(0.5 - voxels / 4, 0, 1)
    assert np.allclose(engine.array("density"), expected[:, None, None], atol=1e-6)
    assert (engine.array("hard") == 2.0 * (voxels <= 0)[:, None, None]).all()


def test_what_is_added_is_a_rate_and_knows_no_substeps(run_lua) -> None:
    totals = []
    for steps in (1, 2, 5):
        engine = run_lua(
            f"{SMALL} gas.emit(sim, {{shape = {BALL}, fields = {{density = 3}}, mode = 'add'}})\n"
            f"sim:run{{frames = 2, fps = 4, substeps = {steps}}}"
        )
        totals.append(engine.array("density").astype(np.float64).sum())
        assert engine.array("density").max() == pytest.approx(3 * 0.5, rel=1e-6)
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-6)


def test_the_modes(run_lua) -> None:
    engine = run_lua(
        SMALL
        + f"""
        for _, name in ipairs{{"raised", "kept", "lowered", "text", "put", "tint"}} do
            sim:add_field(name, name == "tint" and Format.R32G32B32F or Format.R32F, 0.5)
        end
        gas.emit(sim, {{shape = {BALL}, softness = 0, fields = {{
            raised = 2, kept = 0.25, lowered = -1, text = "p.x < 0.0 ? -2.0 : 2.0", tint = {{1, 0.25, "0.75"}},
        }}}})
        gas.emit(sim, {{shape = {BALL}, mode = "set", softness = 0, fields = {{put = 0.25}}}})
        sim:step(1)
    """
    )
    inside, outside = (8, 8, 8), (0, 0, 0)
    assert [engine.array(name)[inside] for name in ("raised", "kept", "lowered", "put")] == [2, 0.5, -1, 0.25]
    assert engine.array("text")[7:9, 8, 8].tolist() == [-2, 2]
    assert engine.array("tint")[inside].tolist() == [1, 0.5, 0.75]
    assert all((engine.array(name)[outside] == 0.5).all() for name in ("raised", "lowered", "put", "text", "tint"))


def test_velocity_is_set_at_the_faces(run_lua) -> None:
    engine = run_lua(
        SMALL
        + """
        local shape = shapes.sphere{center = {0.05, 0, 1}, radius = 0.5, velocity = {2, "4.0 * p.x", 0}}
        gas.emit(sim, {shape = shape, inherit = 0.5, velocity = {0, 0, "p.z"}, softness = 2})
        sim:step(1)
    """
    )
    found = engine.array("velocity")
    middle = np.stack(np.meshgrid(*[np.arange(16) * 0.125 + 0.0625 + low for low in (-1, -1, 0)], indexing="ij"), -1)
    for axis in range(3):
        p = middle.copy()
        p[..., axis] -= 0.0625
        inside = np.clip(0.5 - (np.linalg.norm(p - [0.05, 0, 1], axis=-1) - 0.5) / 0.25, 0, 1)
        expected = inside * [np.full_like(inside, 1), 2 * p[..., 0], p[..., 2]][axis]
        assert np.allclose(found[..., axis], expected, atol=2e-6)


def test_noise_eats_within_bounds_and_repeats(run_lua) -> None:
    def emitted(noise: str, frames: int = 1):
        engine = run_lua(
            f"{SMALL} gas.emit(sim, {{shape = shapes.box{{center = {{0, 0, 1}}, size = {{4, 4, 4}}}},\n"
            f"fields = {{density = 1}}, noise = {{{noise}}}}})\nfor i = 1, {frames} do sim:step(0.25) end"
        )
        return engine.array("density")

    first = emitted("scale = 0.5, amount = 0.75, seed = 3")
    assert first.min() >= 0.25 - 1e-6
    assert first.max() <= 1
    assert first.std() > 0.1
    assert (first == emitted("scale = 0.5, amount = 0.75, seed = 3", 2)).all(), "it stands still"
    assert not np.allclose(first, emitted("scale = 0.5, amount = 0.75, seed = 4"), atol=0.1)
    moved = emitted("scale = 0.5, amount = 0.75, seed = 3, speed = 1", 2)
    assert 0 < np.abs(first - moved).mean() < 0.5
    assert (emitted("amount = 0") == 1).all()


def test_first_and_last_frame_and_probability(run_lua) -> None:
    engine = run_lua(
        SMALL
        + f"""
        sim:add_field("some", Format.R32F, 0)
        gas.emit(sim, {{shape = {BALL}, fields = {{density = 1}}, velocity = {{1, 0, 0}}, mode = "add",
            from = 2, to = 3}})
        gas.emit(sim, {{shape = {BALL}, fields = {{some = 1}}, mode = "add", softness = 0, probability = 0.25}})
        sim:run{{frames = 5, fps = 1, substeps = 2}}
    """
    )
    assert engine.array("density").max() == 2, "frames 2 and 3"
    assert engine.array("velocity").max() == 1
    some = engine.array("some")[engine.array("density") == 2]
    assert set(np.unique(some)) <= {0, 1, 2, 3, 4, 5}, "the substeps of a frame agree"
    assert some.mean() == pytest.approx(5 * 0.25, abs=0.15)


def test_a_field_is_a_shape(run_lua) -> None:
    engine = run_lua(
        HEAD
        + """
        for _, name in ipairs{"fog", "level_set", "of_fog", "of_level_set"} do sim:add_field(name, Format.R32F, 0) end
        sim:add_stencil("start", {outputs = {"fog", "level_set"}, code = [[
            vec3 p = vec3(-1.5, -1.5, -1.0) + (vec3(coord) + 0.5) * voxel_size;
            float d = length(p - vec3(0.0, 0.0, 0.5)) - 1.0;
            WriteField("fog", idx, 8.0 * smoothstep(0.2, -0.2, d));
            WriteField("level_set", idx, d);
        ]]})
        gas.emit(sim, {shape = shapes.grid(sim, "fog", {threshold = 4}), fields = {of_fog = 1}})
        local shape = shapes.grid(sim, "level_set", {holds = "distance"})
        gas.emit(sim, {shape = shape, fields = {of_level_set = "0.5 * ReadField(fog, idx)"}})
        sim:step(1)
    """
    )
    assert engine.array("of_fog").astype(np.float64).sum() * H**3 == pytest.approx(SPHERE, rel=0.004)
    fog, level = engine.array("fog").astype(np.float64), engine.array("level_set").astype(np.float64)
    expected = np.clip(0.5 - level / H, 0, 1) * 0.5 * fog
    assert np.allclose(engine.array("of_level_set"), expected, atol=1e-4)


def test_the_parts_of_a_union_move_as_their_shapes_do(run_lua) -> None:
    engine = run_lua(
        SMALL
        + """
        local left = shapes.sphere{center = {-0.5, 0, 1}, radius = 0.3, velocity = {0, 0, 1}}
        local right = shapes.sphere{center = {0.5, 0, 1}, radius = 0.3}
        gas.emit(sim, {shape = shapes.union(left, right), inherit = 1, velocity = {0, 3, 0}, softness = 0})
        sim:step(1)
    """
    )
    found = engine.array("velocity")
    assert found[4, 8, 8].tolist() == [0, 3, 1]
    assert found[12, 8, 8].tolist() == [0, 3, 0]


# ===== Bad input

WRONG = {
    "gas.emit(sim, {shape = %s, feilds = {}})": '"feilds" is no option of gas.emit. Did you mean "fields"?',
    "gas.emit(sim, {fields = {density = 1}})": (
        '"shape" must be a shape, such as gas.sphere{center = {0, 0, 1}, radius = 0.2}, not nil.'
    ),
    "gas.emit(sim, {shape = %s})": "This emitter has nothing to emit: give it fields = {density = 1}.",
    "gas.emit(sim, {shape = %s, fields = {'density'}})": (
        '"fields" must say how much of each field: fields = {density = 1}, not a table.'
    ),
    "gas.emit(sim, {shape = %s, fields = {density = true}})": (
        '"fields.density" must be a number or a text of GLSL, not true.'
    ),
    "gas.emit(sim, {shape = %s, fields = {velocity = {0, 0, 1}}})": (
        '"velocity" lies on the faces of voxels: write velocity = … beside fields, not inside.'
    ),
    "gas.emit(sim, {shape = %s, fields = {density = 1}, mode = 'ad'})": (
        '"mode" must be "max", "set", "add", not "ad".'
    ),
    "gas.emit(sim, {shape = %s, fields = {density = 1}, softness = -1})": '"softness" is -1; it lies at 0 or above.',
    "gas.emit(sim, {shape = %s, fields = {density = 1}, noise = {size = 1}})": (
        '"size" is no option of gas.emit: noise. It takes scale, amount, speed, seed.'
    ),
    "gas.emit(sim, {shape = %s, fields = {density = 1}, inherit = 1})": (
        '"inherit" needs a shape that says how it moves: give the shape velocity = {x, y, z}.'
    ),
    "gas.emit(sim, {shape = shapes.sphere{center = {0, 0, 4}, radius = 1}, fields = {density = 1}})": (
        'The "shape" lies outside the domain: it reaches from {-1, -1, 3} to {1, 1, 5}, '
        "the domain from {-1, -1, 0} to {1, 1, 2}."
    ),
    "shapes.sphere{center = {0, 0}, radius = 1}": '"center" must be {x, y, z} or a text of GLSL, not a table.',
    "shapes.sphere{center = {0, 0, 0}, radius = 0}": '"radius" is 0; it lies above 0.',
    "shapes.sphere{center = {0, 0, 0}, radius = 0 / 0}": '"radius" is not a finite number.',
    "shapes.box{center = {0, 0, 0}, size = {1, 1, 1}, rounding = 0.6}": (
        '"rounding" is 0.6; it lies between 0 and half the shortest side, 0.5.'
    ),
    "shapes.cylinder{center = {0, 0, 0}, radius = 1, height = 1, axis = {0, 0, 0}}": (
        '"axis" has no direction: all its numbers are 0.'
    ),
    "shapes.union()": "gas.union takes shapes: gas.union(a, b).",
    "shapes.subtraction(%s, 1)": (
        '"gas.subtraction[2]" must be a shape, such as gas.sphere{center = {0, 0, 1}, radius = 0.2}, not 1.'
    ),
    "shapes.intersection(%s, shapes.sphere{center = {9, 0, 0}, radius = 1})": (
        "The shapes of gas.intersection do not meet, so nothing lies in all of them."
    ),
    "shapes.grown(%s, -0.6)": '"by" is -0.6, which leaves nothing of the shape.',
    "shapes.shell(%s, 0)": '"thickness" is 0; it lies above 0.',
    "shapes.grid(sim, 1)": '"field" must be the name of a field, not 1.',
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_call_is_told_at_its_line(refused, line) -> None:
    (diagnostic,) = refused(SMALL + line.replace("%s", BALL)).diagnostics
    assert diagnostic.message == WRONG[line]
    assert diagnostic.place is not None
    assert (diagnostic.place.file, diagnostic.place.line) == ("test.lua", 6)
    assert diagnostic.related == ()


def test_a_missing_field_is_told_at_its_word(refused) -> None:
    error = refused(f"{SMALL}gas.emit(sim, {{\n    shape = {BALL},\n    fields = {{densty = 1}},\n}})")
    assert [render(d) for d in error.diagnostics] == [
        'test.lua:8: error[unknown-field]: There is no field "densty".\n'
        "    8 |     fields = {densty = 1},\n"
        "      |               ^^^^^^\n"
        '  hint: Did you mean "density"?'
    ]


def test_wrong_glsl_in_an_option_is_told_where_it_stands(refused) -> None:
    error = refused(f"{SMALL}gas.emit(sim, {{\n    shape = {BALL},\n    fields = {{density = '1.0 + flame'}},\n}})")
    assert [render(d) for d in error.diagnostics] == [
        'test.lua:8: error[glsl-error]: "flame" is not declared.\n'
        "    8 |     fields = {density = '1.0 + flame'},\n"
        "      |                                ^^^^^\n"
        '  hint: Did you mean "frame" or "float" or "clamp"?'
    ]
    error = refused(f"{SMALL}gas.emit(sim, {{shape = {BALL}, fields = {{density = 'vec3(1.0)'}}}})")
    assert [render(d).split("\n")[0] for d in error.diagnostics] == [
        "test.lua:6: error[glsl-type]: A vec3 cannot become a float."
    ]


@pytest.mark.parametrize("center", ["{0, 0, 2.4}", "'vec3(0.0, 0.0, 9.0)'"])
def test_an_emitter_that_is_partly_outside_or_moves_is_fine(run_lua, center) -> None:
    engine = run_lua(
        f"{SMALL}local ball = shapes.sphere{{center = {center}, radius = 0.5}}\n"
        "gas.emit(sim, {shape = ball, fields = {density = 1}})\nsim:step(1)"
    )
    assert (engine.array("density").max() > 0) == ("2.4" in center)


def test_a_mesh_is_a_shape_that_passes_its_motion_on(tmp_path) -> None:
    """A tetrahedron that moves by 0.1 a frame: of volume 4 · 8 / 24, its flow 2.4 scene units per second."""
    for frame in (1, 2):
        x = 0.1 * frame
        corners = [(x + 1, 1, 1), (x + 1, -1, -1), (x - 1, 1, -1), (x - 1, -1, 1)]
        text = "".join(f"v {a} {b} {c}\n" for a, b, c in corners) + "f 1 2 3\nf 1 4 2\nf 1 3 4\nf 2 4 3\n"
        (tmp_path / f"Rock_{frame:04}.obj").write_text(text)
    script = """
        local gas = require("fluid.gas")
        sim = FluidEngine.new{domain_size = {40, 40, 40}, voxel_size = 0.0625, origin = {-1.25, -1.25, -1.25}}
        gas.fields(sim, {"density"})
        local rock = gas.object(sim, scene.object("Rock"), "rock")
        gas.emit(sim, {shape = rock, fields = {density = 1}, inherit = 0.5, from = 2})
        assert(gas.object(sim, scene.object("Rock"), "other") ~= rock)
        sim:run{frames = 2, fps = 24}
        local volume = sim:reduce("density", "sum") * 0.0625 ^ 3
        assert(math.abs(volume - 8 / 3) < 0.04, volume)
        local v = sim:read("velocity", {22, 20, 20})
        assert(math.abs(v[1] - 1.2) < 1e-3 and math.abs(v[2]) < 1e-3 and math.abs(v[3]) < 1e-3, v[1])
    """
    events: list[dict[str, object]] = []
    objects = {"Rock": str(tmp_path / "Rock_####.obj")}
    request = RunRequest("rock.lua", str(tmp_path / "bakes"), source=script, objects=objects)
    assert run_script(request, events.append, threading.Event()) == 0, events
