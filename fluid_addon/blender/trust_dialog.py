# SPDX-License-Identifier: GPL-3.0-or-later
"""The question before a script that came with a file runs for the first time: its whole source, and what it may do.

What it may do has to stay as exact as script/sandbox.py, script/modules.py, engine/grid_source.py and
volumes/export_path.py make it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import blf
import bpy
from bpy.props import BoolProperty, CollectionProperty, IntProperty, StringProperty

from ..diagnostics import FluidError, fail
from ..run.trust_store import content_hash
from ..script.lua_tokens import line_starts
from ..script.sources import printable
from . import live, simulation, trust
from .package import say
from .preferences import Settings, settings

__all__ = ["abilities", "shown_lines"]

_WIDTH = 700  # of the dialog, at a scale of 1
_SOURCE_WIDTH = 590  # of a line of the source in it
_ROW = 21  # the height of a row of the source
_AROUND = 400  # the height of all else in the dialog, and of some of the window around it
#: Rows of all sources together; what comes after them is read in the Text Editor.
_MOST_ROWS = 3000


def abilities(limits: Settings) -> tuple[list[str], list[str]]:
    """What a script may do once it runs, and what it cannot."""
    may = [
        "Compute on the GPU for as long as it likes",
        f"Use {limits.lua_memory_mb} MB, and {limits.lua_seconds:g} s of Lua between two steps",
        "Read .vdb and .nvdb files anywhere on this machine",
        "Load .lua files from the folder of the script or scene",
        "Write frames into a folder of its own in the cache",
    ]
    cannot = [
        "Run by itself: only when you press Run",
        "Start programs or run Python",
        "Send anything over the network",
        "Read, write or delete any other file",
        "Change your scene, but for its own volumes",
    ]
    return may, cannot


def shown_lines(content: str, pieces: Callable[[str], list[str]], room: int) -> Iterator[tuple[int, str]]:
    """The lines of a source as (number, what is seen); a long line goes on in further ones, whose number is 0.

    Nothing of a line can hide: it is cut by its width, and characters that are not seen are written as escapes. After
    `room` of them comes a last one that says how many are left.
    """
    lines = _lines(content)
    shown = 0
    for number, line in enumerate(lines, start=1):
        parts = pieces(printable(line.expandtabs(4)))
        if shown + len(parts) > room:
            left = len(lines) - number + 1
            yield 0, f"… and {left:,} more line{'s' if left != 1 else ''}: read them in the Text Editor"
            return
        for place, part in enumerate(parts):
            yield (0 if place else number), part
        shown += len(parts)


def _lines(content: str) -> list[str]:
    """Lines as Lua counts them, and as its errors name them."""
    starts = line_starts(content)
    lines = [content[start:end].rstrip("\r\n") for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines


class _Pieces:
    """Cuts a line into pieces that fit into the dialog, as the interface's font draws them."""

    def __init__(self, context: bpy.types.Context) -> None:
        scale = context.preferences.system.ui_scale
        self._size = context.preferences.ui_styles[0].widget.points * scale
        self._width = _SOURCE_WIDTH * scale

    def __call__(self, line: str) -> list[str]:
        blf.size(0, self._size)
        pieces = []
        while not self._fits(line):
            low, high = 1, min(len(line), 400)  # characters that fit, and that do not
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self._fits(line[:middle]) else (low, middle)
            pieces.append(line[:low])
            line = line[low:]
        return [*pieces, line]

    def _fits(self, text: str) -> bool:
        return len(text) < 2 or (len(text) <= 400 and blf.dimensions(0, text)[0] <= self._width)


class FluidSourceLine(bpy.types.PropertyGroup):
    """A row of the list: a line of a source, or with number -1 the name of a text."""

    number: IntProperty()
    name: StringProperty()


class FLUID_ADDON_UL_source_lines(bpy.types.UIList):  # noqa: N801
    def draw_item(
        self,
        _context: bpy.types.Context,
        layout: bpy.types.UILayout,
        _data: object,
        item: FluidSourceLine,
        _icon: int,
        _active_data: object,
        _active_property: str,
    ) -> None:
        if item.number < 0:
            layout.label(text=item.name, icon="TEXT", translate=False)
            return
        split = layout.split(factor=0.06, align=True)
        number = split.row()
        number.alignment = "RIGHT"
        number.enabled = False
        number.label(text=str(item.number) if item.number else "", translate=False)
        split.label(text=item.name, translate=False)


class FLUID_ADDON_OT_trust_script(bpy.types.Operator):  # noqa: N801
    """Run the script of a simulation, and trust it from now on as it stands"""

    bl_idname = "fluid_addon.trust_script"
    bl_label = "Trust and Run"
    bl_options: ClassVar = {"INTERNAL"}  # never repeated by a key: each change has to be seen

    name: StringProperty(name="Simulation", description="The object whose script is trusted")
    resume: BoolProperty(options={"SKIP_SAVE"}, description="Go on from the last checkpoint, as Resume does")
    accept_changes: BoolProperty(options={"SKIP_SAVE"}, description="Also with another script or other parameters")
    lines: CollectionProperty(type=FluidSourceLine, options={"HIDDEN", "SKIP_SAVE"})
    line: IntProperty(default=-1, options={"HIDDEN", "SKIP_SAVE"})  # no row is chosen
    seen: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        try:
            found = self._found(context)
        except FluidError as error:
            return say(self, error)
        texts = trust.untrusted_texts(found.fluid_addon.text)
        if not texts:
            return self.execute(context)
        pieces = _Pieces(context)
        self._fill(texts, pieces)
        self.seen = _state(texts)
        self._about = [_about(text, pieces) for text in texts[:3]]
        self._left = len(texts) - len(self._about)
        self._text = texts[0].name
        self._has_editor = any(
            area.type == "TEXT_EDITOR" for window in context.window_manager.windows for area in window.screen.areas
        )
        height = context.window.height / context.preferences.system.ui_scale
        self._rows = min(24, max(6, int(height - _AROUND - 40 * len(self._about)) // _ROW))
        self._abilities = abilities(settings())
        title = "Trust this script?" if len(texts) == 1 else f"Trust these {len(texts)} scripts?"
        return context.window_manager.invoke_props_dialog(
            self, width=_WIDTH, title=title, confirm_text=self.bl_label, cancel_default=True
        )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        box = layout.box().column(align=True)
        for what, file in self._about:
            box.label(text=what, icon="ERROR", translate=False)
            for place, piece in enumerate(file):
                box.label(text=piece, icon="BLANK1" if place else "FILE_BLEND", translate=False)
        if self._left:
            box.label(text=f"… and {self._left} more", icon="BLANK1")
        columns = layout.split(factor=0.55)
        for title, icon, entries in zip(
            ("If you run it, it may", "It cannot"), ("CHECKMARK", "X"), self._abilities, strict=True
        ):
            box = columns.box().column(align=True)
            box.label(text=title)
            for entry in entries:
                box.label(text=entry, icon=icon)
        rows = self._rows
        layout.template_list("FLUID_ADDON_UL_source_lines", "", self, "lines", self, "line", rows=rows, maxrows=rows)
        if self._has_editor:
            layout.operator("fluid_addon.goto_error", text="Show in the Text Editor", icon="TEXT").text = self._text

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Called without the dialog, this trusts the script as it stands: whoever calls it has said so."""
        try:
            found = self._found(context)
            texts = trust.untrusted_texts(found.fluid_addon.text)
            if self.seen and self.seen != _state(texts):
                message = "The script was changed while you read it."
                raise fail("untrusted-script", message, "Press Run Simulation to see it as it is now.")
            try:
                trust.trust_texts(texts)
            except FluidError as error:  # it is trusted until Blender ends
                for problem in error.diagnostics:
                    self.report({"WARNING"}, problem.message)
            live.start(found, context.scene, resume=self.resume, accept_changes=self.accept_changes)
        except FluidError as error:
            return say(self, error)
        return {"FINISHED"}

    def _found(self, context: bpy.types.Context) -> bpy.types.Object:
        found = context.scene.objects.get(self.name)
        if not simulation.is_simulation(found):
            raise fail("no-simulation", f'There is no simulation "{self.name}".', "Give the name of its object.")
        if found.fluid_addon.text is None:
            raise fail("script-missing", f'"{self.name}" has no script.', "Choose a text for it.")
        return found

    def _fill(self, texts: list[bpy.types.Text], pieces: _Pieces) -> None:
        self.lines.clear()
        for text in texts:
            if len(texts) > 1:
                self._add(-1, printable(text.name))
            for number, line in shown_lines(text.as_string(), pieces, _MOST_ROWS // len(texts)):
                self._add(number, line)

    def _add(self, number: int, line: str) -> None:
        row = self.lines.add()
        row.number, row.name = number, line


def _about(text: bpy.types.Text, pieces: _Pieces) -> tuple[str, list[str]]:
    """Why a text is asked about, and the path of the file that it came from, a piece for each line."""
    origin, name = trust.origin(text), printable(text.name)
    if origin.changed:
        return f'"{name}" was changed since you trusted it. It came with the file', pieces(printable(origin.file))
    if not origin.file:
        return f'"{name}" was there when Blender started, and you have not trusted it yet', []
    return f'You have not trusted "{name}" yet. It came with the file', pieces(printable(origin.file))


def _state(texts: list[bpy.types.Text]) -> str:
    """Texts as they stand now."""
    return " ".join(sorted(content_hash(text.as_string()) for text in texts))


_CLASSES = (FluidSourceLine, FLUID_ADDON_UL_source_lines, FLUID_ADDON_OT_trust_script)

register, unregister = bpy.utils.register_classes_factory(_CLASSES)
