# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as both sidebars show it: its button, which is the progress meanwhile, its errors, its log.

All of it is drawn from `live.RUNS`; nothing is read or computed here.
"""

from __future__ import annotations

from typing import Any

import bpy

from ..run.state import RunState, Stage
from . import bakes, live, simulation
from .preferences import settings
from .wrapped_text import draw_wrapped, line_width, text_width

__all__ = ["LOG_SHOWN", "draw_log", "draw_run", "log_lines"]

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


def draw_run(layout: bpy.types.UILayout, context: bpy.types.Context, found: bpy.types.Object | None) -> None:
    """The button that runs a simulation, or its progress; below it what came of the last run.

    `found` is None for a text that has no simulation yet: the button makes one.
    """
    name = found.name if found is not None else ""
    token = found.fluid_addon.token if found is not None else ""
    state = live.RUNS.state(token) if token else None
    if found is not None and (newer := simulation.why_newer(found)):
        _draw_words(layout.box(), context, *newer)
        return
    column = layout.column(align=True)
    if state is None or state.is_over:
        large = column.column(align=True)
        large.scale_y = 1.6
        large.operator("fluid_addon.run_simulation", icon="PLAY").name = name
        left = bakes.unfinished(found) if found is not None else None
        if left is not None:
            text = f"Resume from Frame {left.frame}"
            column.operator("fluid_addon.resume_simulation", text=text, icon="FRAME_NEXT").name = name
        column.operator("fluid_addon.check_script", icon="CHECKMARK").name = name
    else:
        _draw_progress(column, context, state, name, token)
    if state is not None:
        _draw_outcome(layout, context, state, name)


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
    if state.checkpoint is not None:
        column.label(text=f"Checkpoint at frame {state.checkpoint}", icon="FILE_TICK")


def _place_in_queue(token: str) -> str:
    before = live.RUNS.runs_before(token)
    return "Queued: next" if before <= 1 else f"Queued: {before} before it"


def _draw_outcome(layout: bpy.types.UILayout, context: bpy.types.Context, state: RunState, name: str) -> None:
    if state.is_over:
        draw_wrapped(layout, context, state.headline, icon=_OUTCOMES.get(state.stage, "NONE"))
    if state.restarted:
        draw_wrapped(layout.box(), context, state.restarted, icon="INFO")
    for problem in state.errors:
        _draw_problem(layout.box(), context, problem, name)


def _draw_problem(box: bpy.types.UILayout, context: bpy.types.Context, problem: dict[str, Any], name: str) -> None:
    column = box.column(align=True)
    if problem["file"] and problem["line"]:
        where = f"{problem['file']}:{problem['line']}"
        jump = column.operator("fluid_addon.goto_error", text=where, icon="TEXT")
        jump.text, jump.line, jump.column = problem["file"], problem["line"], problem["column"] or 1
    _draw_words(column, context, problem["message"], problem["hint"])
    if problem["code"] == "checkpoint-mismatch":
        column.operator("fluid_addon.resume_changed", text="Choose…", icon="QUESTION").name = name


def _draw_words(column: bpy.types.UILayout, context: bpy.types.Context, message: str, hint: str | None) -> None:
    draw_wrapped(column, context, message)
    if hint:
        column.separator(factor=0.5)
        draw_wrapped(column, context, hint, icon="INFO")


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
