# SPDX-License-Identifier: GPL-3.0-or-later
"""Who we are to Blender: the name of the extension, and the folder in which it may keep things."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..diagnostics import FluidError

__all__ = ["PACKAGE", "say", "user_folder"]

#: The extension's own package, such as "bl_ext.user_default.fluid_addon"; preferences go by this name.
PACKAGE = (__package__ or "").rpartition(".fluid_addon.blender")[0] or "fluid_addon"


def user_folder(name: str) -> Path:
    """The folder `name` among the artist's own files, made if need be. It outlives updates of the extension."""
    try:
        folder = bpy.utils.extension_path_user(PACKAGE, path=name, create=True)
    except ValueError:  # not installed as an extension
        folder = bpy.utils.user_resource("DATAFILES", path=f"fluid_addon/{name}", create=True)
    return Path(folder)


def say(operator: bpy.types.Operator, error: FluidError) -> set[str]:
    """Report an error to whoever called the operator; returns what its `execute` returns then."""
    for problem in error.diagnostics:
        operator.report({"ERROR"}, problem.message + (f" {problem.hint}" if problem.hint else ""))
    return {"CANCELLED"}
