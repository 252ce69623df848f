# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in several processes, joined by MPI: the same voxels as in one, and one end for all of them."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.engine import FluidEngine
from fluid_addon.run import RunRequest
from fluid_addon.run.mpi_launch import launched_by_mpi
from fluid_addon.run.ranks import FOLLOWED
from fluid_addon.run.session import run_script
from fluid_addon.volumes.grid import Grid
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from tests.conftest import IN_CI
from tests.script.test_design_script import DESIGN
from tests.volumes.meshes import sphere, write_obj

ROOT = Path(__file__).resolve().parents[2]
MISSING = [what for what, found in (("mpi4py", find_spec("mpi4py")), ("mpirun", shutil.which("mpirun"))) if not found]
#: In CI they are there, or the tests fail.
needs_mpi = pytest.mark.skipif(bool(MISSING) and not IN_CI, reason=f"{' and '.join(MISSING)} not installed")
#: Open MPI starts nothing as root and no more processes than there are cores, unless told to; MPICH does not ask.
PERMISSIONS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}

#: A solver, a parameter, an object that moves, and sums that steer the script.
PLUME = """
local gas = require("fluid.gas")
local lift = param("lift", {default = 8, min = 0, max = 20})
local sim = FluidEngine.new{
    domain_size = {36, 16, 24}, voxel_size = 0.0625, origin = {-1, -0.5, 0}, gpu_count = 2, sparse = SPARSE,
}
gas.fields(sim, {"density"})
sim:add_object("ball", scene.object("ball"))
sim:activate{field = "density", above = 0.01}
sim:activate{low = {-0.5, -0.5, 0}, high = {0.5, 0.5, 0.5}}
local all = {"density", "velocity", "ball_velocity"}
sim:add_stencil("source", {inputs = all, outputs = {"density", "velocity"}, code = [[
    float there = distance(vec3(coord), vec3(17, 8, 5)) < 4.0 ? 1.0 : ReadField("density", idx);
    vec3 wind = ReadField("velocity", idx) + 0.1 * ReadField("ball_velocity", idx);
    WriteField("density", idx, there);
    WriteField("velocity", idx, wind + vec3(0, 0, params.lift * there * dt));
]]})
sim:add_stencil("carry", {inputs = {"density", "velocity"}, outputs = {"density_new"}, code = [[
    vec3 from = vec3(coord) - ReadField("velocity", idx) * dt / voxel_size;
    WriteField("density_new", idx, SampleField("density", from));
]]})
gas.project(sim)
for frame = 1, 3 do
    local sum = sim:reduce("density", "sum")
    sim:step(sum > 100 and 1 / 24 or 1 / 48)
    print(frame, sum, sim:reduce("velocity", "norm"), (sim:read("density", {20, 8, 6})))
    sim:export_nvdb("plume_" .. frame .. ".nvdb")
end
"""

#: Errors that a script may catch leave the processes in step; what happens in the second one's planes ends both.
WRONG = """
sim = FluidEngine.new{domain_size = {32, 8, 8}}
sim:add_field("a", Format.R32F, 1)
print(pcall(sim.add_field, sim, "a", Format.R32F, 1))
print(pcall(sim.add_stencil, sim, "s", {outputs = {"a"}, code = "nonsense"}))
print(pcall(sim.read, sim, "a", {32, 0, 0}))
sim:add_stencil("bad", {inputs = {"a"}, outputs = {"a_new"}, code = [[
    float here = ReadField("a", coord + ivec3(1, 0, 0));
    if (coord.x == 28 && frame == 3) here = sqrt(-here);
    WriteField("a_new", idx, here);
]]})
for frame = 1, 2 do sim:step(0.1) end
print(sim:reduce("a", "sum"))
for frame = 3, 100 do sim:step(0.1) end
"""

ELSEWHERE = """
sim = FluidEngine.new{domain_size = {16, 8, 8}}
sim:add_field("a", Format.R32F, 1)
other = FluidEngine.new{grid_file = "smoke.nvdb"}
for frame = 1, 100 do sim:step(0.1) end
"""

ENDLESS = """
sim = FluidEngine.new{domain_size = {32, 16, 16}}
sim:add_field("a", Format.R32F, 0)
sim:add_stencil("s", {inputs = {"a"}, outputs = {"a_new"}, code = [[
    WriteField("a_new", idx, ReadField("a", coord + ivec3(1, 0, 0)) + 1.0);
]]})
for frame = 1, 1e9 do
    sim:step(1)
    if frame == 3 then print("under way") end
end
"""


@pytest.fixture
def mpirun(tmp_path):
    """`mpirun(2, "smoke.lua", "-o", "out")` starts a run in that many processes; what is left is killed."""
    started: list[subprocess.Popen[str]] = []
    run = [sys.executable, "-m", "fluid_addon", "run"]

    def start(ranks: int, *arguments: str, folders: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        whole = ["mpirun", "-n", str(ranks), *run, *arguments]
        if folders:  # one process in each
            each = [["-n", "1", "-wdir", str(tmp_path / folder), *run, *arguments] for folder in folders]
            whole = ["mpirun", *each[0], *(word for more in each[1:] for word in (":", *more))]
        environment = {**os.environ, **PERMISSIONS, "PYTHONPATH": str(ROOT), **more}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(whole, cwd=tmp_path, env=environment, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    output, errors = process.communicate(timeout=280)
    assert "Traceback" not in errors + output
    return output, errors, process.returncode


def alone(script: Path, output: Path) -> list[str]:
    """Run a script in this process. Returns what it prints."""
    events = []
    request = RunRequest(script=str(script), output=str(output), gpu_count=1)
    assert run_script(request, events.append, threading.Event()) == 0
    return [event["text"] for event in events if event["event"] == "log"]


def frames(folder: Path) -> dict[str, bytes]:
    """The content of all frames of the only bake in a folder. A VDB names itself anew each time, by 36 characters."""
    (bake,) = folder.iterdir()
    files = sorted(path for path in bake.rglob("*") if path.suffix in (".vdb", ".nvdb"))
    content = {str(path.relative_to(bake)): path.read_bytes() for path in files}
    return {name: raw if name.endswith(".nvdb") else raw[:21] + raw[57:] for name, raw in content.items()}


@needs_mpi
@pytest.mark.parametrize(
    ("sparse", "ranks", "devices"), [("false", 3, 2), ("true", 2, 3)], ids=["less devices", "more devices"]
)
def test_several_processes_compute_what_one_does(mpirun, tmp_path, sparse, ranks, devices):
    (tmp_path / "plume.lua").write_text(PLUME.replace("SPARSE", sparse))
    for frame in range(4):
        write_obj(tmp_path / f"ball_{frame:04}.obj", sphere((-0.5 + 0.1 * frame, 0, 0.8), 0.25))
    printed = alone(tmp_path / "plume.lua", tmp_path / "one")
    expected = frames(tmp_path / "one")
    assert len(expected) == len(printed) == 3
    output, errors, code = ended(mpirun(ranks, "plume.lua", "-o", "several", "--gpu-count", str(devices)))
    assert code == 0, errors
    assert output.splitlines()[:3] == printed
    assert frames(tmp_path / "several") == expected
    raised = f"gpu_count = {devices}: each of the {ranks} processes takes a device, so it is {ranks}."
    assert (raised in errors) == (ranks > devices)


@needs_mpi
@pytest.mark.parametrize("steps", [20, pytest.param(100, marks=pytest.mark.long)])
def test_the_design_script_runs_in_two_processes(mpirun, tmp_path, steps):
    (tmp_path / "design.lua").write_text(DESIGN.replace("frame = 1, 100 do", f"frame = 1, {steps} do"))
    (tmp_path / "data").mkdir()
    shape = np.indices((40, 24, 16)).sum(axis=0).astype(np.float32)
    wind = np.broadcast_to(np.float32([130, -70, 0]), (*shape.shape, 3)).copy()  # over a voxel in a step
    grids = [Grid.from_dense("density", shape, (0, 0, 0), np.eye(4), 0.0)]
    grids.append(Grid.from_dense("velocity", wind, (0, 0, 0), np.eye(4), (0.0, 0.0, 0.0)))
    write_nvdb(tmp_path / "data/smoke.nvdb", grids)
    alone(tmp_path / "design.lua", tmp_path / "one")
    expected = frames(tmp_path / "one")
    assert len(expected) == steps / 10
    # Without the validation layer, which would take longer than a hundred steps do; it is there in the test above.
    _, errors, code = ended(mpirun(2, "design.lua", "-o", "two", FLUID_SCRIPT_VALIDATION="0"))
    assert code == 0, errors
    assert frames(tmp_path / "two") == expected


@needs_mpi
def test_what_goes_wrong_in_one_process_ends_all_with_its_message(mpirun, tmp_path):
    (tmp_path / "wrong.lua").write_text(WRONG)
    output, errors, code = ended(mpirun(2, "wrong.lua"))
    assert code == 3, errors
    caught = ['There is a field "a" already.', '"nonsense" is not declared.']
    assert output.splitlines()[:2] == [f"false\t{text}" for text in caught]
    assert output.splitlines()[3] == "2048.0"
    assert errors.count("error[") == 1
    text = 'wrong.lua:10: error[not-a-number]: "bad" wrote NaN into "a" in frame 3 (step 3), first at voxel {28, 0, 0}.'
    assert text in errors


@needs_mpi
def test_a_file_that_one_process_does_not_see_ends_all(mpirun, tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "elsewhere.lua").write_text(ELSEWHERE)
    grid = Grid.from_dense("density", np.ones((16, 8, 8), np.float32), (0, 0, 0), np.eye(4))
    write_nvdb(tmp_path / "here/smoke.nvdb", [grid])
    _, errors, code = ended(mpirun(2, "elsewhere.lua", folders=("here", "there")))
    assert code == 3, errors
    assert errors.count("error[") == 1
    there = tmp_path / "there/smoke.nvdb"
    assert f'elsewhere.lua:4: error[grid-file-missing]: There is no grid file "{there}".' in errors
    assert "It happened in process 2 of 2, on" in errors


@needs_mpi
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes of a run under /proc")
@pytest.mark.parametrize("how", ["a process is killed", "Ctrl-C"])
def test_a_death_or_a_cancel_ends_all(mpirun, tmp_path, how):
    (tmp_path / "endless.lua").write_text(ENDLESS)
    process = mpirun(2, "endless.lua")
    while (line := process.stdout.readline()) and "under way" not in line:
        pass
    ranks = children_of(process.pid)
    assert len(ranks) == 2
    if how == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        os.kill(max(ranks), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    while any(is_alive(rank) for rank in ranks):
        time.sleep(0.05)


def is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(parent: int) -> list[int]:
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(words[1]) == parent:
            found.append(int(file.parent.name))
    return found


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_without_mpi_says_what_to_install(tmp_path, rank):
    (tmp_path / "smoke.lua").write_text("print(1)")
    hide = "import sys; sys.modules['mpi4py'] = None; from fluid_addon.cli import main; sys.exit(main())"
    ranks = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": str(rank)}
    whole = [sys.executable, "-c", hide, "run", "smoke.lua"]
    environment = {**os.environ, **ranks, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(whole, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    expected = [
        "error[no-mpi]: A run in several processes needs mpi4py, which is not installed.",
        "  hint: pip install mpi4py, and an MPI library: on Debian apt install openmpi-bin.",
    ]
    assert done.stderr.splitlines() == (expected if rank == 0 else [])


@pytest.mark.parametrize(
    ("variables", "several"),
    [
        ({}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "1"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1", "PMIX_RANK": "0"}, False),
        ({"PMI_SIZE": "3"}, True),
        ({"PMIX_RANK": "0"}, True),
        ({"SLURM_NTASKS": "8"}, False),  # a job's own script, which has started nothing yet
    ],
)
def test_a_launcher_is_known_by_what_it_tells_its_processes(variables: dict[str, str], several: bool) -> None:
    assert launched_by_mpi(variables) == several


def test_every_call_of_an_engine_is_followed_or_changes_nothing() -> None:
    methods: dict[str, Callable[..., object]] = dict(inspect.getmembers(FluidEngine, inspect.isfunction))
    answered_by_the_first = {"solved", "plan"}
    of_checkpoints = {"save_state", "restore_state"}  # which a run in several processes does not make
    assert {name for name in methods if not name.startswith("_")} == FOLLOWED | answered_by_the_first | of_checkpoints
