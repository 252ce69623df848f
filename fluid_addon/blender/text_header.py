# SPDX-License-Identifier: GPL-3.0-or-later
"""Around the text itself: Run Simulation in the header of Lua texts, Alt-P as its key, and scripts to begin with."""

from __future__ import annotations

import bpy

from . import play_button, preset_library

__all__: list[str] = []

_keys: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


class FLUID_ADDON_MT_scripts(bpy.types.Menu):  # noqa: N801
    bl_label = "Fluid Script (Lua)"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("fluid_addon.new_script", text="Empty Template").preset = ""
        layout.separator()
        for preset in preset_library.all_presets():
            icon = "ERROR" if preset.problem else "NONE"
            layout.operator("fluid_addon.new_script", text=preset.title, icon=icon, translate=False).preset = preset.key


def _scripts_entry(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.menu(FLUID_ADDON_MT_scripts.__name__)


def register() -> None:
    bpy.utils.register_class(FLUID_ADDON_MT_scripts)
    bpy.types.TEXT_MT_templates.append(_scripts_entry)
    play_button.replace()
    _add_key()


def unregister() -> None:
    for keymap, item in _keys:
        keymap.keymap_items.remove(item)
    _keys.clear()
    play_button.put_back()
    bpy.types.TEXT_MT_templates.remove(_scripts_entry)
    bpy.utils.unregister_class(FLUID_ADDON_MT_scripts)


def _add_key() -> None:
    """Alt-P, which elsewhere runs a text as Python."""
    keys = bpy.context.window_manager.keyconfigs.addon
    if keys is not None:  # there are none without a window
        keymap = keys.keymaps.new("Text", space_type="TEXT_EDITOR")
        _keys.append((keymap, keymap.keymap_items.new("fluid_addon.run_shown_text", "P", "PRESS", alt=True)))
