# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion blur of a simulation by one switch: what Cycles needs for it lies in the scene, the object and the volume.

Cycles blurs a volume along its grid "velocity" where the scene renders motion blur, the object takes part in it, and
the scale of the volume's velocity is not 0 (seen in 4.5 and 5.2). A scene's motion blur is that of all other objects,
too: switching a simulation off ends it only if switching it on began it.
"""

from __future__ import annotations

import bpy

from .parts import grids_of, parts_of

__all__ = ["is_on", "switch", "why_not"]

VELOCITY = "velocity"
#: Custom property of a scene whose motion blur was off until a simulation was switched on.
BEGUN = "fluid_motion_blur"


def is_on(simulation: bpy.types.Object) -> bool:
    """Whether motion blur is set up for a simulation in each scene that has it."""
    scenes = simulation.users_scene
    return _takes_part(simulation) and bool(scenes) and all(scene.render.use_motion_blur for scene in scenes)


def _takes_part(shown: bpy.types.Object) -> bool:
    cycles = getattr(shown, "cycles", None)  # there only where Cycles is enabled
    return shown.data.velocity_scale != 0.0 and (cycles is None or cycles.use_motion_blur)


def switch(simulation: bpy.types.Object, on: bool) -> None:
    """Let Cycles blur a simulation and its parts, or not."""
    for shown in (simulation, *parts_of(simulation)):
        if hasattr(shown, "cycles"):
            shown.cycles.use_motion_blur = on
        if on:
            shown.data.velocity_unit = "SECOND"
            shown.data.velocity_scale = shown.data.velocity_scale or 1.0
        shown.update_tag()
    for scene in simulation.users_scene:
        if on and not scene.render.use_motion_blur:
            scene.render.use_motion_blur = scene[BEGUN] = True
        elif not on and BEGUN in scene and not _others_take_part(scene, simulation):
            scene.render.use_motion_blur = False
            del scene[BEGUN]


def _others_take_part(scene: bpy.types.Scene, simulation: bpy.types.Object) -> bool:
    others = (o for o in scene.objects if o.type == "VOLUME" and o != simulation and o.fluid_addon.token)
    return any(map(_takes_part, others))


def why_not(simulation: bpy.types.Object) -> str | None:
    """Why motion blur that is on cannot be seen, in a few words for a panel; None where it can, or nothing is shown."""
    grids = grids_of(simulation)
    if not grids or not is_on(simulation):
        return None
    if VELOCITY not in grids:
        return f'No grid "{VELOCITY}" is exported'
    if grids[VELOCITY] != "vec3f":
        return f'The grid "{VELOCITY}" is no vector'
    if any(scene.render.engine != "CYCLES" for scene in simulation.users_scene):
        return "Only Cycles blurs volumes"
    return None
