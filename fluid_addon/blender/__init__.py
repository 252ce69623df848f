# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's side of the add-on, and the only room that imports bpy.

Importing this package imports no bpy, so that the command line can say in its own words that bpy is missing.

A script that Blender is given, `blender -b scene.blend --python run.py`, needs one function of it, `run_scene`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import bpy

__all__ = ["register", "run_scene", "unregister"]

#: In this order: what comes later refers to what was registered before.
_PARTS = (
    "preferences",
    "preference_operators",
    "simulation",
    "trust",
    "trust_dialog",
    "live",
    "run_operators",
    "resume_operators",
    "domain_operators",
    "parameter_operators",
    "material_operators",
    "cache_operators",
    "import_operator",
    "text_operators",
    "text_header",
    "text_panel",
    "preset_operators",
    "view_panel",
    "command",
)


def register() -> None:
    """Called by Blender when the extension is enabled: all of it, or, where an error is raised, nothing."""
    done = []
    try:
        for part in _PARTS:
            module = import_module(f".{part}", __package__)
            module.register()
            done.append(module)
    except Exception:
        for module in reversed(done):
            module.unregister()
        raise


def unregister() -> None:
    """Called by Blender when the extension is disabled, or taken away for an update."""
    for part in reversed(_PARTS):
        import_module(f".{part}", __package__).unregister()


def run_scene(
    scene: bpy.types.Scene | None = None,
    *,
    simulations: Sequence[str] | None = None,
    trust: bool = False,
    resume: bool = False,
) -> int:
    """Run the simulations of a scene to their end, and let the scene show their frames; `headless` says it all."""
    from .headless import run_scene as run

    return run(scene, simulations=simulations, trust=trust, resume=resume)
