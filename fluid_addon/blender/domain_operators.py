# SPDX-License-Identifier: GPL-3.0-or-later
"""Show Domain."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..diagnostics import FluidError
from . import domain_box, live
from .package import say
from .run_operators import OfSimulation

__all__: list[str] = []


class FLUID_ADDON_OT_show_domain(OfSimulation, bpy.types.Operator):  # noqa: N801
    """Draw the box in which the simulation lives, or take it away again"""

    bl_idname = "fluid_addon.show_domain"
    bl_label = "Show Domain"
    bl_options: ClassVar = {"UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            found = self.needed(context)
            drawn = domain_box.box_of(found)
            if drawn is not None:
                bpy.data.objects.remove(drawn)
                return {"FINISHED"}
            state = live.RUNS.state(found.fluid_addon.token)
            if state is None or state.domain is None:  # nobody has looked at the script yet
                live.start(found, context.scene, verb="check")
            domain_box.draw(found)
            if state is not None and state.domain is not None:
                domain_box.fit(found, state.domain)
            elif bpy.app.background:
                live.wait(found.fluid_addon.token, lambda _event: None)
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((FLUID_ADDON_OT_show_domain,))
