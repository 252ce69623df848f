#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the meshes of the presets that take one from the scene: a knot that smokes, and a star that burns.

    python scripts/make_preset_meshes.py

Where no Blender scene has an object of that name, `scene.object("Emitter")` reads Emitter.obj beside the script.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PRESETS = Path(__file__).resolve().parents[1] / "lua_presets"
Points = NDArray[np.float64]


def knot(around: int = 90, across: int = 10, thickness: float = 0.15) -> tuple[Points, list[list[int]]]:
    """A trefoil knot as a closed tube of `around` rings with `across` points, about 1.5 wide and standing upright."""
    t = np.linspace(0.0, 2.0 * np.pi, around, endpoint=False)
    x, z = np.sin(t) + 2.0 * np.sin(2.0 * t), np.cos(t) - 2.0 * np.cos(2.0 * t)
    line = 0.24 * np.stack([x, -0.7 * np.sin(3.0 * t), z], axis=1)
    tangent = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, [0.0, 1.0, 0.0])  # the knot lies nearly in a plane, so no tangent points along y
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(tangent, side)
    angle = np.linspace(0.0, 2.0 * np.pi, across, endpoint=False)[None, :, None]
    rings = line[:, None] + thickness * (np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None])
    faces = [
        [i * across + j, i * across + k, (i + 1) % around * across + k, (i + 1) % around * across + j]
        for i in range(around)
        for j, k in ((j, (j + 1) % across) for j in range(across))
    ]
    return rings.reshape(-1, 3), faces


def star(rays: int = 5, outer: float = 0.72, inner: float = 0.3, depth: float = 0.2) -> tuple[Points, list[list[int]]]:
    """An upright star, thickest in its middle: an outline in the plane of x and z, and a point before and behind it."""
    angle = np.pi / 2.0 + np.arange(2 * rays) * np.pi / rays
    radius = np.where(np.arange(2 * rays) % 2 == 0, outer, inner)
    outline = np.stack([radius * np.cos(angle), np.zeros(2 * rays), radius * np.sin(angle)], axis=1)
    points = np.concatenate([outline, [[0.0, -depth, 0.0], [0.0, depth, 0.0]]])
    front, back = 2 * rays, 2 * rays + 1
    pairs = [(i, (i + 1) % (2 * rays)) for i in range(2 * rays)]
    return points, [[front, i, j] for i, j in pairs] + [[back, j, i] for i, j in pairs]


def write_obj(path: Path, points: Points, faces: list[list[int]]) -> None:
    lines = [f"# SPDX-License-Identifier: GPL-3.0-or-later\n# Made by scripts/{Path(__file__).name}\no {path.stem}"]
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in points]
    lines += ["f " + " ".join(str(corner + 1) for corner in face) for face in faces]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    for preset, (points, faces), height in (("smoke_from_mesh", knot(), 0.95), ("fire_on_mesh", star(), 0.85)):
        write_obj(PRESETS / preset / "Emitter.obj", points + np.array([0.0, 0.0, height]), faces)


if __name__ == "__main__":
    main()
