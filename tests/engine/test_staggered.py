# SPDX-License-Identifier: GPL-3.0-or-later
"""Velocities on faces: where each component lies, what there is beyond the ends, and what a file gets."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import Format
from fluid_addon.engine.block import Block
from fluid_addon.engine.body import rewrite_body
from fluid_addon.engine.domain import parse_boundary
from fluid_addon.engine.faces import at_centres
from tests.engine.lookups import BACKGROUND, SIZE, coords, face, random_faces, sample_faces

RULES = [("open", "clamp", "periodic"), ("clamp", "periodic", "open"), ("periodic", "open", "clamp"), ("clamp",) * 3]
#: One voxel an invocation, as on a graphics card, and blocks of them.
BLOCKS = [Block(), Block(4, 4, True)]
FORMATS = [Format.R32G32B32F, Format.R16G16B16F]


@pytest.fixture
def ask(make_engine, define, set_field):
    """`ask(values, rules, block, "GLSL vec3")`: what the expression gives in each voxel; `flow` holds the values."""

    def value(values, rules, block, expression) -> np.ndarray:
        engine = make_engine(values.shape[:3], boundary=list(rules))
        engine._declarations.largest_blocks[1] = block
        format_ = Format.R16G16B16F if values.dtype == np.float16 else Format.R32G32B32F
        engine.add_field("flow", format_, BACKGROUND, staggered=True)
        engine.add_field("answer", Format.R32G32B32F, 0)
        set_field(engine, "flow", values)
        engine.add_stencil(define("ask", f'WriteField("answer", idx, {expression});', "flow", "answer"))
        engine.step(1.0)
        return engine.array("answer")

    return value


@pytest.mark.parametrize("rules", RULES, ids="-".join)
@pytest.mark.parametrize(
    ("block", "format_"),
    [(BLOCKS[0], FORMATS[0]), (BLOCKS[1], FORMATS[0]), (BLOCKS[1], FORMATS[1])],
    ids=["1z1x", "4z4x", "4z4x-half"],
)
def test_reads_beyond_the_ends(ask, rules, block, format_):
    values = random_faces(format_)
    offsets = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, -1, -1), (-5, 4, 4), (5, -5, 14), (9, 9, 9)]
    near = [f"{float(i + 1)} * ReadField(flow, coord + ivec3{o})" for i, o in enumerate(offsets)]
    far = [term.replace("coord +", "ivec3(idx - idx) + coord +") for term in near]
    found = ask(values, rules, block, f"coord.y % 2 == 0 ? {' + '.join(near)} : {' + '.join(far)}")
    wanted = sum((i + 1) * face(values, coords() + o, rules).astype(np.float32) for i, o in enumerate(offsets))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rules", "block"), [*zip(RULES, BLOCKS * 2, strict=True)], ids=str)
def test_samples_everywhere(ask, rules, block):
    values = random_faces()
    found = ask(values, rules, block, "SampleField(flow, 2.3 * vec3(coord) - vec3(4.6, 3.7, 9.1))")
    wanted = sample_faces(values, 2.3 * coords() - [4.6, 3.7, 9.1], rules)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("rules", RULES, ids="-".join)
def test_samples_far_outside_are_those_of_the_wall_or_the_end(ask, rules):
    values = random_faces()
    places = ["-1e6", "1e6", "-3e38", "1.0 / (time - time)", "0.0 / (time - time)", "3e38"]
    far = " : ".join(f"coord.y == {y} ? {place}" for y, place in enumerate(places))
    found = ask(values, rules, Block(), f"SampleField(flow, vec3({far} : 0.0, coord.yz))")
    position = coords().astype(float)
    position[:, 0, :, 0], position[:, 1, :, 0] = -1e6, 1e6
    if rules[0] == "periodic":
        position[..., 0] %= SIZE[0]
    wanted = sample_faces(values, position, rules)
    np.testing.assert_allclose(found[:, :2], wanted[:, :2], rtol=1e-5, atol=1e-5)
    known = np.append(values, BACKGROUND)
    sane = found[np.isfinite(found)]
    assert ((sane >= known.min() - 1e-3) & (sane <= known.max() + 1e-3)).all()


@pytest.mark.parametrize("format_", FORMATS, ids=lambda f: f.name)
def test_a_linear_velocity_is_exact_between_its_faces(ask, format_):
    slope = np.array([[0.5, -1, 0.25], [2, 0.5, -0.5], [-0.25, 1, 1]])
    own_faces = np.stack([(coords() - 0.5 * np.eye(3)[i]) @ slope[i] + i for i in range(3)], axis=-1)
    shift = np.array([0.25, -0.125, 0.375])
    found = ask(
        own_faces.astype(format_.dtype),
        ("open",) * 3,
        Block(),
        f"SampleField(flow, vec3(coord) + vec3{(*shift.tolist(),)})",
    )
    inside = (slice(1, -2),) * 3
    np.testing.assert_array_equal(found[inside], ((coords() + shift) @ slope.T + [0, 1, 2])[inside])


@pytest.mark.parametrize(("rule", "block"), [("open", BLOCKS[0]), ("clamp", BLOCKS[1]), ("periodic", BLOCKS[1])])
def test_a_mirrored_velocity_gives_mirrored_samples(ask, rule, block):
    """To the last bit. Faces 0 and n of an axis change places, so the low end stores what lies beyond the high one."""
    values = random_faces()
    for axis in range(3):
        ends = [slice(None)] * 3
        ends[axis] = 0
        if rule != "periodic":
            values[(*ends, axis)] = BACKGROUND[axis]
    shift = np.array([0.25, -1.5, 2.375])
    text = "SampleField(flow, {} * vec3(coord) + vec3{})"
    here = ask(values, (rule,) * 3, block, text.format("vec3(1.5)", (*shift.tolist(),)))
    for axis, size in enumerate(SIZE):
        mirrored = np.flip(values, axis).copy()
        mirrored[..., axis] = np.roll(mirrored[..., axis], 1, axis)
        start = shift.copy()
        start[axis] = (size - 1) - shift[axis] - 1.5 * (size - 1)
        if rule != "periodic" and BACKGROUND[axis]:
            wall = np.moveaxis(mirrored[..., axis], axis, 0)
            np.testing.assert_array_equal(wall[0], BACKGROUND[axis])
        there = np.flip(ask(mirrored, (rule,) * 3, block, text.format("vec3(1.5)", (*start.tolist(),))), axis)
        np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("rules", RULES, ids="-".join)
def test_what_a_file_gets_is_the_sample_at_the_centre(ask, rules):
    values = random_faces()
    at_centre = ask(values, rules, Block(), "SampleField(flow, vec3(coord))")
    found = at_centres(values, BACKGROUND, parse_boundary(rules))
    np.testing.assert_allclose(found, at_centre, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found, sample_faces(values, coords().astype(float), rules), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_sample_at_the_own_centre_is_made_of_reads_nearby(make_engine, define, set_field, block):
    """And gives the bits of any other sample there, whole or one component, for fields at centres as well."""
    engine = make_engine(SIZE, boundary="clamp")
    engine._declarations.largest_blocks[1] = block
    for name, staggered in (("flow", True), ("colour", False)):
        engine.add_field(name, Format.R32G32B32F, BACKGROUND, staggered=staggered)
        set_field(engine, name, random_faces())
    for name in ("near", "far"):
        engine.add_field(name, Format.R32G32B32A32F, 0)
        at = "vec3(coord)" if name == "near" else "(vec3(coord) + 0.0)"
        code = f"""
            vec4 v = vec4(SampleField(flow, {at}), SampleField("flow", {at}).y);
            v.xz += SampleField(colour, {at}).zy * SampleField(flow, {at}).x;
            WriteField({name}, idx, v);
        """
        engine.add_stencil(define(f"ask_{name}", code, "flow colour", name))
    assert len(rewrite_body(engine._declarations.stencils["ask_near"].definition, [], ["flow"]).near) == 5
    engine.step(1.0)
    np.testing.assert_array_equal(engine.array("near"), engine.array("far"))


def test_only_vectors_of_three_lie_on_faces(make_engine):
    engine = make_engine()
    for format_ in set(Format) - set(FORMATS):
        with pytest.raises(FluidError) as error:
            engine.add_field("a", format_, 0, staggered=True)
        assert error.value.code == "bad-argument"


def test_read_and_reductions_give_the_stored_faces(make_engine, set_field):
    values = random_faces()
    engine = make_engine(SIZE)
    engine.add_field("flow", Format.R32G32B32F, BACKGROUND, staggered=True)
    set_field(engine, "flow", values)
    assert engine.read("flow", (3, 4, 5)) == tuple(values[3, 4, 5].tolist())
    assert engine.reduce("flow", "max") == tuple(values.max(axis=(0, 1, 2)).tolist())
    assert engine._simulation.reduce(engine.fields["flow"], "length")[0] == pytest.approx(
        np.linalg.norm(values, axis=-1).max()
    )
