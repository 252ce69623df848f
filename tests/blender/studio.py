# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene with the add-on for tests that run simulations in it, and with a hand on Blender's timer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from fluid_addon.volumes.openvdb_files import read_vdb

__all__ = ["SCRIPT", "Studio"]

SCRIPT = """
local value = param("value", {default = 1, min = 0, max = 4})
sim = FluidEngine.new{domain_size = {16, 16, 16}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("fill", {outputs = {"density"}, code = [[WriteField("density", idx, params.value);]]})
sim:run{frames = FRAMES, fps = 24, export = "smoke_####.vdb"}
"""


class Studio:
    """A scene with the add-on, and its timer in our hands: Blender's own do not run without a window."""

    def __init__(self, bpy: Any, part: Callable[[str], ModuleType]) -> None:
        self.bpy, self.part = bpy, part
        self.live, self.simulation = part("blender.live"), part("blender.simulation")

    def add(self, frames: int = 3, name: str = "Smoke", source: str = SCRIPT) -> Any:
        text = self.bpy.data.texts.new(f"{name}.lua")
        text.write(source.replace("FRAMES", str(frames)))
        return self.simulation.new_simulation(self.bpy.context.scene, text, name)

    def start(self, found: Any, verb: str = "run") -> Any:
        self.live.start(found, self.bpy.context.scene, verb)
        return self.state(found)

    def state(self, found: Any) -> Any:
        return self.live.RUNS.state(found.fluid_addon.token)

    def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it never came to that"
            self.live._drain()
            time.sleep(0.01)

    def idle(self) -> None:
        self.until(lambda: self.live._drain() is None)

    def worker(self) -> int:
        (token,) = self.live.RUNS.active
        return self.live.RUNS.worker_pid(token)

    def threads_beside(self, before: set[threading.Thread]) -> list[threading.Thread]:
        """The threads that were begun since and still run, but for those that end by themselves within a moment."""
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=2.0)
        return [thread for thread in threading.enumerate() if thread not in before]

    def largest(self, found: Any, frame: int) -> float:
        """The largest density that the object shows at a frame."""
        self.bpy.context.scene.frame_set(frame)
        seen = found.evaluated_get(self.bpy.context.evaluated_depsgraph_get()).data
        assert seen.grids.load(), seen.grids.error_message
        (grid,) = read_vdb(Path(seen.grids.frame_filepath), ["density"])
        return float(max(grid.leaf_values.max(initial=0.0), grid.tiles.values.max(initial=0.0)))
