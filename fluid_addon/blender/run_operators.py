# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Simulation, Stop, Check."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.props import StringProperty

from ..diagnostics import FluidError, fail
from . import live, simulation, trust
from .package import say

__all__ = ["OfSimulation", "shown_text"]


def shown_text(context: bpy.types.Context) -> bpy.types.Text | None:
    """The text of the Text Editor in which the mouse is."""
    space = context.space_data
    return space.text if space is not None and space.type == "TEXT_EDITOR" else None


class OfSimulation:
    """Operators that work on a simulation: the named one, else that of the shown text, else the active object."""

    name: StringProperty(
        name="Simulation", description="The object; by default that of the shown text, or the active one"
    )

    def simulation(self, context: bpy.types.Context) -> bpy.types.Object | None:
        if self.name:
            found = context.scene.objects.get(self.name)
            return found if simulation.is_simulation(found) else None
        text = shown_text(context)
        if text is not None:
            return simulation.simulation_of_text(context.scene, text)
        active = context.view_layer.objects.active
        return active if simulation.is_simulation(active) else None

    def needed(self, context: bpy.types.Context) -> bpy.types.Object:
        """As `there`, but a shown text gets one if it has none. Raises no-simulation."""
        text = shown_text(context)
        if text is not None and not self.name and self.simulation(context) is None:
            title = text.name.removesuffix(".lua").replace("_", " ").strip().title() or "Fluid"
            return simulation.new_simulation(context.scene, text, title, context.collection)
        return self.there(context)

    def there(self, context: bpy.types.Context) -> bpy.types.Object:
        """As `simulation`. Raises no-simulation where there is none."""
        found = self.simulation(context)
        if found is None:
            what = f'There is no simulation "{self.name}".' if self.name else "No simulation is chosen."
            raise fail("no-simulation", what, "Select its object, or add a preset.")
        return found


class FLUID_ADDON_OT_run_simulation(OfSimulation, bpy.types.Operator):  # noqa: N801
    """Run the Lua script as it stands in the editor; its frames appear in the scene"""

    bl_idname = "fluid_addon.run_simulation"
    bl_label = "Run Simulation"
    bl_options: ClassVar = {"UNDO"}  # not REGISTER: changing a setting of the last operation would run again

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene is not None

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        try:
            found = self.needed(context)
        except FluidError as error:
            return say(self, error)
        if found.fluid_addon.text is not None and trust.untrusted_texts(found.fluid_addon.text):
            return bpy.ops.fluid_addon.trust_script("INVOKE_DEFAULT", name=found.name)
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            live.start(self.needed(context), context.scene)
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


class FLUID_ADDON_OT_stop_simulation(OfSimulation, bpy.types.Operator):  # noqa: N801
    """End the run; finished frames stay"""

    bl_idname = "fluid_addon.stop_simulation"
    bl_label = "Stop"

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = self.simulation(context)
        if found is None or not live.RUNS.is_running(found.fluid_addon.token):
            return {"CANCELLED"}
        live.stop(found.fluid_addon.token)
        return {"FINISHED"}


class FLUID_ADDON_OT_check_script(OfSimulation, bpy.types.Operator):  # noqa: N801
    """Look for every problem of the script, and read its parameters, with nothing computed"""

    bl_idname = "fluid_addon.check_script"
    bl_label = "Check"
    bl_options: ClassVar = {"UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            live.start(self.needed(context), context.scene, verb="check")
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


_CLASSES = (FLUID_ADDON_OT_run_simulation, FLUID_ADDON_OT_stop_simulation, FLUID_ADDON_OT_check_script)

register, unregister = bpy.utils.register_classes_factory(_CLASSES)
