# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist sets once for every file: the device, where bakes go and how much room they may take, limits."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
from bpy.props import FloatProperty, IntProperty, StringProperty

from .package import PACKAGE

__all__ = ["Settings", "settings"]


@dataclass(frozen=True)
class Settings:
    """The preferences as plain data.

    Attributes:
        device: index or part of the name of a Vulkan device; empty for the best one.
        cache_folder: as the artist wrote it; "//" stands for the folder of the .blend file.
        cache_limit_gb: 0 for none.
        keep_last: bakes of each simulation that a new run leaves; 0 for all.
        log_level: "ERRORS", "NOTES" or "EVERYTHING".
    """

    device: str = ""
    cache_folder: str = "//fluid_cache"
    cache_limit_gb: float = 50.0
    keep_last: int = 3
    lua_seconds: float = 10.0
    lua_memory_mb: int = 512
    log_level: str = "NOTES"


class FluidPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    device: StringProperty(name="Device")
    cache_folder: StringProperty(name="Cache Folder", subtype="DIR_PATH", default=Settings.cache_folder)
    cache_limit_gb: FloatProperty(name="Cache Limit", default=Settings.cache_limit_gb, min=0.0)
    keep_last: IntProperty(name="Keep Last", default=Settings.keep_last, min=0)
    lua_seconds: FloatProperty(name="Lua Time Limit", default=Settings.lua_seconds, min=0.1)
    lua_memory_mb: IntProperty(name="Lua Memory Limit", default=Settings.lua_memory_mb, min=16)
    log_level: StringProperty(default=Settings.log_level)


def settings() -> Settings:
    """The preferences of this artist, or the defaults where the add-on was not enabled through Blender's list."""
    entry = bpy.context.preferences.addons.get(PACKAGE)
    chosen = entry.preferences if entry else None
    if chosen is None:
        return Settings()
    return Settings(**{name: getattr(chosen, name) for name in Settings.__dataclass_fields__})


def register() -> None:
    bpy.utils.register_class(FluidPreferences)


def unregister() -> None:
    bpy.utils.unregister_class(FluidPreferences)
