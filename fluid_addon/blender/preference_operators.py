# SPDX-License-Identifier: GPL-3.0-or-later
"""Find Devices, the menu of devices, and Copy Report."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.props import StringProperty

from . import machine
from .preferences import preferences, settings

__all__: list[str] = []


class FLUID_ADDON_OT_find_devices(bpy.types.Operator):  # noqa: N801
    """Ask the graphics drivers which devices there are, in a process of its own"""

    bl_idname = "fluid_addon.find_devices"
    bl_label = "Find Devices"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        machine.ask_for_devices()
        return {"FINISHED"}


class FLUID_ADDON_OT_choose_device(bpy.types.Operator):  # noqa: N801
    """Let simulations run on this device"""

    bl_idname = "fluid_addon.choose_device"
    bl_label = "Choose Device"
    bl_options: ClassVar = {"INTERNAL"}

    name: StringProperty(name="Device", description="Its name; empty for the best one")

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return preferences() is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences().device = self.name
        context.preferences.is_dirty = True
        return {"FINISHED"}


class FLUID_ADDON_OT_copy_report(bpy.types.Operator):  # noqa: N801
    """Copy versions, devices and the last log to the clipboard: one paste for a bug report"""

    bl_idname = "fluid_addon.copy_report"
    bl_label = "Copy Report"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        machine.ask_for_report()
        return {"FINISHED"}


class FLUID_ADDON_MT_devices(bpy.types.Menu):  # noqa: N801
    bl_label = "Device"
    bl_description = "The Vulkan device that simulations run on, by its name"

    def draw(self, _context: bpy.types.Context) -> None:
        layout, chosen, found = self.layout, settings().device, machine.KNOWN.devices
        self._entry("", "Automatic", chosen == "")
        layout.separator()
        names = []
        for device in found.devices if found else ():
            if device.name not in names:
                names.append(device.name)
                text = f"{device.name} ({device.why_not or device.kind})"
                self._entry(device.name, text, chosen == device.name, usable=not device.why_not)
        if chosen and chosen not in names:
            self._entry(chosen, f"{chosen} (not found)" if found else chosen, True)
        layout.separator()
        layout.operator("fluid_addon.find_devices", icon="FILE_REFRESH")

    def _entry(self, name: str, text: str, is_chosen: bool, *, usable: bool = True) -> None:
        row = self.layout.row()
        row.enabled = usable
        icon = "RADIOBUT_ON" if is_chosen else "RADIOBUT_OFF"
        row.operator("fluid_addon.choose_device", text=text, icon=icon, translate=False).name = name


_CLASSES = (
    FLUID_ADDON_OT_find_devices,
    FLUID_ADDON_OT_choose_device,
    FLUID_ADDON_OT_copy_report,
    FLUID_ADDON_MT_devices,
)


def register() -> None:
    for each in _CLASSES:
        bpy.utils.register_class(each)


def unregister() -> None:
    machine.forget()
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
