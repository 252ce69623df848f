# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets as the panels show them: read once and again on request, never while something is drawn."""

from __future__ import annotations

from pathlib import Path

import bpy.utils.previews

from ..run.presets import LIBRARY, Preset, list_presets
from .package import user_folder

__all__ = ["all_presets", "find", "folders", "icon", "refresh", "shown", "tags"]

_presets: list[Preset] = []
_pictures: bpy.utils.previews.ImagePreviewCollection | None = None
_is_read = False


def own_folder() -> Path:
    """Where the artist's own presets are."""
    return user_folder("presets")


def folders() -> tuple[Path, Path]:
    """The library, and the artist's own presets."""
    return LIBRARY, own_folder()


def refresh() -> None:
    """Read all presets anew, and their thumbnails."""
    global _presets, _pictures, _is_read
    free()
    _presets, _is_read = list_presets(*folders()), True
    if bpy.app.background:
        return  # nobody looks
    _pictures = bpy.utils.previews.new()
    for preset in _presets:
        if preset.thumbnail is not None:
            _pictures.load(preset.key, str(preset.thumbnail), "IMAGE")
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def free() -> None:
    global _presets, _pictures, _is_read
    if _pictures is not None:
        bpy.utils.previews.remove(_pictures)
    _presets, _pictures, _is_read = [], None, False


def all_presets() -> list[Preset]:
    """All of them. With a window, they are read as soon as Blender shows it; without one, when somebody asks."""
    if not _is_read and bpy.app.background:
        refresh()
    return _presets


def shown(search: str = "", tag: str = "") -> list[Preset]:
    """The presets that have the tag, and every word of `search` in what they say of themselves."""
    words = search.casefold().split()
    return [
        preset
        for preset in all_presets()
        if (not tag or tag in preset.tags)
        and all(word in " ".join((preset.title, preset.description, *preset.tags)).casefold() for word in words)
    ]


def tags() -> list[str]:
    """Every tag in use."""
    return sorted({tag for preset in all_presets() for tag in preset.tags})


def find(key: str) -> Preset | None:
    return next((preset for preset in all_presets() if preset.key == key), None)


def icon(preset: Preset) -> int:
    """The number of the preset's thumbnail as an icon; 0 where it has none."""
    picture = _pictures.get(preset.key) if _pictures is not None else None
    return picture.icon_id if picture is not None else 0
