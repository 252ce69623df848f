#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render the pictures of the presets: thumbnail.png beside each script, and a larger one for docs/gallery.md.

    python scripts/make_thumbnails.py [PRESET...]        # all of lua_presets without a name

Each preset is run as anybody would run it, by the command line in a worker process, up to the frame that [thumbnail] in
its preset.toml names; Cycles renders that frame. The table may have:

    frame = 40                     # the frame to show
    from = 1                       # the first to export, where the script itself reads what it exported
    values = { resolution = 64 }   # of parameters, where the defaults take too long
    view = [0.4, -1.0, 0.2]        # from the subject to the camera, where the stage's own view hides something

The same sources on the same machine make the same pictures, byte by byte.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fluid_addon.blender.render import render_bake  # noqa: E402 - the project is no installed package
from fluid_addon.run.presets import ABOUT, LIBRARY, THUMBNAIL, Preset, find_preset, list_presets  # noqa: E402

IMAGES = ROOT / "docs/images"
SIDE, SAMPLES = 384, 10


def simulate(preset: Preset, about: dict, folder: Path) -> Path:
    """Run a preset up to the frame of its picture; the folder of the bake, which ends with this frame."""
    order = [sys.executable, "-m", "fluid_addon", "run", str(preset.script), "-o", str(folder), "--json"]
    order += ["--frames", f"{about.get('from', about['frame'])}-{about['frame']}"]
    for name, value in about.get("values", {}).items():
        order += ["--param", f"{name}={json.dumps(value)}"]
    told = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        raise SystemExit(f"{preset.name} does not run:\n{told.stdout[-4000:]}{told.stderr}")
    events = [json.loads(line) for line in told.stdout.splitlines()]
    return next(Path(event["folder"]) for event in events if event["event"] == "bake")


def picture(bake: Path, view: tuple[float, float, float] | None) -> np.ndarray:
    """What Cycles makes of a bake: (height, width, 3) from 0 to 1, rows from the top."""
    import bpy

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "picture.png")
        render_bake(bake, path, resolution=(SIDE, SIDE), samples=SAMPLES, view=view)
        image = bpy.data.images.load(str(path))
        image.colorspace_settings.name = "Non-Color"  # the bytes as they are
        pixels = np.empty(SIDE * SIDE * image.channels, np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
    return pixels.reshape(SIDE, SIDE, -1)[::-1, :, :3]


def main() -> int:
    parser = argparse.ArgumentParser(description="Render the pictures of the presets.")
    parser.add_argument("preset", nargs="*", help="names of presets; default all")
    names = parser.parse_args().preset or [preset.name for preset in list_presets()]
    from fluid_addon.blender.thumbnail import png, square

    for name in names:
        preset = find_preset(name)
        about = tomllib.loads((LIBRARY / name / ABOUT).read_text("utf-8")).get("thumbnail", {"frame": 1})
        with tempfile.TemporaryDirectory() as folder:
            pixels = picture(simulate(preset, about, Path(folder)), about.get("view"))
        finer = pixels.repeat(4, axis=0).repeat(4, axis=1)  # whose sides are a multiple of the thumbnail's
        (LIBRARY / name / THUMBNAIL).write_bytes(png(square(finer)))
        (IMAGES / f"gallery_{name}.png").write_bytes(png(pixels))
        print(f"{name}: frame {about['frame']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
