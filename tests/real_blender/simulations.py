# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulations for the tests: the smoke of the library, with other numbers."""

from __future__ import annotations

import re
from pathlib import Path

from tests.real_blender.window import Blender

__all__ = ["ENDLESS", "add", "run", "smoke", "wait_for_frames"]

PRESET = Path(__file__).resolve().parents[2] / "lua_presets/smoke_plume/script.lua"
ENDLESS = 1000  # frames: more than any test waits for


def smoke(resolution: int = 32, frames: int = 12, cube: bool = False) -> str:
    """The script of the smoke plume with other defaults; its domain is half as high again as wide, or a cube."""
    script = PRESET.read_text("utf-8")
    for name, value in {"resolution": resolution, "frames": frames}.items():
        script, replaced = re.subn(rf'(param\("{name}", {{default = )\d+', rf"\g<1>{value}", script)
        assert replaced == 1
    return script.replace("n * 3 // 2", "n") if cube else script


def add(blender: Blender, source: str, name: str = "Smoke") -> None:
    """A simulation of a text that was typed in here."""
    blender.tell(
        f"text = bpy.data.texts.new({name.lower() + '.lua'!r}); text.write({source!r})\n"
        f"found = part('blender.simulation').new_simulation(window().scene, text, {name!r})\n"
        "window().view_layer.objects.active = found\n"
        "text = found = None"
    )


def run(blender: Blender, name: str = "Smoke") -> None:
    blender.tell(f"with bpy.context.temp_override(window=window()): bpy.ops.fluid_addon.run_simulation(name={name!r})")


def wait_for_frames(blender: Blender, frames: int, name: str = "Smoke") -> None:
    """Wait until the scene shows so many frames."""
    blender.wait_for(f"newest(bpy.data.objects[{name!r}]) >= {frames}", patience=120.0)
