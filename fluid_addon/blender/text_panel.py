# SPDX-License-Identifier: GPL-3.0-or-later
"""The Text Editor's sidebar tab "Fluid": run the script that is shown, set its parameters, read its log."""

from __future__ import annotations

from typing import ClassVar

import bpy

from . import bakes, motion_blur, parameters, run_panel, simulation
from .run_operators import shown_text
from .text_operators import LOG_NAME, SCRIPT_OF_LOG, is_script
from .wrapped_text import draw_wrapped

__all__: list[str] = []


def _found(context: bpy.types.Context) -> bpy.types.Object | None:
    return simulation.simulation_of_text(context.scene, shown_text(context))


class _InTextEditor:
    bl_space_type = "TEXT_EDITOR"
    bl_region_type = "UI"
    bl_category = "Fluid"


class _OfSimulation(_InTextEditor):
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_script(shown_text(context)) and _found(context) is not None


class FLUID_ADDON_PT_text(_InTextEditor, bpy.types.Panel):  # noqa: N801
    bl_label = "Simulation"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        text = shown_text(context)
        if not is_script(text):
            _draw_invitation(layout, context, text)
            return
        found = _found(context)
        run_panel.draw_run(layout, context, found)
        if found is not None:
            layout.prop(found, "name", text="", icon="OUTLINER_OB_VOLUME")
            column = layout.column(align=True)
            column.prop(found.fluid_addon, "follow")
            column.prop(found.fluid_addon, "fit_range")
            column.prop(found.fluid_addon, "motion_blur")
            if reason := motion_blur.why_not(found):
                draw_wrapped(column, context, reason, icon="INFO")


def _draw_invitation(layout: bpy.types.UILayout, context: bpy.types.Context, text: bpy.types.Text | None) -> None:
    """What the tab is for, where no Lua text is shown."""
    if text is not None and text.name == LOG_NAME:
        draw_wrapped(layout, context, "The log of the last run. To return:")
        layout.operator("fluid_addon.goto_error", text="Show Script", icon="LOOP_BACK").text = text.get(
            SCRIPT_OF_LOG, ""
        )
        return
    draw_wrapped(layout, context, "A fluid simulation is a script in Lua. Begin with one that runs:")
    layout.operator("fluid_addon.new_script", text="New Script", icon="FILE_NEW")
    layout.menu("FLUID_ADDON_MT_scripts", text="Presets", icon="PRESET")
    if text is not None and text.library is None:
        layout.separator()
        draw_wrapped(layout, context, f'Only texts named .lua run here. Is "{text.name}" Lua?')
        layout.operator("fluid_addon.name_as_lua", icon="SORTALPHA")


class FLUID_ADDON_PT_text_parameters(_OfSimulation, bpy.types.Panel):  # noqa: N801
    bl_label = "Parameters"
    bl_options: ClassVar = set()

    def draw(self, context: bpy.types.Context) -> None:
        parameters.draw(self.layout, _found(context))


class FLUID_ADDON_PT_text_cache(_OfSimulation, bpy.types.Panel):  # noqa: N801
    bl_label = "Cache"

    def draw(self, context: bpy.types.Context) -> None:
        bakes.draw(self.layout, _found(context))


class FLUID_ADDON_PT_text_log(_OfSimulation, bpy.types.Panel):  # noqa: N801
    bl_label = "Log"

    def draw(self, context: bpy.types.Context) -> None:
        run_panel.draw_log(self.layout, context, _found(context))


_CLASSES = (
    FLUID_ADDON_PT_text,
    FLUID_ADDON_PT_text_parameters,
    FLUID_ADDON_PT_text_cache,
    FLUID_ADDON_PT_text_log,
)

register, unregister = bpy.utils.register_classes_factory(_CLASSES)
