# SPDX-License-Identifier: GPL-3.0-or-later
"""A square picture for a preset that is saved: of the last render, of the 3D View, or a plain drawn one."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np

__all__ = ["can_see", "of_last_render", "of_view", "plain", "png", "square"]

SIDE = 256


def plain(seed: int = 0) -> bytes:
    """A cloud in a tint of its own, for where there is nothing to take a picture of."""
    y, x = np.mgrid[-1.0 : 1.0 : SIDE * 1j, -1.0 : 1.0 : SIDE * 1j]
    chance = np.random.default_rng(seed)
    thick, light = np.zeros_like(x), np.zeros_like(x)
    places = np.clip(chance.normal(0.0, (0.22, 0.18), (28, 2)), -0.45, 0.45)
    for (a, b), r in zip(places, chance.uniform(0.16, 0.34, 28), strict=True):
        inside = np.clip(1.0 - ((x - a) ** 2 + (y - b) ** 2) / r**2, 0.0, 1.0)
        thick += inside
        light += inside * (0.5 - 0.5 * ((x - a) + (y - b)) / r)  # from the upper left
    hue = chance.uniform() + np.array([0.0, 1 / 3, 2 / 3])
    tint = 0.75 + 0.2 * np.cos(2.0 * np.pi * hue)
    shade = (0.45 + 0.55 * np.clip(light / np.maximum(thick, 1e-6), 0.0, 1.0))[..., None]
    opaque = (1.0 - np.exp(-3.0 * thick))[..., None]
    ground = (0.14 - 0.04 * y)[..., None]
    return png(ground * (1.0 - opaque) + tint * shade * opaque)


def can_see(context: bpy.types.Context) -> bool:
    """Whether the window shows a 3D View."""
    return _view(context) is not None


def of_view(context: bpy.types.Context) -> bytes | None:
    """The 3D View as it is seen, without its overlays; None where no window shows one."""
    area = _view(context)
    if area is None:
        return None
    region = next(region for region in area.regions if region.type == "WINDOW")
    return _draw(context, area.spaces.active, region)


def _view(context: bpy.types.Context) -> bpy.types.Area | None:
    if bpy.app.background or context.window is None:
        return None
    return next((area for area in context.window.screen.areas if area.type == "VIEW_3D"), None)


def _draw(context: bpy.types.Context, space: bpy.types.SpaceView3D, region: bpy.types.Region) -> bytes:
    import gpu

    scale = 2 * SIDE / max(1, min(region.width, region.height))
    size = [max(1, round(side * scale)) for side in (region.width, region.height)]
    view, overlays = space.region_3d, space.overlay.show_overlays
    screen = gpu.types.GPUOffScreen(*size)
    try:
        space.overlay.show_overlays = False
        screen.draw_view3d(
            context.scene,
            context.view_layer,
            space,
            region,
            view.view_matrix,
            view.window_matrix,
            do_color_management=True,
        )
        buffer = screen.texture_color.read()
        buffer.dimensions = size[0] * size[1] * 4
        pixels = np.array(buffer, dtype=np.float32).reshape(size[1], size[0], -1)
    finally:
        space.overlay.show_overlays = overlays
        screen.free()
    return png(square(pixels[::-1, :, :3] / (255.0 if pixels.max() > 1.5 else 1.0)))


def of_last_render(scene: bpy.types.Scene) -> bytes | None:
    """The last render of a scene as the artist sees it, or None where there is none."""
    image = bpy.data.images.get("Render Result")
    if image is None or scene.library is not None:
        return None
    loaded = None
    try:
        with tempfile.TemporaryDirectory() as folder, _as_png(scene.render.image_settings):
            path = str(Path(folder) / "render.png")
            image.save_render(path, scene=scene)  # a RuntimeError where nothing was rendered
            loaded = bpy.data.images.load(path)
            width, height = loaded.size
            pixels = np.empty(width * height * loaded.channels, np.float32)
            loaded.pixels.foreach_get(pixels)
            return png(square(pixels.reshape(height, width, -1)[::-1, :, :3]))
    except (RuntimeError, OSError):
        return None
    finally:
        if loaded is not None:
            bpy.data.images.remove(loaded)


@contextmanager
def _as_png(settings: bpy.types.ImageFormatSettings) -> Iterator[None]:
    """Let a scene write PNG for a moment, whatever the artist's renders are."""
    wanted = {"media_type": "IMAGE", "file_format": "PNG", "color_mode": "RGB", "color_depth": "8"}
    before = {name: getattr(settings, name) for name in wanted if hasattr(settings, name)}  # media_type since 5.0
    try:
        for name in before:
            setattr(settings, name, wanted[name])
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def square(pixels: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The middle of a picture as a square of `side`: the mean of what falls on a pixel, or the nearest."""
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    middle = pixels[top : top + shorter, left : left + shorter]
    block = shorter // side
    if block <= 1:
        nearest = (np.arange(side) + 0.5) * shorter / side
        return middle[nearest.astype(int)][:, nearest.astype(int)]
    rest = (shorter - block * side) // 2
    middle = middle[rest : rest + block * side, rest : rest + block * side]
    return middle.reshape(side, block, side, block, -1).mean(axis=(1, 3))


def png(pixels: np.ndarray) -> bytes:
    """Red, green and blue from 0 to 1, rows from the top, as a PNG file."""
    height, width = pixels.shape[:2]
    rows = (np.clip(pixels, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    steps = np.concatenate([rows[:, :1], rows[:, 1:] - rows[:, :-1]], axis=1)  # filter 1: the pixel before, modulo 256
    lines = np.concatenate([np.ones((height, 1), np.uint8), steps.reshape(height, width * 3)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
