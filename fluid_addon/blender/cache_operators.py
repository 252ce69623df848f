# SPDX-License-Identifier: GPL-3.0-or-later
"""Free Bake, Open Folder, Locate Bake, Free Unused Bakes, Look for Bakes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import StringProperty

from ..diagnostics import FluidError, fail
from ..volumes.bake import Bake
from ..volumes.cache import CachedBake, free_idle, size_text
from . import bakes, live, simulation, volume_object
from .package import say
from .preferences import settings

__all__ = ["register", "unregister"]

_FOR_GOOD = "The files are deleted for good: Undo cannot bring them back"


class OfSimulation:
    """Operators that work on the named simulation, else on the active object."""

    name: StringProperty(name="Simulation", description="The object; by default the active one")

    def needed(self, context: bpy.types.Context) -> bpy.types.Object:
        """The simulation. Raises no-simulation."""
        found = context.scene.objects.get(self.name) if self.name else context.view_layer.objects.active
        if not simulation.is_simulation(found):
            what = f'There is no simulation "{self.name}".' if self.name else "No simulation is chosen."
            raise fail("no-simulation", what, "Select its object, or add a preset.")
        return found

    def bake_folder(self, context: bpy.types.Context) -> Path:
        """Where the bake of the simulation lies. Raises no-simulation and bake-missing."""
        found = self.needed(context)
        folder = bakes.folder_shown_by(found)
        if folder is None:
            raise fail("bake-missing", f'"{found.name}" shows no bake.', "Run the simulation, or locate a bake.")
        if not folder.is_dir():
            raise fail("bake-missing", f'There is no folder "{folder}" any more.', "Locate the bake.")
        return folder


class FLUID_ADDON_OT_free_bake(OfSimulation, bpy.types.Operator):  # noqa: N801
    """Delete the frames that the simulation shows. Undo cannot bring the files back"""

    bl_idname = "fluid_addon.free_bake"
    bl_label = "Free Bake"
    bl_options: ClassVar = {"UNDO"}  # without REGISTER: the panel of the last operation could free another one

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            bake = CachedBake.read(self._freeable(context).folder)
        except FluidError as error:
            return say(self, error)
        maker = str(bake.details.get("blend", ""))
        others = f'. "{Path(maker).name}" may show it too' if maker not in ("", bpy.data.filepath) else ""
        return context.window_manager.invoke_confirm(
            self,
            event,
            title=f"Free {bake.frames} Frame{'s' if bake.frames != 1 else ''} ({size_text(bake.size)})?",
            message=_FOR_GOOD + others,
            confirm_text="Free",
            icon="WARNING",
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            bake = self._freeable(context)
            size = CachedBake.read(bake.folder).size
            left = bake.free()
        except FluidError as error:
            return say(self, error)
        for shown in bakes.objects_showing(bake.folder):
            bakes.show_nothing(shown)
        bakes.look_at_all()
        self.report({"INFO"}, f"Freed {size_text(size)}" + (f"; {len(left)} files of others stay" if left else ""))
        return {"FINISHED"}

    def _freeable(self, context: bpy.types.Context) -> Bake:
        if live.RUNS.is_running(self.needed(context).fluid_addon.token):
            message = f'"{self.needed(context).name}" is being run.'
            raise fail("usage", message, "Stop it first, or wait for its end.")
        return Bake.open(self.bake_folder(context))


class FLUID_ADDON_OT_open_bake_folder(OfSimulation, bpy.types.Operator):  # noqa: N801
    """Show the files of the bake in a file browser"""

    bl_idname = "fluid_addon.open_bake_folder"
    bl_label = "Open Folder"
    bl_options: ClassVar = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            folder = self.bake_folder(context)
        except FluidError as error:
            return say(self, error)
        return bpy.ops.wm.path_open(filepath=str(folder))


class FLUID_ADDON_OT_locate_bake(OfSimulation, bpy.types.Operator):  # noqa: N801
    """Let the simulation show a bake that was moved, or another one"""

    bl_idname = "fluid_addon.locate_bake"
    bl_label = "Locate Bake"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    filepath: StringProperty(name="Bake", description="The manifest of a bake, or its folder", subtype="FILE_PATH")
    filter_glob: StringProperty(default="manifest.json", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.filepath = str(bakes.cache_folder(settings())) + "/"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        chosen = Path(bpy.path.abspath(self.filepath))
        folder = chosen if chosen.is_dir() else chosen.parent
        try:
            found = self.needed(context)
            volume_object.show_bake(found, folder)
            if bakes.folder_shown_by(found) != folder.resolve():
                raise fail("bake-empty", f'The bake in "{folder}" has no frame to show.', "Choose another one.")
        except FluidError as error:
            return say(self, error)
        bakes.look_again(found)
        self.report({"INFO"}, f'"{found.name}" shows the bake "{folder.name}"')
        return {"FINISHED"}


class FLUID_ADDON_OT_free_unused(bpy.types.Operator):  # noqa: N801
    """Delete the bakes of this file that nothing in it shows. Undo cannot bring the files back"""

    bl_idname = "fluid_addon.free_unused"
    bl_label = "Free Unused Bakes"
    bl_options: ClassVar = {"REGISTER"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        found = self._unused()
        if not found:
            self.report({"INFO"}, "There are no unused bakes of this file")
            return {"CANCELLED"}
        total, plural = size_text(sum(bake.size for bake in found)), "s" if len(found) != 1 else ""
        return context.window_manager.invoke_confirm(
            self,
            event,
            title=f"Free {len(found)} Unused Bake{plural} ({total})?",
            message=_FOR_GOOD,
            confirm_text="Free",
            icon="WARNING",
        )

    def execute(self, _context: bpy.types.Context) -> set[str]:
        try:
            found = free_idle(self._unused())
        except FluidError as error:
            return say(self, error)
        finally:
            bakes.look_at_all()
        self.report({"INFO"}, f"Freed {size_text(sum(bake.size for bake in found))}")
        return {"FINISHED"}

    @staticmethod
    def _unused() -> list[CachedBake]:
        """A run that goes on has a bake that nothing may show yet."""
        found = bakes.unused(settings())
        return [bake for bake in found if not live.RUNS.is_running(str(bake.details.get("simulation")))]


class FLUID_ADDON_OT_look_for_bakes(bpy.types.Operator):  # noqa: N801
    """Look on the disk for what became of the bakes"""

    bl_idname = "fluid_addon.look_for_bakes"
    bl_label = "Look for Bakes"
    bl_options: ClassVar = {"REGISTER"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        for seen in bakes.look_at_all():
            if seen.problem:
                self.report({"WARNING"}, seen.problem)
        return {"FINISHED"}


_CLASSES = (
    FLUID_ADDON_OT_free_bake,
    FLUID_ADDON_OT_open_bake_folder,
    FLUID_ADDON_OT_locate_bake,
    FLUID_ADDON_OT_free_unused,
    FLUID_ADDON_OT_look_for_bakes,
)


def register() -> None:
    for each in _CLASSES:
        bpy.utils.register_class(each)
    bakes.register()


def unregister() -> None:
    bakes.unregister()
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
