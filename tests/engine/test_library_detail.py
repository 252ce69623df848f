# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's detail beyond the flow's voxels: fine scalars, and the whirls that are added to stir them."""

from __future__ import annotations

import numpy as np
import pytest

START = """
    local detail = require("fluid.detail")
    sim = FluidEngine.new{domain_size = {16, 16, 16}, voxel_size = 0.5, boundary = "periodic"}
    sim:add_field("velocity", Format.R32G32B32F, {%s}, {staggered = true})
    detail.fields(sim, {"density"}, {resolution = %d})
    sim:add_stencil("start", {outputs = {"density"}, enabled = false, code = [[
        WriteField("density", idx, length((vec3(coord) + 0.5) * voxel_size - 4.0) < 2.0 ? 1.0 : 0.0);
    ]]})
    sim:run_stencil("start")
"""


@pytest.mark.parametrize("resolution", [2, 3])
def test_a_smooth_flow_carries_fine_density_and_adds_nothing(run_lua, resolution) -> None:
    """2 voxels along x and -1 along y in all, so the fine voxels land on each other; with nothing small in the flow."""
    engine = run_lua(
        START % ("2, -1, 0", resolution)
        + """
        detail.advect_fine(sim, {fields = {"density"}})
        sim:step(0.25)
        sim:step(0.25)
    """
    )
    density = engine.array("density")
    n = 16 * resolution
    assert density.shape == (n, n, n)
    p = (np.stack(np.indices(density.shape), axis=-1) + 0.5) * 0.5 / resolution
    start = (np.linalg.norm(p - 4, axis=-1) < 2).astype(np.float32)
    if resolution == 2:  # half steps of whole fine voxels
        assert np.allclose(density, np.roll(start, (4, -2), (0, 1)), atol=1e-5)
    assert density.sum() == pytest.approx(start.sum(), rel=1e-3)
    assert density.min() >= 0 and density.max() <= 1


def test_added_whirls_have_the_speed_of_the_spectrum_and_keep_mass_and_bounds(run_lua) -> None:
    engine = run_lua(
        START % ("0, 0, 0", 2)
        + """
        sim:add_stencil("whirls", {outputs = {"velocity"}, enabled = false, code = [[
            WriteField("velocity", idx, vec3(0.0, 0.0, (coord.x & 1) == 0 ? 1.0 : -1.0));
        ]]})
        sim:run_stencil("whirls")
        detail.advect_fine(sim, {fields = {"density"}, strength = 2})
        sim:step(0.05)
        sum = sim:reduce("density", "sum")
        for step = 1, 9 do sim:step(0.05) end
        assert(math.abs(sim:reduce("density", "sum") / sum - 1) < 0.03)
    """
    )
    assert np.allclose(engine.array("detail_speed"), 1, atol=1e-5), "whirls of two voxels are all of the last octave"
    flow = engine.array("detail_flow").astype(np.float64)
    x = np.arange(32)[:, None, None]
    sample = np.where((x // 2) % 2 == 0, 0.5, -0.5) * np.ones((32, 32, 32))  # a quarter voxel from the centre
    added = flow - np.stack([0 * sample, 0 * sample, sample], axis=-1)
    assert np.sqrt((added**2).sum(-1).mean()) == pytest.approx(2 * 2 ** (-5 / 6), rel=0.1)
    assert np.abs(added.mean((0, 1, 2))).max() < 0.1
    density = engine.array("density")
    assert density.min() >= 0 and density.max() <= 1
    assert np.ptp(density[..., 16], axis=None) > 0.5


def test_the_noise_moves_with_the_flow(run_lua) -> None:
    """Both layers' ways are the flow's, and each starts anew at its time."""
    engine = run_lua(
        START % ("2, 0, 0", 2)
        + """
        detail.advect_fine(sim, {fields = {"density"}, period = 1})
        for step = 1, 3 do sim:step(0.25) end
    """
    )
    assert np.allclose(engine.array("detail_from_1"), [-1.5, 0, 0], atol=1e-5)
    assert np.allclose(engine.array("detail_from_2"), [-0.5, 0, 0], atol=1e-5), "new since half a second"
    engine.step(0.25)
    assert (engine.array("detail_from_1") == 0).all()
