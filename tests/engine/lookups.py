# SPDX-License-Identifier: GPL-3.0-or-later
"""What numpy gives for reads and samples of a field, at centres and on faces, by every boundary rule."""

from __future__ import annotations

from itertools import product

import numpy as np

from fluid_addon.engine import Format

BACKGROUND = (0.5, -0.25, 0.125)
SIZE = (8, 6, 12)


def face(values: np.ndarray, coord: np.ndarray, rules: tuple[str, ...]) -> np.ndarray:
    """numpy's answer for the stored values at integer coordinates (…, 3): each component by its own rule."""
    coord = np.asarray(coord)
    found = np.empty(coord.shape, values.dtype)
    for part in range(3):
        places, outside = [], np.zeros(coord.shape[:-1], bool)
        for axis, rule in enumerate(rules):
            c, n = coord[..., axis], values.shape[axis]
            if rule == "open":
                outside |= (c < 0) | (c >= n)
            elif rule == "clamp" and axis == part:
                outside |= c >= n
            places.append(c % n if rule == "periodic" else c.clip(0, n - 1))
        found[..., part] = np.where(outside, values.dtype.type(BACKGROUND[part]), values[(*places, part)])
    return found


def sample_faces(values: np.ndarray, position: np.ndarray, rules: tuple[str, ...]) -> np.ndarray:
    """numpy's trilinear answer at positions (…, 3), in 64 bits."""
    found = np.zeros(position.shape)
    for part in range(3):
        p = position + 0.5 * np.eye(3)[part]
        low = np.floor(p).astype(int)
        f = p - low
        for corner in product((0, 1), repeat=3):
            weight = np.prod(np.where(np.array(corner) == 1, f, 1 - f), axis=-1)
            found[..., part] += weight * face(values, low + corner, rules)[..., part].astype(np.float64)
    return found


def coords(size: tuple[int, ...] = SIZE) -> np.ndarray:
    return np.stack(np.indices(size), axis=-1)


def random_faces(format_: Format = Format.R32G32B32F, size: tuple[int, ...] = SIZE) -> np.ndarray:
    return np.random.default_rng(8).normal(size=(*size, 3)).astype(format_.dtype)


def sample(values: np.ndarray, position: np.ndarray, rule: str, background: float) -> np.ndarray:
    """numpy's trilinear answer at positions (…, 3), in 64 bits."""
    low = np.floor(position).astype(int)
    f = position - low
    found = np.zeros(position.shape[:-1])
    for corner in product((0, 1), repeat=3):
        c = low + corner
        inside = ((c >= 0) & (c < values.shape)).all(axis=-1)
        c = c % values.shape if rule == "periodic" else c.clip(0, np.array(values.shape) - 1)
        weight = np.prod(np.where(np.array(corner) == 1, f, 1 - f), axis=-1)
        value = values[c[..., 0], c[..., 1], c[..., 2]].astype(np.float64)
        found += weight * (np.where(inside, value, background) if rule == "open" else value)
    return found
