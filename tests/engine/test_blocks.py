# SPDX-License-Identifier: GPL-3.0-or-later
"""However many voxels an invocation computes, and however it loads them, every bit of the result is the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition
from fluid_addon.engine.block import Block, largest_block
from fluid_addon.engine.body import rewrite_body

PLAIN = Block()
OFFSETS = [(0, 0, 0), (0, 0, -1), (1, 0, 1), (-1, -1, 2), (3, 1, -5), (-5, 4, 4), (5, -5, 3)]
#: Each rule on each axis once.
RULES = [("open", "clamp", "periodic"), ("clamp", "periodic", "open"), ("periodic", "open", "clamp")]
CASES = [(Block(4, 4, True), RULES[0]), (Block(4, 4, True), RULES[1]), (Block(4, 4, True), RULES[2])]
CASES += [(Block(2, 1, True), RULES[2]), (Block(1, 4, True), RULES[0])]
THIN = [
    ((1, 1, 1), Block(1, 1, True)),
    ((1, 1, 4), Block(4, 1, True)),
    ((4, 1, 4), Block(4, 4, True)),
    ((2, 7, 2), Block(2, 2, True)),
    ((4, 3, 5), Block(1, 4, True)),
    ((7, 2, 20), Block(4, 1, True)),
    ((5, 3, 7), Block(1, 1, True)),
    ((36, 9, 36), Block(4, 2, True)),
]


def shown(value: Block | tuple[object, ...]) -> str:
    """A block or a tuple in the name of a test."""
    return f"{value.along_z}z{value.along_x}x" if isinstance(value, Block) else "-".join(map(str, value))


def word(parts: tuple[int, int, int]) -> str:
    return f"ivec3({', '.join(map(str, parts))})"


def stencils(name: str, format_: Format) -> list[StencilDefinition]:
    """Stencils that together read and write a field of the format in every way there is."""
    weigh = "uint" if format_ is Format.R32UI else format_.scalar
    terms = [f'{weigh}({i + 2}) * ReadField("{name}", coord + {word(o)})' for i, o in enumerate(OFFSETS)]
    small = f"{weigh}(0.01)" if format_.is_float else f"{weigh}(7)"
    near = f"""
        if (idx % 5 == 3) {{ return; }}
        if (coord.z % 3 != coord.x % 2) {{ WriteField("{name}_new", idx, {small} * ({" + ".join(terms)})); }}
    """
    own = f"""
        if ((coord.x ^ coord.z) % 3 == frame % 3) {{
            WriteField("{name}", idx, ReadField("{name}", idx) + ReadField("{name}", coord));
        }}
    """
    away = f"""
        ivec3 o = ivec3(coord.y - 2, frame - coord.x, 3 * coord.z - 9);
        {format_.glsl} v = ReadField("{name}", coord + o) + ReadField("{name}", 2 * idx - 3);
    """
    if format_.is_float:
        away += f'v += SampleField("{name}", 1.37 * vec3(coord) - vec3(2.6, 1.3, 3.9) + 0.1 * dt);'
    away += f'WriteField("{name}_new", idx, v);'
    return [
        StencilDefinition(f"near_{name}", near, (name,), (f"{name}_new",), iterations=2),
        StencilDefinition(f"own_{name}", own, (name,), (name,)),
        StencilDefinition(f"away_{name}", away, (name,), (f"{name}_new",)),
    ]


def start(format_: Format, size: tuple[int, int, int]) -> np.ndarray:
    shape = size if format_.components == 1 else (*size, format_.components)
    rng = np.random.default_rng(int(format_))
    if format_.is_float:
        return rng.normal(size=shape).astype(format_.dtype)
    return rng.integers(0, 2**31, shape).astype(format_.dtype)


def run(compiled: Path, size, rules, formats: tuple[Format, ...], block: Block) -> dict[str, np.ndarray]:
    """Two steps of all stencils in blocks; every field at the end."""
    engine = FluidEngine(domain_size=size, boundary=list(rules), environment=EngineEnvironment(cache=compiled))
    try:
        engine._declarations.largest_blocks[1] = block
        for format_ in formats:
            name = format_.name.lower()
            engine.add_field(name, format_, 3)
            engine._simulation.start_from(engine.fields[name], start(format_, size))
            for definition in stencils(name, format_):
                engine.add_stencil(definition)
                used = engine._declarations.stencils[definition.name].block
                assert used == block or definition.name.startswith("away"), "the block that is to be tested"
        engine.step(0.25)
        engine.step(0.5)
        return {name: engine.array(name) for name in engine.fields}
    finally:
        engine.close()


@cache
def plain(compiled: Path, size, rules, formats: tuple[Format, ...]) -> dict[str, np.ndarray]:
    return run(compiled, size, rules, formats, PLAIN)


def assert_same_bits(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for name, values in wanted.items():
        differing = np.argwhere(found[name].view(np.uint8) != values.view(np.uint8))
        assert not len(differing), f"{name} differs at {len(differing)} bytes, first at {differing[0]}"


@pytest.mark.parametrize(("block", "rules"), CASES, ids=shown)
@pytest.mark.parametrize("half", [False, True], ids=["32bit", "16bit"])
def test_every_block_computes_the_same_bits(compiled, loaded, block, rules, half):
    size = (8, 3, 12)
    formats = tuple(f for f in Format if f.is_half == half)
    assert_same_bits(run(compiled, size, rules, formats, block), plain(compiled, size, rules, formats))


@pytest.mark.parametrize("number", range(len(THIN)), ids=lambda i: f"{shown(THIN[i][0])}-{shown(THIN[i][1])}")
def test_thin_and_odd_domains_in_blocks(compiled, loaded, number):
    size, block = THIN[number]
    rules = RULES[number % len(RULES)]
    formats = (Format.R32F, Format.R32G32B32F)
    assert_same_bits(run(compiled, size, rules, formats, block), plain(compiled, size, rules, formats))


def test_halves_are_rounded_alike_whether_stored_alone_or_in_words(make_engine, define, set_field):
    special = [0.0, -0.0, 6e-8, 2.9e-8, -1e-6, 6.1e-5, 1.0009, 2049.0, 2051.0, 65504.0, 65519.0, 65520.0, -1e9, np.inf]
    values = np.resize(np.array(special, np.float32), (2, 2, 16))
    results = []
    for block in (PLAIN, Block(4, 1, True)):
        engine = make_engine(values.shape)
        engine._declarations.largest_blocks[1] = block
        engine.add_field("wide", Format.R32F, 0)
        engine.add_field("half", Format.R16F, 0)
        engine.add_field("halves", Format.R16G16B16F, 0)
        set_field(engine, "wide", values)
        code = 'float v = ReadField("wide", idx); WriteField("half", idx, v); WriteField("halves", idx, vec3(v));'
        engine.add_stencil(define("narrow", code, "wide", "half halves"))
        engine.step(1.0)
        results.append({name: engine.array(name) for name in ("half", "halves")})
    assert_same_bits(results[1], results[0])
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_array_equal(results[0]["half"], values.astype(np.float16))


# ===== Which reads are at a fixed offset


@pytest.mark.parametrize(
    ("where", "offset"),
    [
        ("idx", (0, 0, 0)),
        ("coord", (0, 0, 0)),
        ("coord + ivec3(1, -2, 3)", (1, -2, 3)),
        ("coord - ivec3( 1,-2, +3 )", (-1, 2, -3)),
        ("coord + ivec3(2)", (2, 2, 2)),
        ("coord /* here */ + ivec3(0, 0,\n 1)", (0, 0, 1)),
        ("coord + ivec3(1024, 0, 0)", (1024, 0, 0)),
        ("coord + ivec3(1025, 0, 0)", None),
        ("coord + ivec3(010, 0, 0)", None),
        ("coord + ivec3(1u, 0, 0)", None),
        ("coord + ivec3(n, 0, 0)", None),
        ("coord + ivec3(1, 0)", None),
        ("coord + ivec3(1, 0, 0) * 2", None),
        ("coord + ivec3(1, 0, 0) + ivec3(0)", None),
        ("coord * ivec3(1, 0, 0)", None),
        ("ivec3(1, 0, 0) + coord", None),
        ("idx + 1", None),
        ("coord + (ivec3(1, 0, 0))", None),
    ],
)
def test_a_fixed_offset_is_seen(define, where, offset):
    code = f'WriteField("b", idx, ReadField("a", {where}));'
    body = rewrite_body(define("k", code, "a", "b"))
    assert body.near == ([("a", offset)] if offset else [])
    assert bool(body.far_reads) == (offset is None)
    assert body.code.count("\n") == code.count("\n")


# ===== Which block a stencil gets


def block_of(engine, define, code: str) -> Block:
    engine.add_field("a", Format.R32F, 0)
    engine.add_stencil(define("k", code, "a", "a_new"))
    return engine._declarations.stencils["k"].block


DIAGONAL = 'WriteField("a_new", idx, ReadField("a", coord - ivec3(1)) + ReadField("a", coord + ivec3(1)));'


def test_only_a_software_device_computes_blocks(make_engine):
    info = make_engine((8, 8, 8))._simulation.device.info
    software = replace(info, kind="software", int64=True)
    assert largest_block(software, (64, 63, 64)) == Block(4, 4, True)
    assert largest_block(software, (66, 64, 50)) == Block(2, 2, True)
    assert largest_block(software, (63, 64, 65)) == Block(1, 1, True)
    assert largest_block(software, (64, 64, 8)) == Block(1, 4, True), "eight voxels along z fill its lanes"
    assert largest_block(replace(software, int64=False), (64, 64, 64)) == PLAIN
    assert largest_block(replace(software, kind="discrete"), (64, 64, 64)) == PLAIN


def test_what_is_dear_to_compile_is_not_repeated_often(make_engine, define):
    for code, wanted in {
        DIAGONAL: 16,
        'WriteField("a_new", idx, SampleField("a", vec3(coord) + 0.5));': 4,
        'WriteField("a_new", idx, CurlNoise(vec3(coord)).x);': 1,
    }.items():
        engine = make_engine((32, 4, 32))
        engine._declarations.largest_blocks[1] = Block(4, 4, True)
        assert block_of(engine, define, code).voxels == wanted
