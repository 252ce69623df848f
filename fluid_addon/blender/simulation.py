# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulation of a scene: a Volume object that knows its script, its parameters and its bake.

It is an object so that it is named, copied, linked, animated and deleted as everything else in a scene is. Its
parameters are custom properties of the object (module parameters). Nothing keeps a reference to it: it is found by its
token each time, since undo and loading replace all objects.
"""

from __future__ import annotations

import secrets

import bpy
from bpy.props import BoolProperty, IntProperty, PointerProperty, StringProperty

from . import motion_blur

__all__ = [
    "FORMAT",
    "FluidSimulation",
    "find",
    "give_own_token",
    "is_simulation",
    "new_simulation",
    "simulation_of_text",
    "simulations",
    "why_newer",
]

#: What these properties mean; rises when an older add-on would misread them.
FORMAT = 1


# These have names since a lambda in an annotation does not see this module.
def _is_blurred(settings: FluidSimulation) -> bool:
    return motion_blur.is_on(settings.id_data)


def _switch_blur(settings: FluidSimulation, on: bool) -> None:
    motion_blur.switch(settings.id_data, on)


class FluidSimulation(bpy.types.PropertyGroup):
    """`Object.fluid_addon`."""

    token: StringProperty(name="Token", description="Names the simulation for good; empty for any other object")
    format: IntProperty(name="Format", default=0)
    made_with: StringProperty(name="Made With", description="The version of Fluid Script that saved these settings")
    text: PointerProperty(type=bpy.types.Text, name="Script", description="The Lua text that is run")
    declared: StringProperty(name="Declared", description="The parameters that the script declares, as JSON")
    follow: BoolProperty(
        name="Follow",
        description="Move the timeline to the newest frame while the simulation runs",
        default=True,
    )
    fit_range: BoolProperty(
        name="Fit Frame Range",
        description="Let the scene's frame range be that of the bake when a run ends",
        default=True,
    )
    motion_blur: BoolProperty(
        name="Motion Blur",
        description="Blur the volume along its velocity: the grid must be exported, and Cycles must render it",
        get=_is_blurred,
        set=_switch_blur,
    )


def is_simulation(candidate: bpy.types.Object | None) -> bool:
    return candidate is not None and candidate.type == "VOLUME" and bool(candidate.fluid_addon.token)


def why_newer(found: bpy.types.Object) -> tuple[str, str] | None:
    """What keeps a simulation that a newer add-on has saved from being run or changed by this one, and what helps."""
    own = found.fluid_addon
    if own.format <= FORMAT:
        return None
    message = f'"{found.name}" was made by Fluid Script {own.made_with}, which is newer than this one.'
    return message, "Update Fluid Script to run it; its frames play as they are."


def simulations(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The simulations of a scene by name. Linked ones cannot be changed and are left out."""
    return sorted((o for o in scene.objects if is_simulation(o) and o.library is None), key=lambda o: o.name)


def find(token: str) -> bpy.types.Object | None:
    """The simulation of that token, in whichever scene it is. An object that is in no scene was deleted."""
    for candidate in bpy.data.objects:
        if is_simulation(candidate) and candidate.fluid_addon.token == token and candidate.library is None:
            return candidate if candidate.users_scene else None
    return None


def simulation_of_text(scene: bpy.types.Scene, text: bpy.types.Text | None) -> bpy.types.Object | None:
    """The simulation that runs a text: the active object where several do, else the first by name."""
    running = [found for found in simulations(scene) if text is not None and found.fluid_addon.text == text]
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer else None
    return active if active in running else (running[0] if running else None)


def new_simulation(
    scene: bpy.types.Scene, text: bpy.types.Text | None, name: str, collection: bpy.types.Collection | None = None
) -> bpy.types.Object:
    """Make a simulation of `text`, and link it into `collection`, by default the scene's own one."""
    from .. import VERSION

    volume = bpy.data.volumes.new(name)
    volume.velocity_unit = "SECOND"
    made = bpy.data.objects.new(name, volume)
    settings = made.fluid_addon
    settings.token, settings.format, settings.made_with, settings.text = secrets.token_hex(8), FORMAT, VERSION, text
    (collection or scene.collection).objects.link(made)
    return made


def give_own_token(simulation: bpy.types.Object) -> None:
    """A copy has the token of its original: give it another one. The original is whoever was there first."""
    token = simulation.fluid_addon.token
    others = [o for o in bpy.data.objects if o != simulation and o.fluid_addon.token == token and o.library is None]
    if any(other.session_uid < simulation.session_uid for other in others):
        simulation.fluid_addon.token = secrets.token_hex(8)


def register() -> None:
    bpy.utils.register_class(FluidSimulation)
    bpy.types.Object.fluid_addon = PointerProperty(type=FluidSimulation, name="Fluid Script")


def unregister() -> None:
    del bpy.types.Object.fluid_addon
    bpy.utils.unregister_class(FluidSimulation)
