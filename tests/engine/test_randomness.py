# SPDX-License-Identifier: GPL-3.0-or-later
"""Random, Noise and CurlNoise: equal to their numpy twins, and what their names promise."""

from __future__ import annotations

import numpy as np

from fluid_addon.engine import Format

SIZE = (24, 20, 28)


def pcg3d(v: np.ndarray) -> np.ndarray:
    """Jarzynski and Olano 2020, listing of pcg3d, on (…, 3) uint32."""
    v = v.astype(np.uint32) * np.uint32(1664525) + np.uint32(1013904223)
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    for last in (False, True):
        x = x + y * z
        y = y + z * x
        z = z + x * y
        if not last:
            x, y, z = x ^ (x >> np.uint32(16)), y ^ (y >> np.uint32(16)), z ^ (z >> np.uint32(16))
    return np.stack([x, y, z], axis=-1)


def random3(coord: np.ndarray, seed: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        shifted = coord.astype(np.int64).astype(np.uint32)
        shifted[..., 2] += np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
        return (pcg3d(shifted) >> np.uint32(8)).astype(np.float64) / 2**24


def noise(p: np.ndarray) -> np.ndarray:
    cell = np.floor(p).astype(int)
    f = p - np.floor(p)
    u = f**3 * (f * (f * 6 - 15) + 10)
    total = np.zeros(p.shape[:-1])
    for corner in np.ndindex(2, 2, 2):
        gradient = 2 * random3(cell + corner, 0) - 1
        weight = np.where(np.array(corner) == 1, u, 1 - u).prod(axis=-1)
        total += weight * (gradient * (f - corner)).sum(axis=-1)
    return total


def run(make_engine, define, format_, expression):
    engine = make_engine(SIZE)
    engine.add_field("a", format_, 0)
    engine.add_stencil(define("make", f'WriteField("a", idx, {expression});', "", "a"))
    engine.step(1.0)
    return engine.array("a")


def test_random_is_its_twin_bit_by_bit(make_engine, define):
    coords = np.stack(np.indices(SIZE), axis=-1) - 9
    for seed in (0, 1, 12345, -3):
        found = run(make_engine, define, Format.R32F, f"Random(coord - 9, {seed})")
        np.testing.assert_array_equal(found, random3(coords, seed)[..., 0].astype(np.float32))


def test_random_is_uniform(make_engine, define):
    found = run(make_engine, define, Format.R32F, "Random(coord, 5)")
    assert found.min() >= 0 and found.max() < 1
    counts, _ = np.histogram(found, bins=16, range=(0, 1))
    expected = found.size / 16
    assert ((counts - expected) ** 2 / expected).sum() < 45  # chi-square, 15 degrees of freedom: p = 1e-4
    shifted = np.corrcoef(found[:-1].ravel(), found[1:].ravel())[0, 1]
    assert abs(shifted) < 4 / np.sqrt(found.size)


def test_noise_is_its_twin_smooth_and_centred(make_engine, define):
    position = np.stack(np.indices(SIZE), axis=-1) * 0.137 - 1.3
    found = run(make_engine, define, Format.R32F, "Noise(vec3(coord) * 0.137 - 1.3)")
    np.testing.assert_allclose(found, noise(position), atol=2e-5)
    assert np.abs(found).max() <= 1.5
    assert 0.1 < found.std() < 0.5
    assert np.abs(np.diff(found, axis=0)).max() < 0.5


def test_curl_noise_has_no_divergence(make_engine, define):
    h = 1 / 64
    found = run(make_engine, define, Format.R32G32B32F, f"CurlNoise(vec3(coord) * {h})").astype(np.float64)
    divergence = sum(np.gradient(found[..., axis], h, axis=axis)[1:-1, 1:-1, 1:-1] for axis in range(3))
    gradient = np.gradient(found[..., 0], h, axis=0)
    assert np.abs(divergence).mean() < 0.01 * np.abs(gradient).mean()
    assert found.std() > 0.3
