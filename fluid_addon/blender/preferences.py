# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist sets once for every file: the device, where bakes go and how much room they may take, limits."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty

from . import machine
from .package import PACKAGE

__all__ = ["Settings", "device_sentence", "preferences", "settings"]


@dataclass(frozen=True)
class Settings:
    """The preferences as plain data.

    Attributes:
        device: index or part of the name of a Vulkan device; empty for the best one.
        cache_folder: as the artist wrote it; "//" stands for the folder of the .blend file.
        cache_limit_gb: 0 for none.
        keep_last: bakes of each simulation that a new run leaves; 0 for all.
        memory_mb: of a run's process as a whole; 0 for what the machine can spare.
        checkpoint_seconds: of work between two checkpoints; 0 for none.
        log_level: "ERRORS", "NOTES" or "EVERYTHING".
    """

    device: str = ""
    cache_folder: str = "//fluid_cache"
    cache_limit_gb: float = 50.0
    keep_last: int = 3
    lua_seconds: float = 10.0
    lua_memory_mb: int = 512
    memory_mb: int = 0
    checkpoint_seconds: float = 30.0
    log_level: str = "EVERYTHING"


class FluidPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    device: StringProperty(
        name="Device",
        description="The Vulkan device that simulations run on, by its name; empty for the best one",
        default=Settings.device,
    )
    cache_folder: StringProperty(
        name="Folder",
        description="Where simulations put their frames; // stands for the folder of the .blend file",
        subtype="DIR_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        default=Settings.cache_folder,
    )
    cache_limit_gb: FloatProperty(
        name="Limit (GB)",
        description="No run begins while the cache folder holds more gigabytes than this; 0 for no limit",
        default=Settings.cache_limit_gb,
        min=0.0,
        soft_max=1000.0,
        precision=1,
        step=100,
    )
    keep_last: IntProperty(
        name="Keep Last",
        description="How many bakes of a simulation stay when a run has ended, the newest included; 0 for all",
        default=Settings.keep_last,
        min=0,
        soft_max=20,
    )
    lua_seconds: FloatProperty(
        name="Lua Time Limit",
        description="How many seconds a script may take between two calls of the engine; the run as a whole has no end",
        subtype="TIME_ABSOLUTE",
        unit="TIME_ABSOLUTE",
        default=Settings.lua_seconds,
        min=0.1,
        soft_max=600.0,
        precision=1,
        step=100,
    )
    lua_memory_mb: IntProperty(
        name="Lua Memory Limit (MB)",
        description="How many megabytes a script may hold in Lua; fields are on the device and do not count",
        default=Settings.lua_memory_mb,
        min=16,
        soft_max=4096,
    )
    memory_mb: IntProperty(
        name="Memory Limit (MB)",
        description="How many megabytes the process of a run may take before it is ended, so that Blender keeps its "
        "own; 0 for what this machine can spare",
        default=Settings.memory_mb,
        min=0,
        soft_max=262144,
    )
    checkpoint_seconds: FloatProperty(
        name="Checkpoint Every",
        description="How many seconds of work a crash may cost: then the state is written down, from which a run that "
        "was not finished can be resumed; 0 for never",
        subtype="TIME_ABSOLUTE",
        unit="TIME_ABSOLUTE",
        default=Settings.checkpoint_seconds,
        min=0.0,
        soft_max=3600.0,
        precision=1,
        step=100,
    )
    log_level: EnumProperty(
        name="Log Level",
        description="What the log of a run shows",
        items=[
            ("ERRORS", "Errors", "What stopped the run"),
            ("NOTES", "Errors and Notes", "Also what runs differently from what was asked"),
            ("EVERYTHING", "Everything", "Also what the script prints"),
        ],
        default=Settings.log_level,
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        width = context.region.width if context.region else 600
        letters = max(30, int(width / (7.5 * context.preferences.system.ui_scale)))
        runs = _section(layout, "Simulation")
        _draw_device(runs, self.device, letters)
        runs.prop(self, "lua_seconds")
        runs.prop(self, "lua_memory_mb")
        runs.prop(self, "memory_mb")
        runs.prop(self, "checkpoint_seconds")
        cache = _section(layout, "Cache")
        cache.prop(self, "cache_folder")
        cache.prop(self, "cache_limit_gb")
        cache.prop(self, "keep_last")
        _draw_report(_section(layout, "Troubleshooting"), self)


def _section(layout: bpy.types.UILayout, title: str) -> bpy.types.UILayout:
    layout.label(text=title)
    column = layout.column()
    layout.separator()
    return column


def _named(layout: bpy.types.UILayout, name: str) -> bpy.types.UILayout:
    """A row that lies as those of properties do: its name to the left, the returned part to the right."""
    split = layout.split(factor=0.4)
    left = split.row()
    left.alignment = "RIGHT"
    left.label(text=name)
    return split.row(align=True)


def _draw_device(layout: bpy.types.UILayout, chosen: str, letters: int) -> None:
    found = machine.KNOWN.devices
    best = next((device.name for device in found.devices if device.index == found.taken), "") if found else ""
    row = _named(layout, "Device")
    row.menu("FLUID_ADDON_MT_devices", text=chosen or (f"Automatic: {best}" if best else "Automatic"), translate=False)
    row.operator("fluid_addon.find_devices", text="", icon="FILE_REFRESH")
    if sentence := device_sentence():
        _say(layout, sentence, "SORTTIME" if machine.KNOWN.asks_for_devices else "ERROR", letters)


def device_sentence() -> str:
    """What is to be said of the devices, or "" where all is well as far as is known."""
    found, chosen = machine.KNOWN.devices, settings().device
    if machine.KNOWN.asks_for_devices:
        return "Asking the drivers …"
    if found and found.problem:
        return f"{found.problem} {found.hint}".strip()
    if found and chosen and chosen not in [device.name for device in found.devices]:
        return f'The device "{chosen}" is not there. Runs will fail: choose another one.'
    return ""


def _draw_report(layout: bpy.types.UILayout, own: FluidPreferences) -> None:
    known = machine.KNOWN
    layout.prop(own, "log_level")
    row = _named(layout, "Bug Report")
    row.enabled = not known.asks_for_report
    text = "Collecting the Report …" if known.asks_for_report else "Copy Report"
    row.operator("fluid_addon.copy_report", text=text, icon="COPYDOWN")
    if known.said:
        _named(layout, "").label(text=known.said)


def _say(layout: bpy.types.UILayout, text: str, icon: str, letters: int) -> None:
    """A sentence over as many lines as it takes, under the values."""
    column = _named(layout, "").column(align=True)
    for number, line in enumerate(textwrap.wrap(text, int(letters * 0.6))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1", translate=False)


def preferences() -> FluidPreferences | None:
    """Blender's own object of them; None where the add-on was not enabled through Blender's list."""
    entry = bpy.context.preferences.addons.get(PACKAGE)
    return entry.preferences if entry else None


def settings() -> Settings:
    """The preferences of this artist, or the defaults where the add-on was not enabled through Blender's list."""
    chosen = preferences()
    if chosen is None:
        return Settings()
    return Settings(**{name: getattr(chosen, name) for name in Settings.__dataclass_fields__})


def register() -> None:
    bpy.utils.register_class(FluidPreferences)


def unregister() -> None:
    bpy.utils.unregister_class(FluidPreferences)
