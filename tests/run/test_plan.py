# SPDX-License-Identifier: GPL-3.0-or-later
"""`devices --plan` as a user meets it: the text, the same as JSON, and what is wrong with a script."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest

from fluid_addon.cli import main
from fluid_addon.faults import FAULTS_VARIABLE, fault_text
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, write_vdb

PLUME = """
param("rate", {default = 1, min = 0, max = 10})
sim = FluidEngine.new{domain_size = {64, 32, 20}, sparse = SPARSE}
sim:add_field("density", Format.R32F, 0)
sim:add_field("velocity", Format.R16G16B16F, 0)
sim:add_field("pressure", Format.R32F, 0)
sim:add_field("divergence", Format.R32F, 0)
sim:activate{low = {0.05, 0.05, 0.05}, high = {3.1, 3.1, 1.9}}
sim:add_stencil("advect", {inputs = {"density", "velocity"}, outputs = {"density_new"}, code = [[
    WriteField("density_new", idx, SampleField("density", vec3(coord) - dt * ReadField("velocity", idx)));
]]})
sim:add_stencil("rise", {inputs = {"density", "velocity"}, outputs = {"velocity_new"}, code = [[
    vec3 v = ReadField("velocity", idx);
    WriteField("velocity_new", idx, v + params.rate * vec3(0, 0, ReadField("density", coord + ivec3(1, 0, 0))));
]]})
sim:add_stencil("diverge", {inputs = {"velocity"}, outputs = {"divergence"}, code = [[
    WriteField("divergence", idx, ReadField("velocity", coord + ivec3(1, 0, 0)).x - ReadField("velocity", idx).x);
]]})
sim:add_solver("solve", {unknown = "pressure", rhs = "divergence"})
for frame = 1, 3 do sim:step(1) end
"""

DENSE_PLAN = """\
{64, 32, 20} voxels, dense, on 2 devices

Slab 1, planes 0 to 31 and a halo of 8, on device 0, "GPU":
                             own      halo  back buffer
  density               80.0 KiB  20.0 KiB    100.0 KiB
  velocity             120.0 KiB  30.0 KiB    150.0 KiB
  pressure              80.0 KiB  20.0 KiB            -
  divergence            80.0 KiB  20.0 KiB            -
  solve: finest grid    43.8 KiB
  solve: coarse grids   47.4 KiB
  total                791.1 KiB

Slab 2, planes 32 to 63 and a halo of 8, on device 0, "GPU":
                            own      halo  back buffer
  density              80.0 KiB  20.0 KiB    100.0 KiB
  velocity            120.0 KiB  30.0 KiB    150.0 KiB
  pressure             80.0 KiB  20.0 KiB            -
  divergence           80.0 KiB  20.0 KiB            -
  solve: finest grid   43.8 KiB
  total               743.8 KiB

Halos of a step:
  before "rise": density, 40.0 KiB
  before "diverge": velocity, 60.0 KiB
  before "solve": pressure, divergence, 80.0 KiB
  in each cycle of "solve": pressure, solve: residual, solve: correction, 85.0 KiB
  after "solve": pressure, 40.0 KiB
  4 exchanges of 220.0 KiB, and those of the cycles
"""

SPARSE_PLAN = """\
{64, 32, 20} voxels, sparse with 96 leaves, on 1 device

Device 0, "GPU":
  48 leaves are active at the start; one more takes 14.0 KiB
                             own     spare  back buffer
  density               96.0 KiB  32.0 KiB    128.0 KiB
  velocity             144.0 KiB  48.0 KiB    192.0 KiB
  pressure              96.0 KiB  32.0 KiB            -
  divergence            96.0 KiB  32.0 KiB            -
  leaves                10.0 KiB
  solve: coarse grids   37.7 KiB
  total                943.7 KiB
"""


@pytest.fixture
def plan(tmp_path, capsys):
    """What the command says of a script; `plan(source, "--gpu-count", "2")` gives its exit code and text."""

    def run(source, *options):
        script = tmp_path / "plume.lua"
        script.write_text(source)
        code = main(["devices", "--plan", str(script), *options])
        text = capsys.readouterr().out.replace(f"{script.parent}/", "")
        return code, re.sub(r'evice \d+, "[^"]*" with [0-9.]+ GiB', 'evice 0, "GPU"', text)

    return run


def test_the_text_of_a_plan(plan):
    code, text = plan(PLUME.replace("SPARSE", "false"), "--gpu-count", "2", "--param", "rate=2")
    assert code == 0
    assert text == DENSE_PLAN


def test_the_text_of_a_sparse_plan(plan):
    code, text = plan(PLUME.replace("SPARSE", "true"))
    assert code == 0
    assert text == SPARSE_PLAN


def test_a_plan_as_json(plan):
    code, text = plan(PLUME.replace("SPARSE", "false"), "--gpu-count", "2", "--json")
    found = json.loads(text)
    assert code == 0
    assert found["size"] == [64, 32, 20] and found["leaves"] is None
    first, second = found["parts"]
    assert (first["begin"], first["end"], second["begin"], second["end"]) == (0, 32, 32, 64)
    assert first["fields"][0] == {"name": "density", "own": 81920, "halo": 20480, "spare": 0, "back": 102400}
    assert first["bytes"] > second["bytes"] > 0
    assert found["exchanges"][0]["fields"] == ["density"] and found["exchanges"][0]["bytes"] == 40960


def test_a_device_with_too_little_memory_is_named(plan):
    source = """
    sim = FluidEngine.new{domain_size = {1024, 1024, 1024}}
    for i = 1, 99 do sim:add_field("field" .. i, Format.R32G32B32A32F, 0) end
    """
    code, text = plan(source, "--gpu-count", "2")
    assert code == 0
    assert re.search(r'\n"[^"]+" has too little memory: 159[0-9][.][0-9] GiB are needed[.]\n', text)


def test_a_script_with_problems_has_no_plan(plan):
    code, text = plan(PLUME.replace("SPARSE", "maybe()"))
    assert code == 3 and "error[lua-error]" in text and "planes" not in text
    code, text = plan("print(1)")
    assert code == 2 and 'plume.lua" makes no FluidEngine' in text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals; there the exit status is named")
def test_D15_a_file_over_which_the_reader_dies_is_named(plan, tmp_path, monkeypatch):
    write_vdb(tmp_path / "foreign.vdb", VdbFrame([VdbGrid("density", np.ones((8, 8, 8), np.float32))]))
    source = 'FluidEngine.new{grid_file = "foreign.vdb"}'
    assert plan(source)[0] == 0
    monkeypatch.setenv(FAULTS_VARIABLE, fault_text("grid.read", 1, "kill"))
    code, text = plan(source)
    assert code == 6 and 'ended by signal SIGKILL while it read "foreign.vdb"' in text


def test_more_devices_than_slabs_are_refused(plan):
    code, text = plan(PLUME.replace("SPARSE", "false"), "--gpu-count", "9")
    assert code == 3 and "error[too-many-devices]" in text
