# SPDX-License-Identifier: GPL-3.0-or-later
"""The Lua interface: what each call takes, by name and kind (docs/lua-reference.md says what it means)."""

from __future__ import annotations

from ..engine.solver import METHODS as SOLVER_METHODS
from .arguments import (
    Call,
    Option,
    boolean,
    boundary,
    components,
    default,
    device,
    field_format,
    handle,
    number,
    one_of,
    path,
    sides,
    substeps,
    text,
    title,
    titles,
    triple,
    whole,
)

__all__ = ["CALLS", "METHODS", "PROPERTIES"]

_SIZE = triple(whole, "three whole numbers")
_POSITION = triple(number, "three numbers")
_FIELD = Option("field", title, required=True)
_FIELDS = Option("fields", titles)
_PATH = Option("path", path, required=True)
_DT = Option("dt", number)

CALLS: dict[str, Call] = {
    "new": Call(
        "FluidEngine.new",
        (
            Option("domain_size", _SIZE),
            Option("voxel_size", number),
            Option("origin", _POSITION),
            Option("gpu_count", whole),
            Option("device", device),
            Option("grid_file", path),
            Option("sparse", boolean),
            Option("boundary", boundary),
        ),
    ),
    "param": Call(
        "param",
        (
            Option("name", title, required=True),
            Option("default", default, required=True),
            Option("min", number, python_name="minimum"),
            Option("max", number, python_name="maximum"),
            Option("help", text),
        ),
        positional=1,
        table_last=True,
    ),
    "add_field": Call(
        "sim:add_field",
        (
            Option("name", title, required=True),
            Option("format", field_format, required=True),
            Option("init", components),
            Option("staggered", boolean),
            Option("resolution", number),
        ),
        positional=3,
        table_last=True,
    ),
    "object": Call("scene.object", (Option("name", title, required=True),), positional=1),
    "add_object": Call(
        "sim:add_object",
        (Option("name", title, required=True), Option("object", handle, required=True)),
        positional=2,
    ),
    "add_stencil": Call(
        "sim:add_stencil",
        (
            Option("name", title, required=True),
            Option("inputs", titles),
            Option("outputs", titles, required=True),
            Option("code", text, required=True),
            Option("requires_halos", boolean),
            Option("iterations", whole),
            Option("enabled", boolean),
        ),
        positional=1,
        table_last=True,
    ),
    "add_solver": Call(
        "sim:add_solver",
        (
            Option("name", title, required=True),
            Option("unknown", title, required=True),
            Option("rhs", title, required=True),
            Option("faces", title),
            Option("sides", sides),
            Option("shift", number),
            Option("shift_per_dt", number),
            Option("tolerance", number),
            Option("most", whole),
            Option("method", one_of(*SOLVER_METHODS)),
            Option("enabled", boolean),
        ),
        positional=1,
        table_last=True,
    ),
    "solved": Call("sim:solved", (Option("name", title, required=True),), positional=1),
    "run_stencil": Call("sim:run_stencil", (Option("name", title, required=True), _DT), positional=2, table_last=True),
    "step": Call("sim:step", (Option("dt", number, required=True),), positional=1),
    "run": Call(
        "sim:run",
        (
            Option("frames", whole, required=True),
            Option("fps", number),
            Option("substeps", substeps),
            Option("cfl", number),
            Option("export", path),
            _FIELDS,
            Option("half", boolean),
        ),
    ),
    "activate": Call(
        "sim:activate",
        (
            Option("field", title),
            Option("above", number),
            Option("below", number),
            Option("margin", number),
            Option("low", _POSITION),
            Option("high", _POSITION),
            Option("default", boolean),
        ),
    ),
    "reduce": Call(
        "sim:reduce", (_FIELD, Option("op", one_of("sum", "min", "max", "norm"), required=True)), positional=2
    ),
    "read": Call("sim:read", (_FIELD, Option("coord", _SIZE, required=True)), positional=2),
    "fill": Call("sim:fill", (_FIELD, Option("value", components, required=True)), positional=2),
    "load": Call("sim:load", (_FIELD, _PATH, Option("grid", title)), positional=2, table_last=True),
    "enable": Call("sim:enable", (Option("name", title, required=True), Option("enabled", boolean)), positional=2),
    "export_vdb": Call("sim:export_vdb", (_PATH, _FIELDS, Option("half", boolean)), positional=1, table_last=True),
    "export_nvdb": Call("sim:export_nvdb", (_PATH, _FIELDS), positional=1, table_last=True),
}

#: The methods of an engine, and its properties.
METHODS = tuple(name for name in CALLS if name not in ("new", "param", "object"))
PROPERTIES = ("frame", "time", "domain_size", "voxel_size", "origin", "boundary", "sparse")
