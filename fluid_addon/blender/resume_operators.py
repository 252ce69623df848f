# SPDX-License-Identifier: GPL-3.0-or-later
"""Resume, and the choice where script or parameters are no longer those of the checkpoint."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.props import EnumProperty

from ..diagnostics import FluidError
from . import live, trust
from .package import say
from .run_operators import OfSimulation
from .wrapped_text import font_size, wrap

__all__: list[str] = []

_WIDTH = 420  # of the dialog, at a scale of 1
_MARGIN = 60.0  # what its borders and an icon take of that


class FLUID_ADDON_OT_resume_simulation(OfSimulation, bpy.types.Operator):  # noqa: N801
    """Go on from the last checkpoint of the run that was not finished, with the script as it stands in the editor"""

    bl_idname = "fluid_addon.resume_simulation"
    bl_label = "Resume"
    bl_options: ClassVar = {"UNDO"}  # not REGISTER: changing a setting of the last operation would run again

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        found = self.simulation(context)
        if found is not None and found.fluid_addon.text and trust.untrusted_texts(found.fluid_addon.text):
            return bpy.ops.fluid_addon.trust_script("INVOKE_DEFAULT", name=found.name, resume=True)
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            live.start(self.there(context), context.scene, resume=True)
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


class FLUID_ADDON_OT_resume_changed(OfSimulation, bpy.types.Operator):  # noqa: N801
    """Choose how to go on: the script or its parameters are no longer those of the checkpoint"""

    bl_idname = "fluid_addon.resume_changed"
    bl_label = "Resume with Changes"
    bl_options: ClassVar = {"UNDO"}

    choice: EnumProperty(
        name="Choice",
        items=[
            ("START_OVER", "Start over", "Run from the first frame, into a new bake"),
            ("GO_ON", "Go on with the changes", "Keep what was computed before the checkpoint, in a new bake"),
        ],
        default="START_OVER",
        options={"SKIP_SAVE"},
    )

    _chosen = False  # in the dialog: then there is somebody to ask whether the script is trusted

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        try:
            found = self.there(context)
            left = live.unfinished(found)
        except FluidError as error:
            return say(self, error)
        state = live.RUNS.state(found.fluid_addon.token)
        errors = state.errors if state is not None else []
        room = (_WIDTH - _MARGIN) * context.preferences.system.ui_scale
        changes = [item["message"] for item in errors if item["code"] == "checkpoint-mismatch"]
        self._lines = [line for text in changes for line in wrap(text, room, font_size(context))]
        self._frame = left.frame
        self._chosen = True
        return context.window_manager.invoke_props_dialog(
            self, width=_WIDTH, title=f'Resume "{found.name}"?', confirm_text="Run", cancel_default=True
        )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        column = layout.column(align=True)
        for number, line in enumerate(self._lines):
            column.label(text=line, icon="BLANK1" if number else "ERROR", translate=False)
        choices = layout.column(align=True)
        choices.prop_enum(self, "choice", "START_OVER")
        choices.prop_enum(self, "choice", "GO_ON", text=f"Go on with the changes from frame {self._frame}")
        layout.label(text="Either way a new bake is made; the old one stays", icon="INFO")

    def execute(self, context: bpy.types.Context) -> set[str]:
        how = dict.fromkeys(("resume", "accept_changes"), self.choice == "GO_ON")
        try:
            found = self.there(context)
            if self._chosen and found.fluid_addon.text and trust.untrusted_texts(found.fluid_addon.text):
                return bpy.ops.fluid_addon.trust_script("INVOKE_DEFAULT", name=found.name, **how)
            live.start(found, context.scene, **how)
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


_CLASSES = (FLUID_ADDON_OT_resume_simulation, FLUID_ADDON_OT_resume_changed)

register, unregister = bpy.utils.register_classes_factory(_CLASSES)
