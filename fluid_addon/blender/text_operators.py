# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Text Editor does for a fluid script: begin one, name it, jump to an error's line, show the log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import IntProperty, StringProperty

from ..diagnostics import FluidError, fail
from ..run.presets import find_preset
from ..run.state import RunState
from ..script.modules import LIBRARY
from . import live, preset_library, simulation, trust
from .package import say
from .run_operators import shown_text

__all__ = ["LOG_NAME", "TEMPLATE", "is_script", "show_text"]

TEMPLATE = Path(__file__).with_name("template.lua")
#: The ending keeps Blender from colouring it as Python.
LOG_NAME = "Fluid Log.txt"
#: Custom property of the log: the text whose run it is of.
SCRIPT_OF_LOG = "script"

#: Blender itself adds the number, where a text of that name is there already.
_LUA = re.compile(r"\.lua(\.\d{3,})?$", re.IGNORECASE)


def is_script(text: bpy.types.Text | None) -> bool:
    """Whether a text runs here: its name says that it is Lua."""
    return text is not None and _LUA.search(text.name) is not None


def show_text(context: bpy.types.Context, text: bpy.types.Text) -> bpy.types.Area | None:
    """Show a text in the Text Editor in which the mouse is, else in any that is open, else in the largest area.

    Returns None where there is no window.
    """
    if context.space_data is not None and context.space_data.type == "TEXT_EDITOR":
        area = context.area
    else:
        area = _area_for_texts(context)
    if area is not None:
        area.type = "TEXT_EDITOR"
        area.spaces.active.text = text
    return area


def _area_for_texts(context: bpy.types.Context) -> bpy.types.Area | None:
    for window in _windows(context):
        for area in window.screen.areas:
            if area.type == "TEXT_EDITOR":
                return area
    others = [area for window in _windows(context)[:1] for area in window.screen.areas if area != context.area]
    return max(others, key=lambda area: area.width * area.height, default=None)


def _windows(context: bpy.types.Context) -> list[bpy.types.Window]:
    """All windows, that of the mouse first."""
    return sorted(context.window_manager.windows, key=lambda window: window != context.window)


def new_text(name: str, source: str) -> bpy.types.Text:
    """A text whose name ends with .lua, also where there is one of that name."""
    title, number = f"{name}.lua", 2
    while title in bpy.data.texts:
        title, number = f"{name}_{number}.lua", number + 1
    text = bpy.data.texts.new(title)
    text.from_string(source)
    text.cursor_set(0)
    return text


class FLUID_ADDON_OT_goto_error(bpy.types.Operator):  # noqa: N801
    """Show the line of the script"""

    bl_idname = "fluid_addon.goto_error"
    bl_label = "Go to Line"
    bl_options: ClassVar = {"INTERNAL"}

    text: StringProperty(name="Text", description="Name of the text, or of its file")
    line: IntProperty(name="Line", min=0, default=0, description="From 1; 0 leaves the cursor where it is")
    column: IntProperty(name="Column", min=1, default=1)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            text = _text_of(self.text)
        except FluidError as error:
            return say(self, error)
        area = show_text(context, text)
        if area is not None:
            area.spaces.active.show_region_ui = True  # what is wrong there is said in the sidebar
        if self.line == 0:
            return {"FINISHED"}
        if self.line > len(text.lines):
            self.report({"WARNING"}, f'"{text.name}" has only {len(text.lines)} lines by now.')
        line = min(self.line, len(text.lines))
        if area is not None:
            _scroll_to(context, area, line)
        length = len(text.lines[line - 1].body)
        text.select_set(line - 1, length, line - 1, min(self.column - 1, length))  # the cursor is where it ends
        return {"FINISHED"}


def _scroll_to(context: bpy.types.Context, area: bpy.types.Area, line: int) -> None:
    """Blender's own jump, since it knows how lines wrap."""
    window = next(window for window in _windows(context) if area in window.screen.areas[:])
    region = next(region for region in area.regions if region.type == "WINDOW")
    with context.temp_override(window=window, area=area, region=region):
        bpy.ops.text.jump(line=line)


def _text_of(name: str) -> bpy.types.Text:
    """The text that a message means: one of this file by its name or path, a file, a module of the add-on."""
    if name in bpy.data.texts:
        return bpy.data.texts[name]
    for text in bpy.data.texts:
        if text.filepath and Path(bpy.path.abspath(text.filepath)) == Path(name):
            return text
    is_shipped = name.startswith("fluid/") and (LIBRARY / name.removeprefix("fluid/")).is_file()
    path = LIBRARY / name.removeprefix("fluid/") if is_shipped else Path(name)
    if not path.is_absolute() or not path.is_file():
        raise fail("script-missing", f'There is no text "{name}" any more.', "It was renamed or removed since the run.")
    text = bpy.data.texts.load(str(path), internal=is_shipped)
    if is_shipped:
        text.name = name  # to be found again
    return text


class FLUID_ADDON_OT_new_script(bpy.types.Operator):  # noqa: N801
    """Begin a Lua script that runs as it stands"""

    bl_idname = "fluid_addon.new_script"
    bl_label = "New Fluid Script"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    preset: StringProperty(name="Preset", description="Its folder's name; empty for the template")

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self.preset:
            _, _, source = TEMPLATE.read_text("utf-8").partition("\n")  # its licence is not that of what grows from it
            text = new_text("fluid", source)
            trust.remember(text)
        else:
            try:
                preset = find_preset(self.preset, *preset_library.folders())
                text = new_text(preset.name, preset.source())
            except FluidError as error:
                return say(self, error)
            if preset.origin == "imported":
                trust.came_from(text, str(preset.script))
            else:
                trust.remember(text)
        show_text(context, text)
        return {"FINISHED"}


class FLUID_ADDON_OT_run_shown_text(bpy.types.Operator):  # noqa: N801
    """Run the Lua script as it stands here; its frames appear in the scene"""

    bl_idname = "fluid_addon.run_shown_text"
    bl_label = "Run Simulation"
    bl_options: ClassVar = {"UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """For Lua texts only: for any other, the key goes on to Blender's own Run Script."""
        return is_script(shown_text(context))

    def execute(self, _context: bpy.types.Context) -> set[str]:
        return bpy.ops.fluid_addon.run_simulation("INVOKE_DEFAULT")


class FLUID_ADDON_OT_show_log(bpy.types.Operator):  # noqa: N801
    """Show the whole log of the last run as a text"""

    bl_idname = "fluid_addon.show_log"
    bl_label = "Show Full Log"
    bl_options: ClassVar = {"INTERNAL"}

    name: StringProperty(name="Simulation", description="The object; by default that of the shown text")

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = (
            context.scene.objects.get(self.name)
            if self.name
            else simulation.simulation_of_text(context.scene, shown_text(context))
        )
        state = live.RUNS.state(found.fluid_addon.token) if simulation.is_simulation(found) else None
        if state is None:
            return say(self, fail("no-simulation", "Nothing was run yet.", "Press Run Simulation first."))
        text = bpy.data.texts.get(LOG_NAME) or bpy.data.texts.new(LOG_NAME)
        text.from_string(_whole_log(state))
        text[SCRIPT_OF_LOG] = found.fluid_addon.text.name if found.fluid_addon.text is not None else ""
        area = show_text(context, text)
        if area is not None:
            _scroll_to(context, area, len(text.lines))
        return {"FINISHED"}


def _whole_log(state: RunState) -> str:
    about = [state.headline]
    if state.device:
        about += ["", f'Memory on "{state.device}":', *state.memory.splitlines()]
    if state.log:
        about += ["", *(line for _, line in state.log)]
    return "\n".join(about) + "\n"


class FLUID_ADDON_OT_name_as_lua(bpy.types.Operator):  # noqa: N801
    """Let the name of this text end in .lua, so that it runs as a fluid script"""

    bl_idname = "fluid_addon.name_as_lua"
    bl_label = "Name as Lua"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        text = shown_text(context)
        return text is not None and text.library is None and not is_script(text)

    def execute(self, context: bpy.types.Context) -> set[str]:
        text = shown_text(context)
        text.name = text.name.removesuffix(".py") + ".lua"
        return {"FINISHED"}


_CLASSES = (
    FLUID_ADDON_OT_goto_error,
    FLUID_ADDON_OT_new_script,
    FLUID_ADDON_OT_run_shown_text,
    FLUID_ADDON_OT_show_log,
    FLUID_ADDON_OT_name_as_lua,
)

register, unregister = bpy.utils.register_classes_factory(_CLASSES)
