# SPDX-License-Identifier: GPL-3.0-or-later
"""The GLSL functions that read a field between its voxels, or between the faces of its voxels."""

from __future__ import annotations

from itertools import product

from .field import Field
from .places import Lattice, Places

__all__ = ["sampler"]

_AXES = "xyz"
_ENDS = ("low", "high")


def sampler(field: Field, lattice: Lattice, places: Places, access: str, part: str) -> list[str]:
    """One of the functions that an artist's accesses between voxels call.

    `fs_sample_f(p)`: trilinear between voxel centres, for a staggered field each component between its own faces.
    `fs_clamp_f(p, value)`: `value` kept between the least and the most of the eight voxels (or faces) around p.

    Args:
        lattice: the field's voxels.
        places: where they lie in memory.
        access: "sample" or "clamp".
        part: "x", "y", "z" for one component of a staggered field: `fs_sampleX_f`; "" for the whole value.
    """
    kind, name = field.format.glsl, field.name
    value = f", const {kind} value" if access == "clamp" else ""
    if not field.staggered:
        load = f"fs_load_{name}($index)"
        return [
            f"{kind} fs_{access}_{name}(const vec3 at{value}) {{",
            f"    const vec3 p = {lattice.position()};",
            "    fs_look_at(p);",
            *_spans(_AXES, "", lattice),
            *places.around(_AXES, "", lattice),
            *_corners(kind, "", _AXES, load, field.glsl(field.background), lattice, places),
            f"    return {_result(access, '', _AXES)};",
            "}",
        ]
    wanted = part or _AXES
    returned = "float" if part else kind
    lines = [f"{returned} fs_{access}{part.upper()}_{name}(const vec3 at{value}) {{"]
    lines += [f"    const vec3 p = {lattice.position()};", "    fs_look_at(p);"]
    lines += _spans(_AXES.replace(part, ""), "", lattice)
    lines += _spans(wanted, "face_", lattice)
    outside = field.glsl_components(field.background)
    results = []
    for axis in wanted:
        component = _AXES.index(axis)
        spans = [f"face_{a}" if a == axis else a for a in _AXES]
        load = f"float(fs_at_{name}.v[$index].{axis})"
        lines += places.around(spans, f"_{axis}", lattice)
        lines += _corners("float", f"_{axis}", spans, load, outside[component], lattice, places)
        results.append(_result(access, f"_{axis}", spans, f".{axis}"))
    whole = f"{kind}({', '.join(results)})"
    return [*lines, f"    return {results[0] if part else whole};", "}"]


def _spans(axes: str, prefix: str, lattice: Lattice) -> list[str]:
    """Along each axis the two voxels around p, or with the prefix "face_" the two faces."""
    function, shift = ("fs_face_span", " + 0.5") if prefix else ("fs_span", "")
    return [
        f"    fs_Span {prefix}{axis} = {function}(p.{axis}{shift}, {lattice.size(axis)}, FS_BOUNDARY_{axis.upper()});"
        for axis in axes
    ]


def _corners(
    kind: str, ending: str, spans: str | list[str], load: str, outside: str, lattice: Lattice, places: Places
) -> list[str]:
    """`low_low_low…` to `high_high_high…`: the values at the corners of the cell that the spans name."""
    lines = []
    for ends in product(_ENDS, repeat=3):
        name = "_".join(ends) + ending
        there = [f"{span}.has_{end}" for span, end in zip(spans, ends, strict=True)]
        lines.append(f"    {kind} {name} = {load.replace('$index', places.corner(spans, ends, ending, lattice))};")
        lines.append(f"    {name} = all(bvec3({', '.join(there)})) ? {name} : {outside};")
    return lines


def _result(access: str, ending: str, spans: str | list[str], component: str = "") -> str:
    names = ["_".join(ends) + ending for ends in product(_ENDS, repeat=3)]
    if access == "clamp":
        least, most = names[0], names[0]
        for name in names[1:]:
            least, most = f"min({least}, {name})", f"max({most}, {name})"
        return f"clamp(value{component}, {least}, {most})"
    for span in reversed(spans):  # z first, then y, then x
        names = [f"mix({low}, {high}, {span}.part)" for low, high in zip(names[::2], names[1::2], strict=True)]
    return names[0]
