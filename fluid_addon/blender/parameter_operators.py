# SPDX-License-Identifier: GPL-3.0-or-later
"""Reset Parameters, and the menu of value sets: a script's parameters under a name, for this scene and others."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.props import StringProperty

from ..diagnostics import FluidError, fail
from ..run import value_sets
from . import parameters
from .package import say, user_folder
from .run_operators import OfSimulation

__all__: list[str] = []

#: What the menu shows: the simulation's name, and its sets as they were when it was opened.
_shown: tuple[str, list[value_sets.ValueSet]] = ("", [])


class _OfDeclared(OfSimulation):
    """Operators that work on the parameters of a simulation."""

    def chosen(self, context: bpy.types.Context) -> bpy.types.Object:
        """Raises no-simulation."""
        found = self.simulation(context)
        if found is None:
            what = f'There is no simulation "{self.name}".' if self.name else "No simulation is chosen."
            raise fail("no-simulation", what, "Select its object.")
        return found

    def script(self, context: bpy.types.Context) -> str:
        """The name by which the shelf knows the script. Raises no-simulation, script-missing."""
        found = self.chosen(context)
        if found.fluid_addon.text is None:
            raise fail("script-missing", f'"{found.name}" has no script.', "Choose its text first.")
        return found.fluid_addon.text.name

    def tell(self, sentences: list[str]) -> None:
        if sentences:
            self.report({"WARNING"}, " ".join(sentences))


class FLUID_ADDON_OT_reset_parameters(_OfDeclared, bpy.types.Operator):  # noqa: N801
    """Set parameters back to the values that the script gives them; animated ones stay"""

    bl_idname = "fluid_addon.reset_parameters"
    bl_label = "Reset Parameters"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    parameter: StringProperty(name="Parameter", description="The one to reset; all of them if empty")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.tell(parameters.reset(self.chosen(context), self.parameter))
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


class FLUID_ADDON_OT_choose_values(_OfDeclared, bpy.types.Operator):  # noqa: N801
    """Use, save or remove a named set of values for the parameters of this script"""

    bl_idname = "fluid_addon.choose_values"
    bl_label = "Values"
    bl_options: ClassVar = {"INTERNAL"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        global _shown
        try:
            found = self.chosen(context)
            _shown = (found.name, value_sets.list_value_sets(user_folder("values"), self.script(context)))
        except FluidError as error:
            return say(self, error)
        bpy.ops.wm.call_menu(name="FLUID_ADDON_MT_values")
        return {"FINISHED"}


class _OfValues(_OfDeclared):
    """Operators that work on a value set."""

    values: StringProperty(name="Name", description="What the set of values is called", maxlen=63)


class FLUID_ADDON_OT_save_values(_OfValues, bpy.types.Operator):  # noqa: N801
    """Keep the values of all parameters under a name, for this and other files"""

    bl_idname = "fluid_addon.save_values"
    bl_label = "Save Values"
    bl_options: ClassVar = {"REGISTER"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, confirm_text="Save")

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.activate_init = True
        self.layout.prop(self, "values")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            found = parameters.current_values(self.chosen(context))
            value_sets.save_values(user_folder("values"), self.script(context), self.values.strip(), found)
        except FluidError as error:
            return say(self, error)
        self.report({"INFO"}, f'Saved {len(found)} values as "{self.values.strip()}".')
        return {"FINISHED"}


class FLUID_ADDON_OT_apply_values(_OfValues, bpy.types.Operator):  # noqa: N801
    """Set the parameters to these values"""

    bl_idname = "fluid_addon.apply_values"
    bl_label = "Apply Values"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            values = value_sets.load_values(user_folder("values"), self.script(context), self.values)
            self.tell(parameters.apply_values(self.chosen(context), values))
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


class FLUID_ADDON_OT_remove_values(_OfValues, bpy.types.Operator):  # noqa: N801
    """Delete this set of values from your files"""

    bl_idname = "fluid_addon.remove_values"
    bl_label = "Remove Values"
    bl_options: ClassVar = {"REGISTER"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(
            self, event, title=f'Remove the values "{self.values}"?', confirm_text="Remove"
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            value_sets.remove_values(user_folder("values"), self.script(context), self.values)
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


def _rows(layout: bpy.types.UILayout, operator: str, icon: str) -> None:
    name, sets = _shown
    for each in sets:
        row = layout.row()
        row.enabled = not each.problem or operator.endswith("remove_values")
        title = f"{each.name} (broken: {each.problem.rstrip('.')})" if each.problem else each.name
        made = row.operator(operator, text=title, translate=False, icon="ERROR" if each.problem else icon)
        made.name, made.values = name, each.name


class FLUID_ADDON_MT_values(bpy.types.Menu):  # noqa: N801
    """Sets of values for the parameters of this script"""

    bl_label = "Values"

    def draw(self, _context: bpy.types.Context) -> None:
        name, sets = _shown
        _rows(self.layout, "fluid_addon.apply_values", "NONE")
        if sets:
            self.layout.separator()
        self.layout.operator_context = "INVOKE_DEFAULT"
        self.layout.operator("fluid_addon.save_values", text="Save Values…", icon="ADD").name = name
        if sets:
            self.layout.menu("FLUID_ADDON_MT_remove_values", icon="REMOVE")


class FLUID_ADDON_MT_remove_values(bpy.types.Menu):  # noqa: N801
    """Sets of values to delete"""

    bl_label = "Remove Values"

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.operator_context = "INVOKE_DEFAULT"
        _rows(self.layout, "fluid_addon.remove_values", "NONE")


_CLASSES = (
    FLUID_ADDON_OT_reset_parameters,
    FLUID_ADDON_OT_choose_values,
    FLUID_ADDON_OT_save_values,
    FLUID_ADDON_OT_apply_values,
    FLUID_ADDON_OT_remove_values,
    FLUID_ADDON_MT_values,
    FLUID_ADDON_MT_remove_values,
)


def register() -> None:
    for each in _CLASSES:
        bpy.utils.register_class(each)


def unregister() -> None:
    global _shown
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
    _shown = ("", [])
