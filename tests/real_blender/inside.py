# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside Blender: takes orders from a folder and answers there, so that a test can wait for what it wants to see.

An order is a piece of Python, N.py; the answer is N.json with the value of its last expression, or with the traceback.
Orders are carried out by a timer, where all of Blender is allowed, and share one namespace that outlives the loading of
files. Every order sees what is defined below.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

EXTENSION = "bl_ext.user_default.fluid_addon"
FOLDER = Path(os.environ["FLUID_SCRIPT_ORDERS"])
LOOK_EVERY = 0.02  # seconds


# ===== What orders may use


def part(name: str) -> Any:
    """A module of the installed add-on, such as "blender.live"."""
    return importlib.import_module(f"{EXTENSION}.fluid_addon.{name}")


def window() -> Any:
    return bpy.context.window_manager.windows[0]


def area(kind: str) -> Any:
    """The largest area of a kind."""
    return max((each for each in window().screen.areas if each.type == kind), key=lambda each: each.width * each.height)


def region(kind: str, of: str) -> Any:
    return next(each for each in area(kind).regions if each.type == of)


def inside(kind: str, of: str = "WINDOW") -> Any:
    """The context of a region, for `with`."""
    return bpy.context.temp_override(window=window(), screen=window().screen, area=area(kind), region=region(kind, of))


def box(of: Any) -> list[int]:
    """An area or a region as x, y, width, height on the screen, from its upper left corner."""
    return [of.x, window().height - of.y - of.height, of.width, of.height]


def state(found: Any) -> Any:
    """The run of a simulation."""
    return part("blender.live").RUNS.state(found.fluid_addon.token)


def newest(found: Any) -> int:
    """The number of the file that an object holds at the end of time: the last one that the scene knows of; else 0."""
    volume, late = found.data, 100_000
    animation = volume.animation_data
    if not volume.is_sequence or animation is None or animation.action is None:
        return 0
    bag = animation.action.layers[0].strips[0].channelbag(animation.action_slot)
    curve = bag.fcurves.find("frame_offset")
    return round(late - volume.frame_start + 1 + curve.evaluate(late))


def under_the_mouse(kind: str, of: str) -> str:
    """The button under the mouse: the Python of its operator, or the path of its property; empty for none."""
    clipboard = bpy.context.window_manager
    clipboard.clipboard = ""
    with inside(kind, of):
        if bpy.ops.ui.copy_python_command_button.poll():
            bpy.ops.ui.copy_python_command_button()
        elif bpy.ops.ui.copy_data_path_button.poll():
            bpy.ops.ui.copy_data_path_button()
    return str(clipboard.clipboard)


# ===== Orders


def carry_out(source: str) -> Any:
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    names = globals()
    if isinstance(last, ast.Expr):
        exec(compile(ast.Module(tree.body[:-1], []), "order", "exec"), names)
        return eval(compile(ast.Expression(last.value), "order", "eval"), names)
    exec(compile(tree, "order", "exec"), names)
    return None


def answer(order: Path) -> None:
    try:
        text = json.dumps({"value": carry_out(order.read_text("utf-8"))}, default=list)  # operators answer with sets
    except BaseException:
        text = json.dumps({"error": traceback.format_exc()})
    finally:
        order.unlink(missing_ok=True)
    unfinished = order.with_suffix(".part")
    unfinished.write_text(text, "utf-8")
    unfinished.rename(order.with_suffix(".json"))


def look() -> float:
    for order in sorted(FOLDER.glob("*.py")):
        answer(order)
    return LOOK_EVERY


# ===== Measuring


class Gaps:
    """Times between the turns of a timer that asks for a turn every 5 ms: how long Blender's main thread was away."""

    EVERY = 0.005

    def __init__(self) -> None:
        self.times: list[float] = []
        self._turn: Callable[[], float] = self._take_turn
        bpy.app.timers.register(self._turn, persistent=True)

    def _take_turn(self) -> float:
        self.times.append(time.perf_counter())
        return self.EVERY

    def end(self) -> list[float]:
        """In milliseconds."""
        bpy.app.timers.unregister(self._turn)
        return [1000.0 * (b - a) for a, b in zip(self.times, self.times[1:], strict=False)]


class Timed:
    """How long each call of a function of the add-on took, in milliseconds."""

    def __init__(self, module: str, name: str) -> None:
        self.took: list[float] = []
        self._module, self._name = part(module), name
        self._original = original = getattr(self._module, name)

        def timed(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(*given, **named)
            finally:
                self.took.append(1000.0 * (time.perf_counter() - start))

        setattr(self._module, name, timed)

    def end(self) -> list[float]:
        setattr(self._module, self._name, self._original)
        return self.took


class StopWatch:
    """From asking a run to stop until it is over and its process is gone, in milliseconds."""

    def __init__(self, found: Any) -> None:
        self._runs, self._token = part("blender.live").RUNS, found.fluid_addon.token
        self.stage = self._runs.state(self._token).stage.name
        worker = self._runs.worker_pid(self._token)  # there is none before the queue's next turn
        self._process = Path(f"/proc/{worker}") if worker else None
        self.took: float | None = None
        self._start = time.perf_counter()
        with bpy.context.temp_override(window=window()):
            bpy.ops.fluid_addon.stop_simulation(name=found.name)
        self._turn: Callable[[], float | None] = self._look
        bpy.app.timers.register(self._turn)

    def _look(self) -> float | None:
        if self._runs.is_running(self._token) or (self._process and self._process.exists()):
            return 0.001
        self.took = 1000.0 * (time.perf_counter() - self._start)
        return None


if not bpy.app.timers.is_registered(look):
    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.view.show_tooltips = False  # they would cover what is to be seen
    bpy.context.preferences.use_preferences_save = False
    bpy.app.timers.register(look, first_interval=0.1, persistent=True)
