# SPDX-License-Identifier: GPL-3.0-or-later
"""The 3D View's sidebar tab "Fluid": the preset library, and the simulations of the scene."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.props import IntProperty, StringProperty

from ..run.presets import Preset
from . import bakes, live, parameters, preset_library, run_panel, simulation

__all__: list[str] = []

#: How wide a thumbnail may get, in pixels at a scale of 1, and what one unit of an icon's scale is.
_CELL, _UNIT = 84.0, 20.0


class _InView:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Fluid"


class FLUID_ADDON_PT_presets(_InView, bpy.types.Panel):  # noqa: N801 - Blender takes the name apart
    bl_label = "Presets"

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        self.layout.menu("FLUID_ADDON_MT_presets", text="", icon="DOWNARROW_HLT")
        self.layout.separator()

    def draw(self, context: bpy.types.Context) -> None:
        layout, manager = self.layout, context.window_manager
        row = layout.row(align=True)
        row.prop(manager, "fluid_addon_search", text="", icon="VIEWZOOM")
        row.menu("FLUID_ADDON_MT_tags", text=manager.fluid_addon_tag or "All")
        found = preset_library.shown(manager.fluid_addon_search, manager.fluid_addon_tag)
        good = [preset for preset in found if preset.problem is None]
        if good:
            _draw_grid(layout, context, good)
        for preset in found:
            if preset.problem is not None:
                _draw_broken(layout.box(), context, preset)
        if not found:
            layout.label(text="No preset fits", icon="INFO")


def _draw_grid(layout: bpy.types.UILayout, context: bpy.types.Context, presets: list[Preset]) -> None:
    scale = context.preferences.system.ui_scale
    width = run_panel.line_width(context) / scale
    columns = max(1, int(width // _CELL))
    grid = layout.grid_flow(row_major=True, columns=columns, even_columns=True, even_rows=False)
    for preset in presets:
        _draw_cell(grid.box().column(align=True), preset, width / columns)
    for _ in range(-len(presets) % columns):  # a last row that is not full keeps the columns' width
        grid.column()
    chosen = preset_library.find(context.window_manager.fluid_addon_preset)
    if chosen in presets:
        _draw_about(layout.box(), context, chosen)


def _draw_cell(cell: bpy.types.UILayout, preset: Preset, width: float) -> None:
    icon = preset_library.icon(preset)
    cell.template_icon(icon_value=icon, scale=width / _UNIT)
    cell.label(text=preset.title)
    row = cell.row(align=True)
    row.operator("fluid_addon.add_preset", text="Add").name = preset.key
    row.operator("fluid_addon.choose_preset", text="", icon="INFO").name = preset.key


def _draw_about(box: bpy.types.UILayout, context: bpy.types.Context, preset: Preset) -> None:
    column = box.column()
    column.label(text=preset.title)
    run_panel.draw_wrapped(column, context, preset.description)
    if preset.tags:
        run_panel.draw_wrapped(column, context, ", ".join(preset.tags))
    if preset.is_own:
        row = column.row(align=True)
        row.operator("fluid_addon.export_presets", text="Export", icon="EXPORT").name = preset.key
        row.operator("fluid_addon.remove_preset", text="Remove", icon="TRASH").name = preset.key


def _draw_broken(box: bpy.types.UILayout, context: bpy.types.Context, preset: Preset) -> None:
    column = box.column()
    column.label(text=preset.title, icon="ERROR")
    run_panel.draw_wrapped(column, context, preset.problem)


class FLUID_ADDON_MT_tags(bpy.types.Menu):  # noqa: N801
    bl_label = "Tag"

    def draw(self, _context: bpy.types.Context) -> None:
        for tag in ("", *preset_library.tags()):
            entry = self.layout.operator("wm.context_set_string", text=tag or "All")
            entry.data_path, entry.value = "window_manager.fluid_addon_tag", tag


class FLUID_ADDON_MT_presets(bpy.types.Menu):  # noqa: N801
    bl_label = "Presets"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("fluid_addon.save_preset", text="Save as Preset…", icon="ADD")
        layout.separator()
        layout.operator("fluid_addon.import_presets", text="Import…", icon="IMPORT")
        layout.operator("fluid_addon.export_presets", text="Export All of Yours…", icon="EXPORT").name = ""
        layout.separator()
        layout.operator("fluid_addon.reload_presets", text="Reload", icon="FILE_REFRESH")


class FLUID_ADDON_MT_add_preset(bpy.types.Menu):  # noqa: N801
    bl_label = "Fluid Simulation"

    def draw(self, _context: bpy.types.Context) -> None:
        for preset in preset_library.shown():
            if preset.problem is None:
                icon = preset_library.icon(preset)
                entry = self.layout.operator("fluid_addon.add_preset", text=preset.title, icon_value=icon)
                entry.name = preset.key


def _shown(context: bpy.types.Context) -> bpy.types.Object | None:
    """The simulation that the panels are about: the active object, else the first of the scene."""
    active = context.view_layer.objects.active
    if simulation.is_simulation(active):
        return active
    return next(iter(simulation.simulations(context.scene)), None)


class FLUID_ADDON_PT_simulations(_InView, bpy.types.Panel):  # noqa: N801
    bl_label = "Simulations"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        found = _shown(context)
        if found is None:
            run_panel.draw_wrapped(layout, context, "The scene has no simulation yet. Add a preset.", icon="INFO")
            return
        layout.template_list(
            "FLUID_ADDON_UL_simulations", "", context.scene, "objects", context.scene, "fluid_addon_active", rows=2
        )
        layout.template_ID(found.fluid_addon, "text", open="text.open", unlink="")
        run_panel.draw_run(layout, context, found)


class FLUID_ADDON_UL_simulations(bpy.types.UIList):  # noqa: N801
    """The simulations of the scene, each with what its run does"""

    def draw_item(self, _context, layout, _data, item, _icon, _active_data, _active_property, _index=0, _flag=0):
        row = layout.row(align=True)
        row.prop(item, "name", text="", emboss=False, icon="OUTLINER_OB_VOLUME")
        state = live.RUNS.state(item.fluid_addon.token)
        if state is not None:
            right = row.row()
            right.alignment = "RIGHT"
            right.label(text=state.headline)

    def filter_items(self, _context, data, propname):
        objects = getattr(data, propname)
        flags = [self.bitflag_filter_item if simulation.is_simulation(each) else 0 for each in objects]
        return flags, []


class _OfSimulation(_InView):
    bl_parent_id = "FLUID_ADDON_PT_simulations"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _shown(context) is not None


class FLUID_ADDON_PT_parameters(_OfSimulation, bpy.types.Panel):  # noqa: N801
    bl_label = "Parameters"
    bl_options: ClassVar = set()

    def draw(self, context: bpy.types.Context) -> None:
        parameters.draw(self.layout, _shown(context))


class FLUID_ADDON_PT_display(_OfSimulation, bpy.types.Panel):  # noqa: N801
    bl_label = "Display"

    def draw(self, context: bpy.types.Context) -> None:
        found = _shown(context)
        column = self.layout.column(align=True)
        column.prop(found.fluid_addon, "follow")
        column.prop(found.fluid_addon, "fit_range")
        column.prop(found.fluid_addon, "motion_blur")


class FLUID_ADDON_PT_cache(_OfSimulation, bpy.types.Panel):  # noqa: N801
    bl_label = "Cache"

    def draw(self, context: bpy.types.Context) -> None:
        bakes.draw(self.layout, _shown(context))


def _active_index(scene: bpy.types.Scene) -> int:
    found = _shown(bpy.context)
    return scene.objects.find(found.name) if found is not None else -1


def _choose(scene: bpy.types.Scene, index: int) -> None:
    """A row was clicked: its object becomes the active and only selected one."""
    layer = bpy.context.view_layer
    chosen = scene.objects[index]
    if chosen.name not in layer.objects:
        return
    for other in layer.objects:
        if other.select_get():
            other.select_set(False)
    chosen.select_set(True)
    layer.objects.active = chosen


def _menu_entry(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.menu("FLUID_ADDON_MT_add_preset", icon="OUTLINER_OB_VOLUME")


_CLASSES = (
    FLUID_ADDON_MT_tags,
    FLUID_ADDON_MT_presets,
    FLUID_ADDON_MT_add_preset,
    FLUID_ADDON_UL_simulations,
    FLUID_ADDON_PT_presets,
    FLUID_ADDON_PT_simulations,
    FLUID_ADDON_PT_parameters,
    FLUID_ADDON_PT_display,
    FLUID_ADDON_PT_cache,
)


def register() -> None:
    for each in _CLASSES:
        bpy.utils.register_class(each)
    manager = bpy.types.WindowManager
    manager.fluid_addon_search = StringProperty(
        name="Search", description="Words to look for", options={"TEXTEDIT_UPDATE"}
    )
    manager.fluid_addon_tag = StringProperty(name="Tag", description="Only presets with this tag are shown")
    bpy.types.Scene.fluid_addon_active = IntProperty(name="Simulation", get=_active_index, set=_choose)
    bpy.types.VIEW3D_MT_volume_add.append(_menu_entry)


def unregister() -> None:
    bpy.types.VIEW3D_MT_volume_add.remove(_menu_entry)
    del bpy.types.Scene.fluid_addon_active
    del bpy.types.WindowManager.fluid_addon_tag
    del bpy.types.WindowManager.fluid_addon_search
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
