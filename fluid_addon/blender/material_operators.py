# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit Material: a fresh material from the grids that a simulation shows.

A run leaves a material alone that is there already: it may be the artist's work. Where the script exports other grids
than before, or much thicker smoke, the artist asks for another one here.
"""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.props import StringProperty

from ..diagnostics import FluidError, fail
from . import simulation, volume_object
from .package import say

__all__ = ["register", "unregister"]


class FLUID_ADDON_OT_fit_material(bpy.types.Operator):  # noqa: N801 - Blender derives the class's place from its name
    """Replace the material of the simulation by one that fits the grids of its bake"""

    bl_idname = "fluid_addon.fit_material"
    bl_label = "Fit Material"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    name: StringProperty(name="Simulation", description="The object; by default the active one", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if any(volume_object.BAKE in found for found in simulation.simulations(context.scene)):
            return True
        cls.poll_message_set("No simulation of this scene shows a bake yet")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = context.scene.objects.get(self.name) if self.name else context.view_layer.objects.active
        try:
            if not simulation.is_simulation(found):
                what = f'There is no simulation "{self.name}".' if self.name else "No simulation is chosen."
                raise fail("no-simulation", what, "Select its object, or add a preset.")
            volume_object.fit_material(found)
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


def register() -> None:
    bpy.utils.register_class(FLUID_ADDON_OT_fit_material)


def unregister() -> None:
    bpy.utils.unregister_class(FLUID_ADDON_OT_fit_material)
