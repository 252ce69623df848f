# SPDX-License-Identifier: GPL-3.0-or-later
"""The 3D View's sidebar tab "Fluid": the preset library, and the simulations of the scene."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import bpy
from bpy.props import IntProperty, StringProperty

from ..run.presets import Preset
from ..run.state import Stage
from . import bakes, domain_box, live, motion_blur, parameters, preset_library, run_panel, simulation
from .wrapped_text import draw_wrapped, font_size, line_width, wrap

__all__: list[str] = []

#: About how wide a preset of the grid is, what its box takes of that, and what one unit of an icon's scale is; in
#: pixels at a scale of 1.
_CELL, _FRAME, _UNIT = 96.0, 16.0, 20.0
_TITLE_LINES = 2


class _InView:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Fluid"


# ===== The preset library


class FLUID_ADDON_PT_presets(_InView, bpy.types.Panel):  # noqa: N801 - Blender takes the name apart
    bl_label = "Presets"
    bl_order = 1

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
        if not found and preset_library.all_presets():
            layout.label(text="No preset fits", icon="INFO")


def _draw_grid(layout: bpy.types.UILayout, context: bpy.types.Context, presets: list[Preset]) -> None:
    scale = context.preferences.system.ui_scale
    width = line_width(context)
    columns = max(1, round(width / (_CELL * scale)))
    inside = width / columns - _FRAME * scale
    titles = [_title(preset.title, context, inside) for preset in presets]
    grid = layout.grid_flow(row_major=True, columns=columns, even_columns=True, even_rows=False)
    for place, (preset, lines) in enumerate(zip(presets, titles, strict=True)):
        first = place - place % columns
        tallest = max(len(beside) for beside in titles[first : first + columns])  # so that the buttons stand in line
        cell = grid.box().column(align=True)
        cell.template_icon(icon_value=preset_library.icon(preset) or _no_picture(), scale=inside / (_UNIT * scale))
        words = cell.column(align=True)
        words.scale_y = 0.8
        for line in (*lines, *[""] * (tallest - len(lines))):
            words.label(text=line, translate=False)
        row = cell.row(align=True)
        row.operator("fluid_addon.add_preset", text="Add").name = preset.key
        row.operator("fluid_addon.choose_preset", text="", icon="INFO").name = preset.key
    for _ in range(-len(presets) % columns):  # a last row that is not full keeps the columns' width
        grid.column()
    chosen = preset_library.find(context.window_manager.fluid_addon_preset)
    if chosen in presets:
        _draw_about(layout.box(), context, chosen)


def _title(title: str, context: bpy.types.Context, width: float) -> list[str]:
    """A title in lines that fit; the last one is cut by Blender where there are too many."""
    lines = wrap(title, width, font_size(context))
    return [*lines[: _TITLE_LINES - 1], " ".join(lines[_TITLE_LINES - 1 :])] if len(lines) > 1 else list(lines)


@cache
def _no_picture() -> int:
    return bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items["FILE_VOLUME"].value


def _draw_about(box: bpy.types.UILayout, context: bpy.types.Context, preset: Preset) -> None:
    column = box.column()
    draw_wrapped(column, context, preset.title, icon="INFO")
    if preset.description != preset.title:
        draw_wrapped(column, context, preset.description)
    if preset.tags:
        draw_wrapped(column, context, "Tags: " + ", ".join(preset.tags))
    if preset.origin == "imported":
        draw_wrapped(column, context, "It was imported: its script is shown before it runs.")
    if preset.is_own:
        row = column.row(align=True)
        row.operator("fluid_addon.export_presets", text="Export", icon="EXPORT").name = preset.key
        row.operator("fluid_addon.remove_preset", text="Remove", icon="TRASH").name = preset.key


def _draw_broken(box: bpy.types.UILayout, context: bpy.types.Context, preset: Preset) -> None:
    column = box.column()
    column.alert = True
    draw_wrapped(column, context, preset.title, icon="ERROR")
    column = box.column()
    draw_wrapped(column, context, preset.problem)
    row = column.row(align=True)
    row.operator("wm.path_open", text="Folder", icon="FILE_FOLDER").filepath = str(preset.script.parent)
    if preset.is_own:
        row.operator("fluid_addon.remove_preset", text="Remove", icon="TRASH").name = preset.key


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


# ===== The simulations of the scene


def _shown(context: bpy.types.Context) -> bpy.types.Object | None:
    """The simulation that the panels are about: the active object, else the first of the scene."""
    active = context.view_layer.objects.active
    if simulation.is_simulation(active):
        return active
    return next(iter(simulation.simulations(context.scene)), None)


class FLUID_ADDON_PT_simulations(_InView, bpy.types.Panel):  # noqa: N801
    bl_label = "Simulations"
    bl_order = 0

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        found = _shown(context)
        if found is None:
            draw_wrapped(layout, context, "The scene has no simulation yet: add a preset.", icon="INFO")
            return
        rows = min(len(simulation.simulations(scene)), 5)
        layout.template_list("FLUID_ADDON_UL_simulations", "", scene, "objects", scene, "fluid_addon_active", rows=rows)
        row = layout.row(align=True)
        row.prop(found.fluid_addon, "text", text="")
        if found.fluid_addon.text is not None:
            row.operator("fluid_addon.goto_error", text="", icon="GREASEPENCIL").text = found.fluid_addon.text.name
        run_panel.draw_run(layout, context, found)


class FLUID_ADDON_UL_simulations(bpy.types.UIList):  # noqa: N801
    """The simulations of the scene, each with what its run does"""

    def draw_item(self, _context, layout, _data, item, _icon, _active_data, _active_property, _index=0, _flag=0):
        row = layout.row(align=True)
        row.prop(item, "name", text="", emboss=False, icon="OUTLINER_OB_VOLUME")
        state = live.RUNS.state(item.fluid_addon.token)
        if state is None:
            return
        right = row.row()
        right.alignment = "RIGHT"
        if state.is_over:
            right.label(
                icon="ERROR" if state.stage is Stage.FAILED else "CHECKMARK" if state.exit_code == 0 else "NONE"
            )
        else:
            right.label(text=state.headline.partition(",")[0])

    def filter_items(self, _context, data, propname):
        """Only the simulations among the objects."""
        named = self.filter_name.casefold()
        flags = [
            self.bitflag_filter_item if simulation.is_simulation(each) and named in each.name.casefold() else 0
            for each in getattr(data, propname)
        ]
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
        self.layout.context_pointer_set("object", found)  # what is fitted, also while another object is active
        column = self.layout.column(align=True)
        for option in ("follow", "fit_range", "motion_blur"):
            column.prop(found.fluid_addon, option)
        if reason := motion_blur.why_not(found):
            draw_wrapped(column, context, reason, icon="INFO")
        shown = domain_box.box_of(found) is not None
        box = self.layout.operator("fluid_addon.show_domain", icon="CUBE", depress=shown)
        box.name = found.name
        self.layout.operator("fluid_addon.fit_material", icon="MATERIAL")


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
    FLUID_ADDON_PT_simulations,
    FLUID_ADDON_PT_presets,
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
