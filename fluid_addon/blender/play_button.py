# SPDX-License-Identifier: GPL-3.0-or-later
"""The Text Editor's Play button runs a text as Python, Lua too. For Lua texts Run Simulation takes its place.

Blender draws that button for every text that is not OSL, and offers no way to leave it out. But what a header draws is
a list of functions, to which add-ons append theirs, with Blender's own among them. Here another function stands in its
place: for a Lua text it lets Blender's draw into a layout that has Run Simulation where Play would be; for every other
text it just calls Blender's. See docs/decisions/0011-play-button.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from . import live, simulation
from .run_operators import shown_text
from .text_operators import is_script

__all__ = ["put_back", "replace"]

Draw = Callable[[Any, bpy.types.Context], None]

STOCK = "text.run_script"
#: Members of a layout that hand out a layout.
PARTS = {"row", "column", "column_flow", "grid_flow", "box", "split", "menu_pie"}

_replacements: list[_Replacement] = []


class LayoutWithoutPlay:
    """A layout, with the button that runs a simulation where the one that runs Python would be."""

    def __init__(self, layout: Any, draw_run: Callable[[Any], Any]) -> None:
        object.__setattr__(self, "_layout", layout)
        object.__setattr__(self, "_draw_run", draw_run)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._layout, name)
        if name in PARTS:
            return lambda *args, **named: LayoutWithoutPlay(found(*args, **named), self._draw_run)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._layout, name, value)

    def operator(self, idname: str, *args: Any, **named: Any) -> Any:
        if idname == STOCK:
            return self._draw_run(self._layout)
        return self._layout.operator(idname, *args, **named)


class _Drawn:
    """A header or menu, with another layout."""

    def __init__(self, drawn: Any, layout: Any) -> None:
        self._drawn, self.layout = drawn, layout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._drawn, name)


class _Replacement:
    """A draw function in the place of Blender's."""

    def __init__(self, functions: list[Draw], stock: Draw, draw_run: Callable[[Any], Any]) -> None:
        self._functions, self._stock = functions, stock

        def draw(drawn: Any, context: bpy.types.Context) -> None:
            if not is_script(shown_text(context)):
                stock(drawn, context)
                return
            try:
                stock(_Drawn(drawn, LayoutWithoutPlay(drawn.layout, draw_run)), context)
            except Exception:
                self.put_back()  # Blender shows what went wrong; from now on it draws without us
                raise

        self._draw = draw
        functions[functions.index(stock)] = draw

    def put_back(self) -> None:
        """Give Blender's function its place back, whatever else was put around it meanwhile."""
        if self._draw in self._functions:
            self._functions[self._functions.index(self._draw)] = self._stock


def _in_header(layout: Any) -> Any:
    layout.active = True  # Blender greys it out where it knows no colours for a language
    text = shown_text(bpy.context)
    found = simulation.simulation_of_text(bpy.context.scene, text)
    state = live.RUNS.state(found.fluid_addon.token) if found is not None else None
    if state is not None and not state.is_over:
        # Stop comes first: where an editor is narrow, a header is cut off at its right.
        stop = layout.operator("fluid_addon.stop_simulation", text="Stop", icon="SNAP_FACE")
        stop.name = found.name
        progress = layout.row()
        progress.ui_units_x = 11
        progress.progress(factor=state.fraction, text=state.headline)
        return stop
    run = layout.operator("fluid_addon.run_shown_text", icon="PLAY")
    if state is not None and state.errors:
        alert = layout.row()
        alert.alert = True
        first = state.errors[0]
        show = alert.operator("fluid_addon.goto_error", text=state.headline, icon="ERROR")
        show.text, show.line, show.column = first["file"] or text.name, first["line"] or 0, first["column"] or 1
    return run


def _in_menu(layout: Any) -> Any:
    return layout.operator("fluid_addon.run_shown_text")


def replace() -> None:
    """Take the place of Blender's functions. Where another add-on has done so already, it keeps it."""
    for kind, draw_run in ((bpy.types.TEXT_HT_header, _in_header), (bpy.types.TEXT_MT_text, _in_menu)):
        functions = kind._dyn_ui_initialize()
        stock = next((function for function in functions if function.__module__ == "bl_ui.space_text"), None)
        if stock is not None:
            _replacements.append(_Replacement(functions, stock, draw_run))


def put_back() -> None:
    while _replacements:
        _replacements.pop().put_back()
