# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's cubic lookups: exact for cubics, and no new extremes where they are clamped."""

from __future__ import annotations

import numpy as np
import pytest

SCRIPT = """
local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {16, 16, 16}, voxel_size = 0.5, boundary = "clamp"}
gas.fields(sim, {"density", "heat"})
sim:add_stencil("start", {outputs = {"density", "heat"}, enabled = false, code = [[
    vec3 p = (vec3(coord) - 7.5) / 8.0;
    WriteField("density", idx, p.x * p.x * p.x + p.y * p.y * p.z - 2.0 * p.z);
    WriteField("heat", idx, Random(coord, 5));
]]})
sim:run_stencil("start")
sim:fill("velocity", {0.3, -0.2, 0.1})
gas.advect(sim, {fields = {"density", "heat"}, scheme = "$scheme", lookup = "cubic"})
sim:step(1)
"""


@pytest.mark.parametrize("scheme", ["semilagrangian", "maccormack"])
def test_a_cubic_is_carried_exactly(run_lua, scheme: str) -> None:
    engine = run_lua(SCRIPT.replace("$scheme", scheme))
    x, y, z = (np.indices((16, 16, 16)) - 7.5 - np.array([0.6, -0.4, 0.2])[:, None, None, None]) / 8
    wanted = x**3 + y * y * z - 2 * z
    inner = (slice(4, 12),) * 3  # away from the ends, where the field does not go on as a cubic
    np.testing.assert_allclose(engine.array("density")[inner], wanted[inner], atol=2e-6)
    if scheme == "maccormack":
        assert 0 <= engine.array("heat").min() < engine.array("heat").max() <= 1
