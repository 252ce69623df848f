# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kernel that we ship, with the words that are defined for it, and stencils in every storage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from fluid_addon.engine import Format, StencilDefinition
from fluid_addon.engine.activation import activity_include
from fluid_addon.engine.block import Block
from fluid_addon.engine.body import rewrite_body
from fluid_addon.engine.declarations import shader_text
from fluid_addon.engine.domain import Domain, parse_boundary
from fluid_addon.engine.field import Field, check_value, parse_format
from fluid_addon.engine.kernel_source import Constants, generate
from fluid_addon.engine.places import Storage
from fluid_addon.engine.reduction import OPERATIONS, _definitions

__all__ = ["SHIPPED"]

Kernel = tuple[str, dict[str, str]]

#: How a solver's grid may lie, with faces or without: whole, a slab, bricks of leaves, bricks of a slab.
GRIDS = ("", "FACES", "FACES, SLAB", "BRICK 8", "FACES, BRICK 8, HELD")
#: Of each shader of the solver, the words for what it does.
SOLVER = {
    "advance": ["ROWS 4"],
    "centre": ["ROWS 4"],
    "coarse_faces": [""],
    "coarsest": [""],
    "direction": ["BLOCK 4"],
    "leaf_sums": ["VALUE float, EDGE 4", "VALUE vec4, EDGE 2"],
    "measure": ["BLOCK 4", "BLOCK 4, CENTRE"],
    "prolong": ["PAIRS 2", "PAIRS 2, COARSE_FACES"],
    "restrict": ["PAIRS 2, COARSE", "PAIRS 1, COARSE, NORM", "PAIRS 2, NORM"],
    "smooth": ["ROWS 2, PAIRS 2", "ROWS 2, PAIRS 2, FROM_ZERO"],
}
CODE = """
    vec3 p = vec3(coord) - dt * ReadField("v", idx);
    float sum = SampleField("a", p) + SampleField("v", p).x + ClampField("half", p, vec3(params.gain)).y;
    for (int axis = 0; axis < 3; axis++) {
        ivec3 o = ivec3(axis == 0, axis == 1, axis == 2);
        sum += ReadField("a", coord + o) + ReadField("a", idx - axis) + Noise(p);
    }
    sum += ReadField("a", coord + ivec3(0, -2, 1)) + ReadField("v", coord + ivec3(1, 0, 0)).x;
    WriteField("a_new", idx, params.on ? sum : 0.0);
    WriteField("count", idx, ReadField("count", idx) + 1u);
"""
LOOPS = """
    float v = ReadField("a", idx);
    float kept[4];
    for (int i = 0; i < 4; i++) { kept[i] = v * float(i); }
    while (v < 1.0) { v += 0.25 + kept[int(v)]; }
    do { v -= 1.0; } while (v > 0.5);
    WriteField("a_new", idx, v);
"""


def _solver() -> Iterator[tuple[str, Kernel]]:
    for shader, variants in SOLVER.items():
        for variant, grid in product(variants, GRIDS):
            words = [word for word in (*variant.split(", "), *grid.split(", ")) if word]
            text = "".join(f"#define {word}\n" for word in words)
            yield f"{shader}: {', '.join(words)}", (shader_text(f"poisson/{shader}.comp"), {"variant": text})


def _measures() -> Iterator[tuple[str, Kernel]]:
    yield "triad", (shader_text("triad.comp"), {})
    for kind, (name, operation) in product((Format.R32F, Format.R16G16B16F, Format.R32UI), OPERATIONS.items()):
        for sparse in ("", "#define SPARSE\n"):
            text = _definitions(parse_format(kind), operation)[0] + "#define EDGE 8\n" + sparse
            label = f"reduce: {name} of {parse_format(kind).name}{', sparse' if sparse else ''}"
            yield label, (shader_text("reduce.comp"), {"operation": text})
    for velocity in (None, parse_format(Format.R32G32B32F)):
        text = activity_include(parse_format(Format.R16F), velocity)
        yield f"activity{': flows' if velocity else ''}", (shader_text("activity.comp"), {"field": text})


def _stencils() -> Iterator[tuple[str, Kernel]]:
    kinds = {"a": Format.R32F, "v": Format.R32G32B32F, "half": Format.R16G16B16F, "count": Format.R32UI}
    fields = {}
    for name, kind in kinds.items():
        found = parse_format(kind)
        fields[name] = Field(name, found, check_value(name, found, 0), staggered=name == "v")
    constants = Constants((("gain", False), ("on", True)))
    domain = Domain.box((32, 16, 16), 1.0, None, parse_boundary("periodic"))
    stencils = {
        "stencil": (CODE, tuple(kinds), ("a_new", "count")),
        "stencil with loops": (LOOPS, ("a",), ("a_new",)),
    }
    for name, (code, inputs, outputs) in stencils.items():
        definition = StencilDefinition(name, code, inputs, outputs)
        body = rewrite_body(definition, ["count"], ["v"])
        for sparse, slabs, block in product((False, True), (False, True), (Block(), Block(2, 2, True))):
            storage = Storage(domain, sparse, slabs)
            source = generate(definition, body, fields, constants, block, storage)
            words = [word for word, said in (("sparse", sparse), ("slabs", slabs), ("blocks", block.words)) if said]
            yield f"{name}: {', '.join(words) or 'dense'}", (shader_text("stencil.comp"), source.includes())


#: (source, its includes) by name.
SHIPPED: dict[str, Kernel] = dict([*_solver(), *_measures(), *_stencils()])
