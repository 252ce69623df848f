# SPDX-License-Identifier: GPL-3.0-or-later
"""Random simulations, and the same one stored in every way: dense, sparse, in slabs, in slabs of leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import cycle, product
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from fluid_addon.engine import FluidEngine, Format, StencilDefinition

DENSE: dict[str, Any] = {}
SPARSE: dict[str, Any] = {"sparse": True}
TWO, THREE = {"gpu_count": 2}, {"gpu_count": 3}
#: Every other way to store a domain, by name.
STORAGES = {"sparse": SPARSE, "two": TWO, "three": THREE, "sparse two": SPARSE | TWO, "sparse three": SPARSE | THREE}

LEAF = 8
REDUCTIONS = ("sum", "min", "max", "norm")


@dataclass(frozen=True)
class FieldSpec:
    name: str
    format: Format
    background: float | tuple[float, ...]
    resolution: Fraction = Fraction(1)
    staggered: bool = False


#: Every format and resolution, and both kinds of vectors.
FIELDS = (
    FieldSpec("a", Format.R32F, 0.25),
    FieldSpec("b", Format.R16F, -0.5),
    FieldSpec("v", Format.R32G32B32F, (0.5, 0.0, -0.25)),
    FieldSpec("s", Format.R32G32B32F, (0.1, 0.0, 0.3), staggered=True),
    FieldSpec("pair", Format.R32G32F, (1.0, -1.0)),
    FieldSpec("four", Format.R32G32B32A32F, 0.75),
    FieldSpec("i", Format.R32I, -3),
    FieldSpec("u", Format.R32UI, 3),
    FieldSpec("quarter", Format.R32F, 0.5, Fraction(1, 4)),
    FieldSpec("half", Format.R16G16B16F, 0.5, Fraction(1, 2)),
    FieldSpec("double", Format.R32F, -0.5, Fraction(2)),
    FieldSpec("triple", Format.R16F, 0.25, Fraction(3)),
    FieldSpec("fourfold", Format.R32G32B32F, 0.5, Fraction(4), staggered=True),
)
BY_NAME = {spec.name: spec for spec in FIELDS}


@dataclass(frozen=True)
class Scene:
    """A simulation, in words that a failing test prints.

    Attributes:
        speed: of velocities, in voxels a step: how far computed reads go.
        by_hand: stencils that also run by `run_stencil` between the steps.
    """

    size: tuple[int, int, int]
    boundary: tuple[str, str, str]
    fields: tuple[str, ...]
    stencils: tuple[StencilDefinition, ...]
    speed: float
    steps: int = 2
    by_hand: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """Everything that a script can learn about the end of a simulation."""

    fields: dict[str, npt.NDArray[Any]]
    reductions: dict[str, Any]
    voxels: dict[str, Any]
    halo: int = field(compare=False)

    def differs(self, other: Outcome) -> list[str]:
        """What is not bitwise the same."""
        names = [name for name in self.fields if self.fields[name].tobytes() != other.fields[name].tobytes()]
        names += [f"{k} = {v}, {other.reductions[k]}" for k, v in self.reductions.items() if other.reductions[k] != v]
        return names + [f"{k} = {v}, {other.voxels[k]}" for k, v in self.voxels.items() if other.voxels[k] != v]


# ===== Running one


def declare(engine: FluidEngine, names: tuple[str, ...], speed: float, seed: int) -> None:
    """Fields full of random numbers."""
    assert engine._simulation is not None
    for name in names:
        spec = BY_NAME[name]
        resolution = float(spec.resolution)
        engine.add_field(name, spec.format, spec.background, staggered=spec.staggered, resolution=resolution)
        found = engine.fields[name]
        shape = engine.domain.at(found.resolution).address.shape(found.format.components)
        numbers = np.random.default_rng([seed, *name.encode()]).random(shape)
        moves = name in ("v", "s")
        whole = numbers * 100 if found.format.dtype.kind in "iu" else numbers
        values = (2 * numbers - 1) * speed if moves else whole
        with np.errstate(under="ignore"):
            engine._simulation.start_from(found, values.astype(found.format.dtype))


def outcome(engine: FluidEngine, corner: tuple[int, int, int], every_reduction: bool) -> Outcome:
    """What is there at the end.

    Args:
        corner: in 0 … 1 024, says which voxels are looked at one by one.
        every_reduction: of each field; otherwise each field has the next one.
    """
    assert engine._simulation is not None
    voxels = {}
    for name, found in engine.fields.items():
        extent = engine.domain.at(found.resolution).size
        at = tuple(c * (n - 1) // 1024 for c, n in zip(corner, extent, strict=True))
        voxels[f"{name}{at}"] = engine.read(name, at)
    in_turn = zip(engine.fields, cycle(REDUCTIONS))
    asked = product(engine.fields, REDUCTIONS) if every_reduction else in_turn
    return Outcome(
        {name: engine.array(name) for name in engine.fields},
        {f"{op} of {name}": engine.reduce(name, op) for name, op in asked},
        voxels,
        engine._simulation.parts[0].slab.halo,
    )


def simulate(make: Callable[..., FluidEngine], scene: Scene, every_reduction: bool = True, **storage: Any) -> Outcome:
    """Run a scene to its end."""
    engine = make(scene.size, boundary=scene.boundary, **storage)
    try:
        declare(engine, scene.fields, scene.speed, scene.seed)
        for stencil in scene.stencils:
            engine.add_stencil(stencil)
        for _ in range(scene.steps):
            engine.step(0.5)
            for name in scene.by_hand:
                engine.run_stencil(name, 0.25)
        return outcome(engine, (1024, 511, 300), every_reduction)
    finally:
        engine.close()


def parts_that_fit(scene: Scene, storage: dict[str, Any]) -> dict[str, Any]:
    """The same way to store it with no more devices than there are planes of leaves."""
    most = -(-scene.size[0] // LEAF)
    return storage | ({"gpu_count": min(storage["gpu_count"], most)} if "gpu_count" in storage else {})


# ===== Drawing one


@st.composite
def offsets(draw: st.DrawFn, farthest: int = 9) -> str:
    x, y, z = (draw(st.integers(-farthest, farthest)) for _ in range(3))
    return f"coord + ivec3({x}, {y}, {z})"


def _scalar(value: str, spec: FieldSpec) -> str:
    """A number near 1 from a field's value."""
    if spec.format.dtype.kind in "iu":
        return f"0.01 * float({value} & 127{'u' if spec.format is Format.R32UI else ''})"
    return value + {1: "", 2: ".y", 3: ".x", 4: ".w"}[spec.format.components]


@st.composite
def reads(draw: st.DrawFn, source: FieldSpec, same_voxels: bool, flow: str | None) -> str:
    """One number from a field, read in any way that it can be."""
    whole = source.format.dtype.kind in "iu"
    moved = f'{draw(st.sampled_from((1.0, -0.7)))} * ReadField("{flow}", idx)' if flow else "vec3(2.3, -1.6, 0.4)"
    kinds = ["near", "near", "near", "own", "computed", "index"] if same_voxels else []
    kinds += [] if whole else ["sample", "sample", "clamp", "centre"]
    kind = draw(st.sampled_from(kinds))
    name = f'"{source.name}"'
    between = {
        "sample": f"SampleField({name}, vec3(coord) - {moved})",
        "clamp": f"ClampField({name}, vec3(coord) + {moved}, {_filled(source, 0.3)})",
        "centre": f"SampleField({name}, vec3(coord))",
        "computed": f"ReadField({name}, coord + ivec3({moved}))",
        "index": f"ReadField({name}, (idx * 7 + 3) % {draw(st.integers(50, 2000))})",
        "own": f"ReadField({name}, idx)",
    }
    value = f"ReadField({name}, {draw(offsets())})" if kind == "near" else between[kind]
    return _scalar(value, source)


def _filled(spec: FieldSpec, value: float) -> str:
    return f"{spec.format.glsl}({value})"


@st.composite
def stencils(draw: st.DrawFn, name: str, fields: tuple[str, ...]) -> StencilDefinition:
    """A stencil that reads some fields in some ways, and writes one or two of the same resolution."""
    first = BY_NAME[draw(st.sampled_from(fields))]
    alike = [f for f in fields if BY_NAME[f].resolution == first.resolution]
    written = dict.fromkeys([first.name, draw(st.sampled_from(alike))])
    in_place = {f for f in written if draw(st.booleans())}
    sources = [f for f in fields if f not in in_place]
    flow = "v" if first.resolution == 1 and "v" in sources else None
    lines, inputs = [], dict.fromkeys(written)
    for target in written:
        spec, terms = BY_NAME[target], []
        usable = [f for f in sources if f in alike or BY_NAME[f].format.is_float]
        for _ in range(draw(st.integers(1, 3)) if usable else 0):
            source = BY_NAME[draw(st.sampled_from(usable))]
            terms.append(draw(reads(source, source.name in alike, flow)))
            inputs |= dict.fromkeys([source.name, *([flow] if flow else [])])
        # At most the largest of what was there, so that nothing grows without bounds.
        mean = f"({' + '.join(terms)}) / {len(terms)}.0" if terms else "0.5"
        old = f'ReadField("{target}", idx)'
        value = f"{spec.format.glsl}(0.6 * {old} + 0.4 * {spec.format.glsl}({mean}))"
        if spec.format.dtype.kind in "iu":
            value = f"{spec.format.glsl}({old} / 2{'u' if spec.format is Format.R32UI else ''}) + "
            value += f"{spec.format.glsl}(abs(20.0 * ({mean}))) + {spec.format.glsl}(idx % 7)"
        where = draw(st.sampled_from(("", "if (coord.x % 3 != 1) ", "if (idx % 5 > 0) ")))
        lines.append(f'{where}WriteField("{target if target in in_place else target + "_new"}", idx, {value});')
    outputs = tuple(f if f in in_place else f + "_new" for f in written)
    iterations = draw(st.sampled_from((1, 1, 2, 3)))
    return StencilDefinition(name, "\n".join(lines), tuple(inputs), outputs, iterations=iterations)


@st.composite
def scenes(draw: st.DrawFn, longest: int = 41, widest: int = 18, most: int = 4) -> Scene:
    """A simulation of random stencils, long enough along x for slabs."""
    boundary = tuple(draw(st.sampled_from(("open", "clamp", "periodic"))) for _ in range(3))
    bounds = ((9, longest), (1, widest), (1, widest))
    size = tuple(draw(st.integers(*b)) for b in bounds)
    # A periodic side has whole voxels in every resolution.
    size = tuple(-(-n // 4) * 4 if rule == "periodic" else n for n, rule in zip(size, boundary, strict=True))
    fields = draw(st.sets(st.sampled_from([f.name for f in FIELDS]), min_size=2, max_size=4).map(sorted).map(tuple))
    count = draw(st.integers(1, most))
    program = tuple(draw(stencils(f"stencil{n}", fields)) for n in range(count))
    by_hand = tuple(f"stencil{n}" for n in range(count) if draw(st.integers(0, 4)) == 0)
    speed = draw(st.sampled_from((0.7, 3.0, 11.0, 40.0)))
    return Scene(size, boundary, fields, program, speed, by_hand=by_hand, seed=draw(st.integers(0, 9)))
