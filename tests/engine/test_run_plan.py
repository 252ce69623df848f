# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check says of memory and halos is what a run then takes and sends."""

from __future__ import annotations

from functools import partial

import pytest

from fluid_addon.engine import EngineEnvironment, FluidEngine
from fluid_addon.gpu.lifetime import live_counts
from fluid_addon.gpu.memory import Residence
from fluid_addon.script.context import LuaContext

SCRIPT = """
sim = FluidEngine.new{
    domain_size = {44, 20, 17}, boundary = {BOUNDARY, "open", "open"}, sparse = SPARSE, gpu_count = COUNT
}
sim:add_field("density", Format.R32F, 0)
sim:add_field("velocity", Format.R16G16B16F, 0)
sim:add_field("pressure", Format.R32F, 0)
sim:add_field("divergence", Format.R32F, 0)
sim:add_field("faces", Format.R32UI, 0)
sim:add_field("detail", Format.R32F, 0, {resolution = 2})
sim:add_stencil("advect", {inputs = {"density", "velocity"}, outputs = {"density_new"}, iterations = 2, code = [[
    WriteField("density_new", idx, SampleField("density", vec3(coord) - dt * ReadField("velocity", idx)));
]]})
sim:add_stencil("refine", {inputs = {"detail", "density"}, outputs = {"detail_new"}, code = [[
    WriteField("detail_new", idx, 0.5 * ReadField("detail", coord + ivec3(3, 0, 0)));
]]})
sim:add_stencil("rise", {inputs = {"density", "velocity"}, outputs = {"velocity_new"}, code = [[
    float d = ReadField("density", coord + ivec3(1, 0, 0));
    WriteField("velocity_new", idx, ReadField("velocity", idx) + vec3(0, 0, d));
]]})
sim:add_stencil("diverge", {inputs = {"velocity"}, outputs = {"divergence"}, code = [[
    float beside = ReadField("velocity", coord + ivec3(1, 0, 0)).x;
    WriteField("divergence", idx, beside - ReadField("velocity", idx).x + sin(float(coord.x * coord.y)));
]]})
sim:add_stencil("open", {outputs = {"faces"}, code = [[ WriteField("faces", idx, 0x00ffffffu); ]]})
sim:add_solver("solve", {unknown = "pressure", rhs = "divergence", faces = "faces", method = METHOD})
ACTIVATE
"""


def script(count=1, sparse="false", boundary="open", activate="", method="multigrid"):
    text = SCRIPT.replace("COUNT", str(count)).replace("SPARSE", sparse).replace("BOUNDARY", f'"{boundary}"')
    return text.replace("ACTIVATE", activate).replace("METHOD", f'"{method}"')


def planned(text):
    with LuaContext() as context:
        context.bind_engine(partial(FluidEngine, environment=EngineEnvironment(check=True)))
        context.run_source(text, "test.lua")
        return context.engines[-1].plan()


BOX = "sim:activate{low = {0, 0, 0}, high = {2.35, 1.95, 1.55}}"


@pytest.mark.parametrize(
    "text",
    [script(), script(3, boundary="periodic"), script(1, "true", method="conjugate"), script(2, "true", activate=BOX)],
    ids=["one", "three", "sparse", "two, sparse"],
)
def test_a_run_takes_what_its_plan_says(run_lua, text):
    plan = planned(text)
    assert live_counts() == {}
    simulation = run_lua(text)._simulation
    simulation.realize()
    if simulation.leaves is not None:
        simulation.leaves.settle()
    for told, part in zip(plan.parts, simulation.parts, strict=True):
        assert told.bytes == simulation.memory.plan(part).total(Residence.DEVICE)


@pytest.mark.parametrize(
    ("count", "options"),
    [(3, {"boundary": "periodic", "method": "sweeps"}), (2, {"sparse": "true", "activate": BOX})],
    ids=["three, gathered", "two, sparse"],
)
def test_a_step_sends_what_the_plan_says(run_lua, count, options):
    text = script(count, **options)
    plan, engine = planned(text), run_lua(text)
    engine.step(1e-3)
    simulation = engine._simulation
    sent = simulation.halos.bytes
    engine.step(1e-3)
    cycles = engine.solved("solve").iterations
    told = sum(exchange.bytes * (cycles if exchange.in_cycles else 1) for exchange in plan.exchanges)
    assert simulation.halos.bytes - sent == told
    for told, part in zip(plan.parts, simulation.parts, strict=True):
        assert (told.begin, told.end, told.halo) == (part.slab.begin, part.slab.end, part.slab.halo)
        if part.topology is not None:
            assert (told.leaves, told.halo_leaves) == (len(part.topology.pool.own), len(part.topology.pool.halo))


def test_leaves_are_told_from_boxes_and_rules():
    everything = planned(script(1, "true"))
    assert everything.leaves == everything.parts[0].leaves == 6 * 3 * 3
    box = planned(script(1, "true", activate="sim:activate{low = {0, 0, 0}, high = {1.55, 0.75, 0.75}}"))
    assert box.parts[0].leaves == 2
    assert planned(script(1, "true", activate='sim:activate{field = "density"}')).parts[0].leaves == 0
    assert box.parts[0].leaf_bytes == 8**3 * (4 * 2 + 6 * 2 + 4 + 4 + 4) + 16**3 * 4 * 2
