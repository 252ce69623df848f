# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that the design promises runs exactly as it stands there."""

from __future__ import annotations

from fluid_addon.engine.formats import Format
from fluid_addon.engine.stencil import CodeOrigin, StencilDefinition

DESIGN = """\
sim = FluidEngine.new({
    gpu_count = 2,
    domain_size = {256, 256, 256},
    grid_file = "data/smoke.nvdb"
})
sim:add_field("density", Format.R32F, 0.0)
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0})
sim:add_field("temperature", Format.R32F, 300.0)
sim:add_stencil("advect", {
    inputs = {"density", "velocity"},
    outputs = {"density_new"},
    code = [[
        vec3 vel = ReadField("velocity", idx);
        ivec3 backPos = coord - ivec3(vel * dt);
        float d = ReadField("density", backPos);
        WriteField("density_new", idx, d);
    ]],
    requires_halos = true
})
for frame = 1, 100 do
    sim:step(dt = 0.016)
    if frame % 10 == 0 then
        sim:export_vdb("output/frame_" .. frame .. ".vdb")
    end
end
"""

CODE = """\
        vec3 vel = ReadField("velocity", idx);
        ivec3 backPos = coord - ivec3(vel * dt);
        float d = ReadField("density", backPos);
        WriteField("density_new", idx, d);
    """


def test_every_call_of_the_design_script_reaches_the_engine(lua) -> None:
    lua.run(DESIGN)
    declared, stepped = lua.calls[:5], lua.calls[5:]
    origin = CodeOrigin("smoke.lua", 13)
    stencil = StencilDefinition("advect", CODE, ("density", "velocity"), ("density_new",), True, origin=origin)
    assert declared == [
        ("new", {"gpu_count": 2, "domain_size": (256, 256, 256), "grid_file": "data/smoke.nvdb"}),
        ("add_field", ("density", Format.R32F, 0.0)),
        ("add_field", ("velocity", Format.R32G32B32F, (0, 0, 0))),
        ("add_field", ("temperature", Format.R32F, 300.0)),
        ("add_stencil", stencil),
    ]
    expected = []
    for frame in range(1, 101):
        expected.append(("step", 0.016))
        if frame % 10 == 0:
            expected.append(("export_vdb", (f"output/frame_{frame}.vdb", None, False)))
    assert stepped == expected
    assert lua.engines[0].closed


def test_the_first_line_of_the_code_is_where_its_origin_says(lua) -> None:
    lua.run(DESIGN)
    definition = lua.calls[4][1]
    assert DESIGN.splitlines()[definition.origin.line - 1] == definition.code.splitlines()[0]


def test_a_file_runs_like_a_text(lua, tmp_path) -> None:
    script = tmp_path / "smoke.lua"
    script.write_text(DESIGN)
    lua.run(script)
    assert [method for method, _ in lua.calls].count("step") == 100
    assert lua.calls[4][1].origin == CodeOrigin(str(script), 13)
