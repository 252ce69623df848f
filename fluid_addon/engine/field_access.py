# SPDX-License-Identifier: GPL-3.0-or-later
"""The GLSL functions through which a kernel reaches one field: by chunk, by voxel, at a computed place, between voxels.

Where a voxel lies is none of their business: they take an index, which `places.py` and `storage_*.glsl` give.
"""

from __future__ import annotations

from .block import Block, Chunk
from .body import Body
from .field import Field
from .formats import Format
from .places import Lattice, Places
from .sampling import sampler

__all__ = ["buffer_types", "chunk_load", "chunk_store", "readers", "voxel_load", "writer"]

_COMPONENTS = "xyzw"


def buffer_types(formats: list[Format], block: Block) -> list[str]:
    """The types of the references through which buffers are reached."""
    kinds = {format_.glsl_stored: format_.dtype.itemsize for format_ in formats}
    if block.words:
        kinds["uint64_t"] = 8
    return [
        f"layout(buffer_reference, scalar, buffer_reference_align = {alignment}) "
        f"restrict buffer fs_{kind}_buffer {{ {kind} v[]; }};"
        for kind, alignment in kinds.items()
    ]


def _words(name: str, first: str, count: int) -> list[str]:
    view = f"fs_uint64_t_buffer(fs_at_{name})"
    return [f"    uvec2 w{i} = unpackUint2x32({view}.v[{first} + {i}]);" for i in range(count)]


def _scalars(format_: Format, words: int) -> list[str]:
    """The components in 64-bit words `w0`, `w1`, … in the order of memory."""
    halves = [f"w{i}.{side}" for i in range(words) for side in "xy"]
    if format_.is_half:
        return [f"unpackHalf2x16({half}).{side}" for half in halves for side in "xy"]
    convert = {"float": "uintBitsToFloat", "int": "int", "uint": "uint"}[format_.scalar]
    return [f"{convert}({half})" for half in halves]


def voxel_load(field: Field, block: Block) -> list[str]:
    """`fs_load_f(i)`: voxel i."""
    kind, name, format_ = field.format.glsl, field.name, field.format
    begin = f"{kind} fs_load_{name}(const int i) {{"
    words = Block(words=block.words).chunk(format_).words
    if words:
        value = f"{kind}({', '.join(_scalars(format_, words))})"
        return [begin, *_words(name, f"{words} * i", words), f"    return {value};", "}"]
    if block.words and format_ is Format.R32G32B32F:
        # An odd voxel begins in the middle of a word. The last word may reach beyond the last voxel, never the buffer.
        a, b, c, d = _scalars(format_, 2)
        lines = _words(name, "3 * (i >> 1) + (i & 1)", 2)
        lines += [f"    vec3 even = vec3({a}, {b}, {c});", f"    vec3 odd = vec3({b}, {c}, {d});"]
        return [begin, *lines, "    return (i & 1) == 0 ? even : odd;", "}"]
    return [begin, f"    return {kind}(fs_at_{name}.v[i]);", "}"]


def chunk_load(field: Field, chunk: Chunk) -> list[str]:
    """`fs_load_chunk_f(i, v0, v1, …)`: the voxels of chunk i."""
    kind, name, count = field.format.glsl, field.name, field.format.components
    places = ", ".join(f"out {kind} v{k}" for k in range(chunk.voxels))
    begin = f"void fs_load_chunk_{name}(const int i, {places}) {{"
    if chunk.voxels == 1:
        return [begin, f"    v0 = fs_load_{name}(i);", "}"]
    scalars = _scalars(field.format, chunk.words)
    voxels = [f"{kind}({', '.join(scalars[k * count : (k + 1) * count])})" for k in range(chunk.voxels)]
    values = [f"    v{k} = {voxel};" for k, voxel in enumerate(voxels)]
    return [begin, *_words(name, f"{chunk.words} * i", chunk.words), *values, "}"]


def chunk_store(name: str, target: str, field: Field, chunk: Chunk) -> list[str]:
    """`fs_store_chunk_f(i, v0, v1, …)` for the output `name`, into the buffer that is called `target`."""
    format_ = field.format
    places = ", ".join(f"const {format_.glsl} v{k}" for k in range(chunk.voxels))
    lines = [f"void fs_store_chunk_{name}(const int i, {places}) {{"]
    if not chunk.words:
        return [*lines, f"    fs_at_{target}.v[i] = {format_.glsl_stored}(v0);", "}"]
    parts = _COMPONENTS[: format_.components] if format_.components > 1 else ""
    scalars = [f"v{k}.{part}" if parts else f"v{k}" for k in range(chunk.voxels) for part in parts or "x"]
    if format_.is_half:
        halves = [f"packHalf2x16(vec2({a}, {b}))" for a, b in zip(scalars[::2], scalars[1::2], strict=True)]
    else:
        convert = "floatBitsToUint" if format_.is_float else "uint"
        halves = [f"{convert}({scalar})" for scalar in scalars]
    for word in range(chunk.words):
        low, high = halves[2 * word], halves[2 * word + 1]
        place = f"fs_uint64_t_buffer(fs_at_{target}).v[{chunk.words} * i + {word}]"
        lines.append(f"    {place} = packUint2x32(uvec2({low}, {high}));")
    return [*lines, "}"]


def readers(field: Field, body: Body, lattice: Lattice, places: Places) -> list[str]:
    """What the artist's reads at computed places and between voxels call."""
    kind, name = field.format.glsl, field.name
    outside = field.glsl(field.background)
    lines: list[str] = []
    if name in body.far_reads:
        for where in ("ivec3", "int", "uint"):
            lines += [
                f"{kind} fs_read_{name}(const {where} c) {{",
                "    int i;",
                "    bool inside = locate(c, i);",
                f"    {kind} v = fs_load_{name}(i);",
                *(_walls(field) if field.staggered and where == "ivec3" else ()),
                *(() if where == "ivec3" else ("    fs_look_at(inside);",)),
                f"    return inside ? v : {outside};",
                "}",
            ]
    for access, part in sorted({(access, part) for access, sampled, part in body.samples if sampled == name}):
        lines += sampler(field, lattice, places, access, part)
    return lines


def _walls(field: Field) -> list[str]:
    """Beyond the high end of a clamped axis a face along that axis has no flow but the background's."""
    outside = field.glsl_components(field.background)
    return [
        f"    v.{a} = fs_is_wall(c.{a}, FS_SIZE_{a.upper()}, FS_BOUNDARY_{a.upper()}) ? {wall} : v.{a};"
        for a, wall in zip("xyz", outside, strict=True)
    ]


def writer(name: str, field: Field) -> list[str]:
    """What the artist's writes call; `fs_out_f` holds the old value until then."""
    kind = field.format.glsl
    return [f"{kind} fs_out_{name};", f"void fs_write_{name}(const {kind} value) {{ fs_out_{name} = value; }}"]
