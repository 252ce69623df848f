# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as both sidebars show it: its button, which is the progress meanwhile, its errors, its log.

All of it is drawn from `live.RUNS`; nothing is read or computed here but the widths of words, since lines of a sidebar
do not wrap by themselves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import blf
import bpy

from ..run.state import RunState, Stage
from . import live
from .preferences import settings

__all__ = ["LOG_SHOWN", "draw_log", "draw_run", "draw_wrapped", "log_lines", "wrap"]

#: Entries of the log that a sidebar shows; the whole of it is a text of its own.
LOG_SHOWN = 12

#: What the preference "Log Level" lets through.
_LEVELS = {"ERRORS": {"error"}, "NOTES": {"error", "note"}, "EVERYTHING": {"error", "note", "log"}}
_OUTCOMES = {
    Stage.DONE: "CHECKMARK",
    Stage.CHECKED: "CHECKMARK",
    Stage.STOPPED: "SNAP_FACE",
    Stage.FAILED: "ERROR",
}
_LEVEL_ICONS = {"error": "ERROR", "note": "INFO", "log": "BLANK1"}

#: What a sidebar takes from a line's width at a scale of 1: tabs of the categories, panel and box around it.
_MARGIN = 70.0
_ICON = 22.0


def draw_run(layout: bpy.types.UILayout, context: bpy.types.Context, found: bpy.types.Object | None) -> None:
    """The button that runs a simulation, or its progress; below it what came of the last run.

    `found` is None for a text that has no simulation yet: the button makes one.
    """
    name = found.name if found is not None else ""
    token = found.fluid_addon.token if found is not None else ""
    state = live.RUNS.state(token) if token else None
    column = layout.column(align=True)
    if state is None or state.is_over:
        large = column.column(align=True)
        large.scale_y = 1.6
        large.operator("fluid_addon.run_simulation", icon="PLAY").name = name
        column.operator("fluid_addon.check_script", icon="CHECKMARK").name = name
    else:
        _draw_progress(column, context, state, name, token)
    if state is not None:
        _draw_outcome(layout, context, state)


def _draw_progress(
    column: bpy.types.UILayout, context: bpy.types.Context, state: RunState, name: str, token: str
) -> None:
    bar = column.column(align=True)
    bar.scale_y = 1.6
    headline, rest = state.headline, ""
    if state.stage is Stage.QUEUED:
        headline = _place_in_queue(token)
    if text_width(headline, context) > line_width(context):  # a bar cuts what does not fit
        headline, _, rest = headline.partition(", ")
    bar.progress(factor=state.fraction, text=headline)
    if rest:
        column.label(text=rest)
    stop = column.column(align=True)
    stop.enabled = state.stage is not Stage.STOPPING
    stop.operator("fluid_addon.stop_simulation", icon="SNAP_FACE").name = name


def _place_in_queue(token: str) -> str:
    before = live.RUNS.runs_before(token)
    return "Queued: next" if before <= 1 else f"Queued: {before} before it"


def _draw_outcome(layout: bpy.types.UILayout, context: bpy.types.Context, state: RunState) -> None:
    if state.is_over:
        draw_wrapped(layout, context, state.headline, icon=_OUTCOMES.get(state.stage, "NONE"))
    for problem in state.errors:
        _draw_problem(layout.box(), context, problem)


def _draw_problem(box: bpy.types.UILayout, context: bpy.types.Context, problem: dict[str, Any]) -> None:
    column = box.column(align=True)
    if problem["file"] and problem["line"]:
        where = f"{problem['file']}:{problem['line']}"
        jump = column.operator("fluid_addon.goto_error", text=where, icon="TEXT")
        jump.text, jump.line, jump.column = problem["file"], problem["line"], problem["column"] or 1
    draw_wrapped(column, context, problem["message"])
    if problem["hint"]:
        column.separator(factor=0.5)
        draw_wrapped(column, context, problem["hint"], icon="INFO")


def draw_log(layout: bpy.types.UILayout, context: bpy.types.Context, found: bpy.types.Object | None) -> None:
    """The end of a run's log, its device and its memory."""
    state = live.RUNS.state(found.fluid_addon.token) if found is not None else None
    if state is None:
        layout.label(text="Nothing was run yet", icon="INFO")
        return
    column = layout.column(align=True)
    if state.device:
        draw_wrapped(column, context, state.device, icon="MEMORY")
    if state.memory:
        draw_wrapped(column, context, "Memory: " + state.memory.splitlines()[-1].split(None, 1)[-1], icon="BLANK1")
    lines = log_lines(state, settings().log_level)
    if lines:
        box = layout.box().column(align=True)
        for level, text in lines[-LOG_SHOWN:]:
            draw_wrapped(box, context, text.split("\n", 1)[0], icon=_LEVEL_ICONS[level])
    else:
        layout.label(text="The log is empty")
    layout.operator("fluid_addon.show_log", icon="TEXT").name = found.name


def log_lines(state: RunState, level: str) -> list[tuple[str, str]]:
    """(level, text) of what a log level lets through, oldest first."""
    allowed = _LEVELS.get(level, _LEVELS["EVERYTHING"])
    return [entry for entry in state.log if entry[0] in allowed]


# ===== Lines that wrap


def draw_wrapped(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """A text in as many labels as the sidebar's width asks for. An icon stands before the first one."""
    room = line_width(context) - (_ICON * _scale(context) if icon != "NONE" else 0.0)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(wrap(text, room, _font_size(context))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE", translate=False)


@lru_cache(maxsize=512)
def wrap(text: str, width: float, size: float) -> tuple[str, ...]:
    """The lines of a text, none of them wider than `width` pixels in the interface's font of `size` points."""
    blf.size(0, size)
    return tuple(line for paragraph in text.splitlines() or [""] for line in _wrap_paragraph(paragraph, width))


def _wrap_paragraph(text: str, width: float) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if _fits(longer, width):
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, width)
        lines += whole
    return [*lines, line]


def _pieces(word: str, width: float) -> list[str]:
    """A word that is wider than a line, such as a path, in pieces that fit."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and not _fits(pieces[-1] + letter, width):
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _fits(text: str, width: float) -> bool:
    return bool(blf.dimensions(0, text)[0] <= width)


def text_width(text: str, context: bpy.types.Context) -> float:
    blf.size(0, _font_size(context))
    return float(blf.dimensions(0, text)[0])


def line_width(context: bpy.types.Context) -> float:
    """Pixels that a line of text has in the region that is drawn, within a box of a panel."""
    region = context.region
    view = region.view2d
    (left, _), (right, _) = view.view_to_region(0, 0, clip=False), view.view_to_region(1000, 0, clip=False)
    zoom = (right - left) / 1000.0 or 1.0
    return max(region.width / zoom - _MARGIN * _scale(context), 60.0 * _scale(context))


def _scale(context: bpy.types.Context) -> float:
    return float(context.preferences.system.ui_scale) or 1.0  # none is known without a window


def _font_size(context: bpy.types.Context) -> float:
    return float(context.preferences.ui_styles[0].widget.points) * _scale(context)
