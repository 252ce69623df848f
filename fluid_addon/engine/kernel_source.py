# SPDX-License-Identifier: GPL-3.0-or-later
"""From a stencil to the GLSL around it: the two generated includes of `shaders/stencil.comp`."""

from __future__ import annotations

from dataclasses import dataclass

from .body import Body
from .field import Field
from .formats import Format
from .stencil import BACK_BUFFER_SUFFIX, StencilDefinition

__all__ = ["CODE_FILE", "Constants", "KernelSource", "generate"]

#: The file name under which the compiler reports lines of the artist's code.
CODE_FILE = "stencil code"


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
                "    float voxel_size;",
                "    fs_Parameters params;",
                "};",
            ]
        )


@dataclass(frozen=True)
class KernelSource:
    """The generated includes, and the names of the buffers in slot order."""

    fields: str
    body: str
    slots: tuple[str, ...]


def _accessors(field: Field, body: Body) -> list[str]:
    kind, name = field.format.glsl, field.name
    outside = field.glsl(field.background)
    lines = [f"{kind} fs_load_{name}(int i) {{ return {kind}(fs_at_{name}.v[i]); }}"]
    if name in body.own_reads:
        lines.append(f"{kind} fs_own_{name}() {{ return fs_load_{name}(fs_index); }}")
    if name in body.far_reads:
        lines += [
            f"{kind} fs_read_{name}({where} c) {{ int i; return locate({cast}, i) ? fs_load_{name}(i) : {outside}; }}"
            for where, cast in (("ivec3", "c"), ("int", "c"), ("uint", "int(min(c, 0x7fffffffu))"))
        ]
    if name in body.samples:
        lines += [
            f"{kind} fs_corner_{name}(ivec3 c) {{ int i; return locate(c, i) ? fs_load_{name}(i) : {outside}; }}",
            f"{kind} fs_sample_{name}(vec3 p) {{",
            "    vec3 q = fs_near_domain(p);",
            "    vec3 low = floor(q);",
            "    vec3 f = q - low;",
            "    ivec3 c = ivec3(low);",
            *(
                f"    {kind} r{x}{y} = mix(fs_corner_{name}(c + ivec3({x}, {y}, 0)), "
                f"fs_corner_{name}(c + ivec3({x}, {y}, 1)), f.z);"
                for x in (0, 1)
                for y in (0, 1)
            ),
            "    return mix(mix(r00, r01, f.y), mix(r10, r11, f.y), f.x);",
            "}",
        ]
    return lines


def _output(name: str, field: Field) -> list[str]:
    kind = field.format.glsl
    return [
        f"{kind} fs_out_{name};",
        f"bool fs_wrote_{name} = false;",
        f"void fs_write_{name}({kind} value) {{ fs_out_{name} = value; fs_wrote_{name} = true; }}",
    ]


def _store(name: str, field: Field) -> str:
    stored = field.format.glsl_stored
    if name == field.name:
        return f"    if (fs_wrote_{name}) {{ fs_at_{name}.v[fs_index] = {stored}(fs_out_{name}); }}"
    old = f"fs_at_{field.name}.v[fs_index]"
    return f"    fs_at_{name}.v[fs_index] = fs_wrote_{name} ? {stored}(fs_out_{name}) : {old};"


def generate(definition: StencilDefinition, body: Body, fields: dict[str, Field], constants: Constants) -> KernelSource:
    """The generated parts of a stencil's kernel.

    Args:
        fields: every field that the stencil names, by name.
    """
    fronts = dict.fromkeys(name.removesuffix(BACK_BUFFER_SUFFIX) for name in definition.outputs)
    names = list(dict.fromkeys([*definition.inputs, *fronts]))
    backs = [name for name in definition.outputs if name.endswith(BACK_BUFFER_SUFFIX)]
    slots = {name: fields[name] for name in names} | {
        name: fields[name.removesuffix(BACK_BUFFER_SUFFIX)] for name in backs
    }
    stored = {field.format: field.format.glsl_stored for field in slots.values()}
    text = [constants.glsl()]
    for format_, kind in stored.items():
        text.append(
            f"layout(buffer_reference, scalar, buffer_reference_align = {format_.dtype.itemsize}) "
            f"restrict buffer fs_{kind}_buffer {{ {kind} v[]; }};"
        )
    text.append("layout(set = 0, binding = 1, scalar) uniform fs_Addresses {")
    text += [f"    fs_{stored[field.format]}_buffer fs_at_{name};" for name, field in slots.items()]
    text.append("};")
    for name in names:
        text += _accessors(fields[name], body)
    outputs = {name: slots[name] for name in definition.outputs}
    for name, field in outputs.items():
        text += _output(name, field)
    text.append("void fs_store() {")
    text += [_store(name, field) for name, field in outputs.items()]
    text.append("}")
    line = definition.origin.line if definition.origin else 1
    wrapped = (
        f'void stencil(const int idx, const ivec3 coord) {{\n#line {line} "{CODE_FILE}"\n{body.code}\n'
        f'#line 1 "generated"\n}}\n'
    )
    return KernelSource("\n".join(text) + "\n", wrapped, tuple(slots))


def uses_half(fields: list[Field]) -> bool:
    return any(f.format in (Format.R16F, Format.R16G16B16F) for f in fields)
