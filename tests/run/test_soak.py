# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs, cancels, kills and faults at random for as long as one likes: nothing is left over, and every bake is whole.

`FLUID_SCRIPT_SOAK=7200` lets the long test go on for two hours (with `-o faulthandler_timeout=8000`); its seed is
printed, and `FLUID_SCRIPT_SOAK_SEED` takes one again.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fluid_addon.faults import FAULTS_VARIABLE, fault_text
from fluid_addon.run import RunRequest, WorkerRun
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.checkpoint import latest_checkpoint
from tests.processes import children, closed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and sends signals")

DENSE = """
local sim = FluidEngine.new{domain_size = {24, 16, 16}}
sim:add_field("density", Format.R32F, 0.5)
sim:add_field("velocity", Format.R32G32B32F, {1, 0, 0})
sim:add_stencil("move", {inputs = {"density", "velocity"}, outputs = {"density_new"}, code = [[
    vec3 v = ReadField("velocity", idx);
    WriteField("density_new", idx, SampleField("density", vec3(coord) - v) + 0.01 * Random(coord, frame));
]]})
for frame = 1, 12 do
    sim:step(0.02 + 0.001 * (sim:reduce("density", "sum") % 3))
    sim:export_vdb("move_" .. frame .. ".vdb")
end
"""
SPARSE = """
local sim = FluidEngine.new{domain_size = {48, 32, 32}, sparse = true}
sim:add_field("density", Format.R32F, 0)
sim:activate{low = {0, 0, 0}, high = {1, 1, 1}}
sim:activate{field = "density", above = 0.01}
sim:add_stencil("spread", {inputs = {"density"}, outputs = {"density_new"}, code = [[
    float d = ReadField("density", coord - ivec3(1, 0, 0)) + 0.1 * ReadField("density", coord + ivec3(0, 1, 0));
    WriteField("density_new", idx, coord.x < 4 ? 1.0 : 0.95 * d);
]]})
sim:run{frames = 12, fps = 24, export = "spread_####.vdb"}
"""
WRONG = DENSE.replace("frame)", "frame) + nonsense")
LATE = DENSE.replace("sim:step", "if frame == 7 then error('late') end sim:step")
ENDLESS = "while true do end"
SCRIPTS = {"dense": DENSE, "sparse": SPARSE, "wrong": WRONG, "late": LATE, "endless": ENDLESS}
POINTS = ("disk.create", "disk.write", "disk.flush", "disk.rename", "memory.allocate", "device.submit", "device.wait")
#: Seconds that no run may take, whatever happens to it.
SLOW = 60.0
#: The lives of the short test are the same every time.
SHORT_SEED = 4
#: What a run may end with: done, usage, script, device, disk, worker, cancelled.
EXIT_CODES = {0, 2, 3, 4, 5, 6, 130}


class Soak:
    """One random life after the other, each looked at when it is over."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.slowest = (0.0, "")
        for name, text in SCRIPTS.items():
            (folder / f"{name}.lua").write_text(text, "utf-8")
        self.cache = folder / "cache"
        self.cache.mkdir()

    def live(self) -> None:
        """A run, what happens to it, and its resumption where it can be resumed."""
        name = self.chance.choice(list(SCRIPTS))
        options: dict[str, Any] = {"lua_seconds": 1.0} if name == "endless" else {}
        request = RunRequest(str(self.folder / f"{name}.lua"), str(self.cache), checkpoint_seconds=1e-9, **options)
        bake = self.run(request, self.chance.choice(["nothing", "cancel", "kill", "fault", "fault"]))
        if bake is not None and latest_checkpoint(bake) is not None:
            again = self.run(replace(request, resume=str(bake)), self.chance.choice(["nothing", "nothing", "kill"]))
            bake = again or bake
        if bake is not None:
            self.look_at(bake)
            assert Bake.open(bake).free() == [], "something was in the folder that nobody listed"
        for folder in self.cache.iterdir():
            self.look_at_what_never_began(folder)

    @staticmethod
    def look_at_what_never_began(folder: Path) -> None:
        """A kill while a bake is made, before anybody was told of it, leaves its folder without a frame."""
        if (folder / "manifest.json").exists():
            made = Bake.open(folder)
            assert made.frames == [] and made.free() == []
        else:
            names = {path.name for path in folder.iterdir()}
            assert all(name == ".lock" or name.startswith(".manifest.json.") for name in names)
            shutil.rmtree(folder)

    def run(self, request: RunRequest, happens: str) -> Path | None:
        armed = ""
        if happens == "fault":
            action = self.chance.choice(["fail", "fail", "kill"])
            armed = fault_text(self.chance.choice(POINTS), self.chance.randint(1, 40), action)  # type: ignore[arg-type]
        os.environ[FAULTS_VARIABLE] = armed
        try:
            worker = WorkerRun(request)
        finally:
            del os.environ[FAULTS_VARIABLE]
        bake: Path | None = None
        code: int | None = None
        begun = time.monotonic()
        timer = threading.Timer(self.chance.uniform(0.0, 2.5), self.strike, (worker, happens))
        timer.start()
        try:
            for event in worker.events():
                if event["event"] == "bake":
                    bake = Path(event["folder"])
                code = event.get("exit_code", code)
        finally:
            timer.cancel()
            timer.join()
            closed(worker)
        assert code in EXIT_CODES
        took = time.monotonic() - begun
        self.slowest = max(self.slowest, (took, f"{Path(request.script).stem} {happens} {armed}: {code}"))
        assert took < SLOW, self.slowest
        self.outcomes[f"{Path(request.script).stem} {happens}: {code}"] += 1
        return bake if bake is not None and bake.exists() else None

    @staticmethod
    def strike(worker: WorkerRun, happens: str) -> None:
        if happens == "cancel":
            worker.cancel()
        elif happens == "kill":
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    def look_at(self, folder: Path) -> None:
        bake = Bake.open_to_go_on(folder)  # also takes away what a killed writer has left
        bake.release()
        assert bake.damaged(checksums=True) == []
        listed = {frame.path for frame in bake.frames} | {found.path for found in bake.checkpoints}
        there = {path.name for path in folder.iterdir() if path.suffix in (".vdb", ".checkpoint", ".part")}
        assert there - listed <= set(), f"{there - listed} belong to nobody"


def open_here() -> set[object]:
    """The children, descriptors and threads of this process."""
    descriptors = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one of this listing
            descriptors.add((link.name, str(link.readlink())))
    return children() | descriptors | set(threading.enumerate())


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(folder: Path, temporary: Path, seconds: float, lives: int, seed: int) -> Counter[str]:
    """Live for so many seconds, and so many lives at least.

    What is new afterwards is left over. What has gone meanwhile was of tests that ran in this process before.
    """
    seed = int(os.environ.get("FLUID_SCRIPT_SOAK_SEED", seed))
    print(f"seed {seed}")
    world = Soak(folder, seed)
    world.live()  # what is made once in this process is made
    before, memory = open_here(), resident()
    end, lived = time.monotonic() + seconds, 0
    while time.monotonic() < end or lived < lives:
        world.live()
        lived += 1
    end = time.monotonic() + 30
    while open_here() - before and time.monotonic() < end:
        time.sleep(0.05)
    assert open_here() - before == set()
    assert resident() - memory < 32 << 20
    assert list(temporary.iterdir()) == []
    assert list(world.cache.iterdir()) == []
    print(f"{lived} lives, the slowest run: {world.slowest}")
    return world.outcomes


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process and its workers put what is for a while only."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_few_lives_at_random_leave_nothing_over(tmp_path: Path, temporary: Path) -> None:
    print(soak(tmp_path, temporary, 0.0, 3, seed=SHORT_SEED))


@pytest.mark.long
@pytest.mark.timeout(0)
def test_many_lives_at_random_leave_nothing_over(tmp_path: Path, temporary: Path) -> None:
    seconds = float(os.environ.get("FLUID_SCRIPT_SOAK", "600"))
    outcomes = soak(tmp_path, temporary, seconds, 20, seed=random.randrange(1 << 30))
    print("\n".join(f"{count:6} {outcome}" for outcome, count in sorted(outcomes.items())))
