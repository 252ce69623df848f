# SPDX-License-Identifier: GPL-3.0-or-later
"""From a stencil to the GLSL around it: the generated includes of `shaders/stencil.comp`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .block import Block
from .block_source import BlockSource, choose_block
from .body import Body, near_name
from .domain import Domain
from .field import Field
from .field_access import buffer_types, chunk_load, chunk_store, readers, voxel_load, writer
from .glsl_loops import MOST_TURNS
from .places import Lattice, Storage
from .status_source import status_types
from .stencil import BACK_BUFFER_SUFFIX, StencilDefinition

__all__ = ["CODE_FILE", "Constants", "KernelSource", "generate", "other_sizes"]

#: The file name under which the compiler reports lines of the artist's code.
CODE_FILE = "stencil code"
OTHER_SIZES = 11  # the first id of these specialisation constants; shaders/include/address.glsl has those before


@dataclass(frozen=True)
class Constants:
    """The uniform block that changes each step. Parameters follow the fixed part, in order of declaration.

    Attributes:
        parameters: (name, is a boolean) of each parameter.
    """

    parameters: tuple[tuple[str, bool], ...] = ()

    def glsl(self) -> str:
        members = [f"    {'bool' if is_bool else 'float'} {name};" for name, is_bool in self.parameters]
        return "\n".join(
            [
                "struct fs_Parameters {",
                *(members or ["    float fs_none;"]),
                "};",
                "layout(set = 0, binding = 0, scalar) uniform fs_Step {",
                "    float dt;",
                "    float time;",
                "    int frame;",
                "    fs_Parameters params;",
                "};",
            ]
        )


@dataclass(frozen=True)
class KernelSource:
    """The generated includes of `shaders/stencil.comp`.

    Attributes:
        slots: the names of the buffers in slot order.
        block: the voxels of one invocation.
        others: the further resolutions of the fields that it samples; their sizes are `other_sizes`.
        moved: the outputs in place that go to back buffers: a slab's stencil that may lack part of its halo runs again,
            and finds everything as it was.
    """

    fields: str
    body: str
    main: str
    slots: tuple[str, ...]
    block: Block
    others: tuple[Fraction, ...]
    moved: frozenset[str]

    def includes(self) -> dict[str, str]:
        """The texts by the names under which they are included."""
        return {"fields": self.fields, "body": self.body, "block": self.main}


def other_sizes(domain: Domain, others: Sequence[Fraction]) -> dict[int, int]:
    """Specialisation constants by id: the voxels of each further resolution along x, y, z."""
    sizes = [n for resolution in others for n in domain.at(resolution).size]
    return dict(enumerate(sizes, OTHER_SIZES))


def _sizes(number: int) -> list[str]:
    return [
        f"layout(constant_id = {OTHER_SIZES + 3 * number + place}) const int FS_SIZE_{axis}_{number} = 1;"
        for place, axis in enumerate("XYZ")
    ]


def generate(
    definition: StencilDefinition,
    body: Body,
    fields: dict[str, Field],
    constants: Constants,
    largest: Block,
    storage: Storage,
) -> KernelSource:
    """The generated parts of a stencil's kernel.

    Args:
        fields: every field that the stencil names, by name.
        largest: the largest block that an invocation may compute.
        storage: how fields lie on the device.
    """
    outputs = {name: fields[name.removesuffix(BACK_BUFFER_SUFFIX)] for name in definition.outputs}
    named = {name: fields[name] for name in definition.inputs} | {field.name: field for field in outputs.values()}
    moved = frozenset(name for name in outputs if name in named) if storage.slabs and body.is_far else frozenset()
    target = {name: name + BACK_BUFFER_SUFFIX if name in moved else name for name in outputs}
    slots = named | {target[name]: field for name, field in outputs.items()}
    own = next(iter(outputs.values())).resolution
    others = tuple(sorted({field.resolution for field in named.values()} - {own}))
    elsewhere = {other: Lattice(f"_{n}", other / own, other) for n, other in enumerate(others)}
    lattices = {own: Lattice("", Fraction(1), own)} | elsewhere
    block = choose_block(largest, named, body, outputs)
    places = storage.places(own, block)
    main = BlockSource(block, named, body.near, outputs, places, len(body.loops), body.is_far)
    text = [constants.glsl(), *buffer_types([field.format for field in slots.values()], block)]
    text += [line for n in range(len(others)) for line in _sizes(n)]
    text += [*status_types(), *places.constants()]
    text.append("layout(set = 0, binding = 1, scalar) uniform fs_Addresses {")
    text += [f"    fs_{field.format.glsl_stored}_buffer fs_at_{name};" for name, field in slots.items()]
    text += ["    fs_status_words fs_status;", *places.members(list(elsewhere.values())), "};"]
    text += [f'#include "{places.include}"', '#include "locate.glsl"']
    if body.is_watched:
        bounds = f"const int FS_MOST_TURNS = {MOST_TURNS}, FS_LOOPS = {len(body.loops)};"
        text += [bounds, '#include "watch.glsl"']
    for field in named.values():
        text += voxel_load(field, block)
        text += readers(field, body, lattices[field.resolution], places)
        text += chunk_load(field, block.chunk(field.format))
    for name, field in outputs.items():
        text += writer(name, field)
        text += chunk_store(name, target[name], field, block.chunk(field.format))
    near = [f"const {fields[name].format.glsl} {near_name(name, offset)}" for name, offset in body.near]
    line = definition.origin.line if definition.origin else 1
    wrapped = (
        f"void stencil({', '.join(['const int idx', 'const ivec3 coord', *near])}) {{\n"
        f'#line {line} "{CODE_FILE}"\n{body.code}\n'
        '#line 1 "generated"\n}\n'
    )
    return KernelSource("\n".join(text) + "\n", wrapped, main.text(), tuple(slots), block, others, moved)
