# SPDX-License-Identifier: GPL-3.0-or-later
"""File > Import > Fluid Bake: a bake folder becomes Volume objects."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import BoolProperty, StringProperty

from ..diagnostics import FluidError
from ..volumes.bake import Bake
from .volume_object import import_bake, set_frame_range

__all__ = ["register", "unregister"]


class FLUID_ADDON_OT_import_bake(bpy.types.Operator):  # noqa: N801 - Blender derives the class's place from its name
    """Import the frames of a fluid bake as a volume sequence with a material"""

    bl_idname = "fluid_addon.import_bake"
    bl_label = "Import Fluid Bake"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    filepath: StringProperty(name="Bake", description="The manifest of a bake, or its folder", subtype="FILE_PATH")
    filter_glob: StringProperty(default="manifest.json", options={"HIDDEN"})
    set_frames: BoolProperty(
        name="Set Frame Range",
        description="Let the scene's frame range be that of the bake",
        default=False,
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        chosen = Path(bpy.path.abspath(self.filepath))
        folder = chosen if chosen.is_dir() else chosen.parent
        try:
            objects = import_bake(folder, scene=context.scene, collection=context.collection)
        except FluidError as error:
            for problem in error.diagnostics:
                self.report({"ERROR"}, problem.message + (f" {problem.hint}" if problem.hint else ""))
            return {"CANCELLED"}
        if self.set_frames:
            set_frame_range(context.scene, folder)
        _select(context, objects)
        if left_out := Bake.open(folder).damaged():
            self.report({"WARNING"}, f"{len(left_out)} damaged frames were left out, such as {left_out[0][0].path}")
        self.report({"INFO"}, f'Imported the bake "{folder.name}"')
        return {"FINISHED"}


def _select(context: bpy.types.Context, objects: list[bpy.types.Object]) -> None:
    """Select just these objects; a collection that the view layer leaves out has none to select."""
    for selected in context.selected_objects:
        selected.select_set(False)
    for volume_object in objects:
        if volume_object.name in context.view_layer.objects:
            volume_object.select_set(True)
            context.view_layer.objects.active = volume_object


def _menu_entry(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.operator(FLUID_ADDON_OT_import_bake.bl_idname, text="Fluid Bake (manifest.json)")


def register() -> None:
    bpy.utils.register_class(FLUID_ADDON_OT_import_bake)
    bpy.types.TOPBAR_MT_file_import.append(_menu_entry)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_import.remove(_menu_entry)
    bpy.utils.unregister_class(FLUID_ADDON_OT_import_bake)
