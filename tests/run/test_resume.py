# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that was ended goes on where its last checkpoint is, and gives the bits of one that was not."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fluid_addon.cli import main
from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import FluidEngine
from fluid_addon.engine.journal import Journal
from fluid_addon.faults import FAULTS_VARIABLE, fault_text, injected
from fluid_addon.gpu.lifetime import live_counts
from fluid_addon.run import RunRequest, WorkerRun, session
from fluid_addon.run.checkpoints import bake_to_resume
from fluid_addon.run.presets import list_presets
from fluid_addon.run.session import run_script
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.checkpoint import latest_checkpoint, open_checkpoint
from tests.processes import closed

PRESETS = {preset.name: preset for preset in list_presets()}
ALWAYS = 1e-9  # seconds between checkpoints: one after every frame
Fields = dict[tuple[int, str], npt.NDArray[Any]]


class Runs:
    """Runs scripts in this process, and keeps what their engines hold at their ends."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.patch, self.folder = patch, folder
        self.events: list[dict[str, Any]] = []
        self.fields: Fields = {}
        self.storage: dict[str, Any] = {}

    def request(self, script: Path, **options: Any) -> RunRequest:
        return RunRequest(str(script), str(self.folder / "bakes"), checkpoint_seconds=ALWAYS, **options)

    def write(self, text: str, name: str = "smoke.lua") -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    def run(
        self,
        request: RunRequest,
        until: int | None = None,
        hear: Callable[[dict[str, Any]], None] = lambda _event: None,
    ) -> int:
        """Run a script, to its end or until a checkpoint of that frame is made; `hear` is told its events."""
        self.fields, self.events = {}, []
        engines: list[FluidEngine] = []
        cancel = threading.Event()
        runs = self

        class Kept(FluidEngine):
            def __init__(self, **options: Any) -> None:
                super().__init__(**options | runs.storage)
                engines.append(self)

            def finish(self) -> None:
                super().finish()
                runs.fields.update({(engines.index(self), name): self.array(name) for name in self.fields})

        def heard(event: dict[str, Any]) -> None:
            self.events.append(event)
            hear(event)
            if event["event"] == "checkpoint" and event["frame"] == until:
                cancel.set()

        with self.patch.context() as patch:
            patch.setattr(session, "FluidEngine", Kept)
            return run_script(request, heard, cancel)

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    @property
    def bake(self) -> Path:
        return Path(self.told("bake")[0]["folder"])

    def errors(self) -> list[str]:
        return [item["text"] for event in self.told("error") for item in event["diagnostics"]]

    def take(self, other: Runs) -> None:
        """Go on with copies of what another test's runs have left."""
        shutil.copytree(other.folder, self.folder, dirs_exist_ok=True)
        there, here = str(other.folder), str(self.folder)
        self.events = [{key: _moved(value, there, here) for key, value in event.items()} for event in other.events]


def _moved(value: Any, there: str, here: str) -> Any:
    return value.replace(there, here) if isinstance(value, str) else value


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    return Runs(monkeypatch, tmp_path)


#: Gives the runs of a script, to its end or until a checkpoint of that frame is made.
Made = Callable[..., Runs]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What several tests begin with, made once for all of them, who only read it or take a copy."""

    @functools.cache
    def make(text: str, until: int | None = None) -> Runs:
        with pytest.MonkeyPatch.context() as patch:
            runs = Runs(patch, tmp_path_factory.mktemp("made"))
            assert runs.run(runs.request(runs.write(text)), until) == (0 if until is None else 130), runs.errors()
            return runs

    return make


def files_of(bake: Path) -> list[tuple[str, int]]:
    return [(frame.path, frame.size) for frame in Bake.open(bake).frames]


def hold(runs: Runs, request: RunRequest, until: int) -> None:
    """The run, ended at a frame and resumed, gives what it gives without an end."""
    assert runs.run(request) == 0, runs.errors()
    expected, files = runs.fields, files_of(runs.bake)
    assert runs.run(request, until) == 130
    hold_on(runs, request, until, expected, files)


def hold_on(runs: Runs, request: RunRequest, until: int, expected: Fields, files: list[tuple[str, int]]) -> None:
    """The run that has just ended at a frame gives what was expected."""
    ended = runs.bake
    assert runs.run(replace(request, resume=str(ended))) == 0, runs.errors()
    assert runs.bake == ended
    assert [event["frame"] for event in runs.told("resumed")] == [until]
    assert runs.fields.keys() == expected.keys()
    assert [key for key, values in expected.items() if runs.fields[key].tobytes() != values.tobytes()] == []
    assert files_of(ended) == files
    assert Bake.open(ended).damaged(checksums=True) == []
    assert latest_checkpoint(ended) is None, "a finished run leaves none"
    assert sorted(path.name for path in ended.iterdir() if path.suffix == ".checkpoint") == []


SMOKE = """
param("push", {default = 2})
local sim = FluidEngine.new{domain_size = {20, 12, 16}, boundary = {"open", "clamp", "periodic"}}
sim:add_field("density", Format.R32F, 0.25)
sim:add_field("velocity", Format.R32G32B32F, {0.1, 0, 0})
sim:add_field("half", Format.R16F, 1)
sim:add_field("counts", Format.R32UI, 0)
sim:add_stencil("push", {inputs = {"density"}, outputs = {"velocity"}, code = [[
    WriteField("velocity", idx, vec3(params.push * Random(coord, frame), time, ReadField("density", idx)));
]]})
sim:add_stencil("move", {inputs = {"density", "velocity", "half"}, outputs = {"density_new", "half_new"}, code = [[
    vec3 v = ReadField("velocity", idx);
    float d = SampleField("density", vec3(coord) - v) + Noise(vec3(coord) * 0.3);
    WriteField("density_new", idx, d);
    if (coord.x > 3) WriteField("half_new", idx, 0.5 * d + ReadField("half", idx));
]]})
sim:add_stencil("count", {outputs = {"counts"}, inputs = {"counts"}, code = [[
    WriteField("counts", idx, ReadField("counts", idx) + uint(coord.z));
]]})
sim:add_stencil("dim", {inputs = {"density"}, outputs = {"density_new"}, enabled = false, code = [[
    WriteField("density_new", idx, ReadField("density", idx) * 0.5);
]]})
local ok, text = pcall(function() sim:load("density", "missing.vdb") end)
print(text)
local late
for frame = 1, 6 do
    local total = sim:reduce("density", "sum")
    if total > 100 then sim:run_stencil("dim", 0.5) end
    if sim:read("half", {5, 5, 5}) > 3 then sim:fill("half", total / 1000) end
    sim:step(dt = 0.02 + 0.001 * (total % 7))
    if frame == 3 then
        sim:add_field("late", Format.R32F, sim:reduce("density", "max"))
        sim:add_stencil("late", {inputs = {"late", "density"}, outputs = {"late_new"}, code = [[
            WriteField("late_new", idx, ReadField("late", idx) + ReadField("density", coord + ivec3(1, 0, 0)));
        ]]})
    end
    sim:export_vdb("smoke_" .. frame .. ".vdb", {fields = {"density"}})
end
"""

#: A puff that is soon gone: at the end of frame 5 its leaves have been calm for two decisions, and sleep after four.
SPARSE = """
local gas = require("fluid.gas")
local sim = FluidEngine.new{domain_size = {24, 16, 24}, voxel_size = 0.05, sparse = true}
gas.fields(sim, {"density"})
sim:activate{field = "density", above = 0.1, margin = 0.25}
sim:activate{field = "velocity", above = 2, margin = 0.25}
sim:activate{low = {0.1, 0.2, 0.1}, high = {0.3, 0.3, 0.3}}
sim:add_stencil("source", {inputs = {"density", "velocity"}, outputs = {"density", "velocity"}, code = [[
    bool there = frame <= 2 && distance(vec3(coord), vec3(5, 6, 4)) < 3.0;
    WriteField("density", idx, there ? 1.0 : 0.2 * ReadField("density", idx));
    WriteField("velocity", idx, there ? vec3(5.0, 0.0, 2.0) : 0.5 * ReadField("velocity", idx));
]]})
gas.advect(sim, {fields = {"density"}, active = false})
gas.project(sim, {method = "sweeps", most = 8})
sim:run{frames = 7, fps = 24, substeps = "auto", cfl = 1, export = "smoke_####.vdb"}
"""


def test_a_resumed_run_gives_the_bits_of_an_uninterrupted_one_D09(runs: Runs, made: Made) -> None:
    request = runs.request(runs.write(SMOKE))
    assert runs.run(request, 4) == 130
    hold_on(runs, request, 4, made(SMOKE).fields, files_of(made(SMOKE).bake))


@pytest.mark.parametrize("storage", [{}, {"gpu_count": 2}], ids=["one", "two"])
def test_a_sparse_plume_resumes_with_its_leaves_and_their_patience_D09(
    runs: Runs, made: Made, storage: dict[str, Any]
) -> None:
    runs.storage = storage
    request = runs.request(runs.write(SPARSE))
    assert runs.run(request, 5) == 130
    with open_checkpoint(next(runs.bake.glob("frame_000005-*.checkpoint"))) as found:
        assert found.array("0//calm").size > 0, "no leaf's patience is to be restored"
    hold_on(runs, request, 5, made(SPARSE).fields, files_of(made(SPARSE).bake))


@pytest.mark.long
@pytest.mark.parametrize("storage", [{}, {"gpu_count": 2}], ids=["one", "two"])
def test_a_sparse_plume_with_a_multigrid_resumes_D09(runs: Runs, storage: dict[str, Any]) -> None:
    runs.storage = storage
    script = SPARSE.replace('{method = "sweeps", most = 8}', "{}")
    hold(runs, runs.request(runs.write(script)), 5)


def test_a_run_may_go_on_on_another_number_of_devices(runs: Runs, made: Made) -> None:
    request = ended(runs, made)
    runs.storage = {"gpu_count": 2}
    assert runs.run(request) == 0, runs.errors()
    expected = made(SMOKE).fields
    assert [key for key, values in expected.items() if runs.fields[key].tobytes() != values.tobytes()] == []


def test_a_longer_run_goes_on_from_the_end_of_a_shorter_one(runs: Runs, made: Made) -> None:
    request = runs.request(runs.write(SMOKE))
    expected = made(SMOKE).fields
    assert runs.run(replace(request, last_frame=2)) == 0
    assert latest_checkpoint(runs.bake)
    assert runs.run(replace(request, resume=str(runs.bake))) == 0, runs.errors()
    assert [event["frame"] for event in runs.told("resumed")] == [2]
    assert [key for key, values in expected.items() if runs.fields[key].tobytes() != values.tobytes()] == []


def ended(runs: Runs, made: Made, until: int = 3) -> RunRequest:
    """The request to go on with a run that has ended early."""
    runs.take(made(SMOKE, until))
    return replace(runs.request(runs.folder / "smoke.lua"), resume=str(runs.bake))


def ended_now(runs: Runs, text: str) -> RunRequest:
    """As `ended`, of a script that reads files of this test."""
    request = runs.request(runs.write(text))
    assert runs.run(request, 3) == 130
    return replace(request, resume=str(runs.bake))


def test_changed_scripts_and_parameters_are_a_choice_D10(runs: Runs, made: Made) -> None:
    request = ended(runs, made)
    bake = runs.bake
    runs.write(SMOKE.replace("0.5 * d", "0.25 * d"))
    changed = replace(request, parameters={"push": 3.0})
    assert runs.run(changed) == 2
    assert runs.errors() == [
        "error[checkpoint-mismatch]: The run cannot go on as it was: the script was changed; "
        '"push" is 3, and it was the script\'s default.\n'
        "  hint: Run it without resuming to start over, or accept the changes to go on with them from the checkpoint."
    ]
    assert runs.run(replace(changed, accept_changes=True)) == 0, runs.errors()
    assert runs.bake != bake
    assert "with changes, in a new bake" in runs.told("note")[0]["text"]
    assert [name for name, _ in files_of(runs.bake)] == [f"smoke_{n}.vdb" for n in range(1, 7)]
    assert Bake.open(runs.bake).damaged(checksums=True) == []
    assert [name for name, _ in files_of(bake)] == ["smoke_1.vdb", "smoke_2.vdb"], "the old one is as it was"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Format.R32F, 0.25", "Format.R32F, 0.5", ""),
        ("{20, 12, 16}", "{20, 12, 18}", "domain_size is [20, 12, 18], and it was [20, 12, 16]"),
        ("Format.R16F", "Format.R32F", "fields is"),
        ("0.02 +", "0.03 +", 'asks for "step 1 '),
        ("for frame = 1, 6", "for frame = 1, 2", 'the script ends where it asked for "reduce density sum"'),
    ],
    ids=["start", "size", "format", "dt", "end"],
)
def test_a_script_that_goes_another_way_is_told_so_D10(
    runs: Runs, made: Made, before: str, after: str, said: str
) -> None:
    request = replace(ended(runs, made), accept_changes=True)
    assert before in SMOKE
    runs.write(SMOKE.replace(before, after))
    code = runs.run(request)
    assert (code == 0) == (not said), runs.errors()
    if said:
        assert code == 2 and said in runs.errors()[0], runs.errors()
        assert [str(path) for path in (runs.folder / "bakes").iterdir()] == [request.resume], "nothing is left of it"


CUBE = """
v 0.4 0.4 0.4
v 1.2 0.4 0.4
v 0.4 1.2 0.4
v 0.4 0.4 1.2
f 1 3 2
f 1 2 4
f 1 4 3
f 2 3 4
"""
WITH_FILES = SMOKE.replace(
    "local late",
    """
    sim:add_object("ball", scene.object("Ball"))
    sim:load("density", "start.vdb", {grid = "density"})
    """,
)


def test_objects_and_files_that_were_changed_are_noticed_D10(runs: Runs, made: Made) -> None:
    shutil.copy(made(SMOKE).bake / "smoke_1.vdb", runs.folder / "start.vdb")
    runs.write(CUBE, "Ball.obj")
    request = ended_now(runs, WITH_FILES)
    bake = runs.bake
    kept = shutil.copytree(bake, runs.folder / "kept")
    assert runs.run(request) == 0, runs.errors()
    shutil.rmtree(bake)
    kept.rename(bake)
    before = {path.name: path.read_bytes() for path in bake.iterdir() if path.name != ".lock"}
    runs.write(CUBE.replace("1.2", "1.1"), "Ball.obj")
    assert runs.run(request) == 2 and 'the object "Ball" is another one in frame 1' in runs.errors()[0]
    runs.write(CUBE, "Ball.obj")
    (runs.folder / "start.vdb").write_bytes((runs.folder / "start.vdb").read_bytes() + b"x")
    assert runs.run(request) == 2 and 'the file "start.vdb" was changed' in runs.errors()[0]
    assert runs.run(replace(request, accept_changes=True)) == 0, runs.errors()
    (note,) = [event["text"] for event in runs.told("note") if "with changes, in a new bake" in event["text"]]
    assert 'the file "start.vdb" was changed' in note
    assert runs.bake != bake and len(files_of(runs.bake)) == 6
    assert before == {path.name: path.read_bytes() for path in bake.iterdir() if path.name != ".lock"}


def test_a_grid_file_that_was_changed_leaves_no_device_open_D10(runs: Runs, made: Made) -> None:
    start = runs.folder / "start.vdb"
    first, other = made(SMOKE).bake / "smoke_1.vdb", made(SMOKE).bake / "smoke_2.vdb"
    shutil.copy(first, start)
    size = "domain_size = {20, 12, 16}, "
    request = ended_now(runs, SMOKE.replace(size, 'grid_file = "start.vdb", sparse = false, '))
    shutil.copy(other, start)
    before = live_counts()
    assert runs.run(request) == 2 and 'the file "start.vdb" was changed' in runs.errors()[0], runs.errors()
    assert live_counts() == before


def test_a_frame_that_was_damaged_sends_the_run_back_D08(runs: Runs, made: Made) -> None:
    request = ended(runs, made, 4)
    (runs.bake / "smoke_3.vdb").write_bytes(b"torn")
    bake = runs.bake
    assert runs.run(request) == 0, runs.errors()
    assert [event["frame"] for event in runs.told("resumed")] == [3]
    assert '"smoke_3.vdb" has 4 bytes instead of' in runs.told("note")[0]["text"]
    assert Bake.open(bake).damaged(checksums=True) == []


def test_without_a_whole_checkpoint_nothing_is_mixed_D08(runs: Runs, made: Made) -> None:
    request = ended(runs, made, 4)
    (runs.bake / "smoke_1.vdb").unlink()
    assert runs.run(request) == 5
    assert "error[checkpoint-missing]" in runs.errors()[0]
    assert "has no checkpoint that can be used" in runs.errors()[0]


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9, 0.999])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_D08(runs: Runs, made: Made, at: float) -> None:
    request = ended(runs, made, 4)
    newest = runs.bake / latest_checkpoint(runs.bake).path  # type: ignore[union-attr]
    content = bytearray(newest.read_bytes())
    for place in range(int(at * len(content)), min(len(content), int(at * len(content)) + 64)):
        content[place] ^= 0xFF
    newest.write_bytes(content)
    assert runs.run(request) == 0, runs.errors()
    assert [event["frame"] for event in runs.told("resumed")] == [3]
    assert "The checkpoint of frame 4 is passed over" in runs.told("note")[0]["text"]


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(runs: Runs) -> None:
    script = runs.write(SMOKE.replace("sim:export_vdb", "--"))
    with injected("disk.flush", 2) as armed:
        assert runs.run(runs.request(script)) == 0, runs.errors()
    assert armed.fired
    assert any("No checkpoint of frame" in event["text"] for event in runs.told("note"))


def test_the_second_run_hears_what_the_first_one_heard(runs: Runs, made: Made) -> None:
    request = ended(runs, made)
    first = [event["text"] for event in runs.told("log")]
    assert "missing.vdb" in first[0]
    assert runs.run(request) == 0
    assert [event["text"] for event in runs.told("log")] == first


def test_kept_checkpoints_are_named_in_the_manifest_and_go_with_the_bake(runs: Runs, made: Made) -> None:
    ended(runs, made, 4)
    kept = sorted(path.name for path in runs.bake.glob("*.checkpoint"))
    listed = json.loads((runs.bake / "manifest.json").read_text("utf-8"))["checkpoints"]
    assert sorted(entry["path"] for entry in listed) == kept
    assert [entry["frame"] for entry in listed] == [3, 4]
    assert Bake.open(runs.bake).free() == []
    assert not runs.bake.exists()


def test_without_checkpoints_none_is_made(runs: Runs) -> None:
    assert runs.run(replace(runs.request(runs.write(SMOKE)), checkpoint_seconds=0.0, last_frame=3)) == 0
    assert latest_checkpoint(runs.bake) is None


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_resumes_bitwise_D09(runs: Runs, name: str) -> None:
    frames = 5
    hold(runs, runs.request(PRESETS[name].script, parameters={"resolution": 24, "frames": frames}), until=3)


def test_numbers_survive_as_they_are() -> None:
    journal, again = Journal(), Journal()
    values = (0.1, 1e-320, float(np.float32(0.1)), 2**60, float("inf"))
    assert journal.of_engine().ask("reduce", lambda: values) == values
    again.replay(journal.packed())
    assert tuple(again.of_engine().ask("reduce", lambda: ())) == values


# ===== The command line and a real worker


def command(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_resume_says_what_there_is_to_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, bakes = tmp_path / "smoke.lua", tmp_path / "bakes"
    script.write_text(SMOKE, "utf-8")
    run = ("run", script, "-o", bakes, "--in-process")
    code, said = command(*run, "--resume", capsys=capsys)
    assert (code, 'There is no bake of "smoke" in' in said) == (5, True)
    assert command(*run, "--frames", "1-2", capsys=capsys)[0] == 0
    (bake,) = bakes.iterdir()
    assert latest_checkpoint(bake), "a run that its frames have cut short can be made longer"
    code, said = command(*run, "--resume", "--param", "push=1", capsys=capsys)
    assert (
        code == 2 and "error[checkpoint-mismatch]" in said and '"push" is 1, and it was the script\'s default' in said
    )
    assert command(*run, "--resume", capsys=capsys)[0] == 0
    assert [path.name for path in bakes.iterdir()] == [bake.name]
    code, said = command(*run, "--resume", capsys=capsys)
    assert code == 5 and "is finished." in said
    code, said = command(*run, "--accept-changes", capsys=capsys)
    assert code == 2 and "needs --resume" in said


def a_bake(folder: Path, name: str, *, checkpoint: bool) -> Path:
    bake = Bake.create(folder, name, script_hash="h", device="d")
    if checkpoint:
        bake.add_checkpoint(3, lambda writer: writer.finish({}), 2)
    bake.release()
    return bake.folder


@pytest.mark.parametrize(
    "name", ["日本\u3000煙", "a\u00a0b", "a\u202fb", "\U0001f468\u200d\U0001f680", "a\udcffb"], ids=ascii
)
def test_the_bake_of_a_script_is_found_whatever_its_name_holds(tmp_path: Path, name: str) -> None:
    a_bake(tmp_path, "smoke", checkpoint=True)
    own = a_bake(tmp_path, name, checkpoint=True)
    assert bake_to_resume(tmp_path, name) == own
    again = Bake.open_to_go_on(own)
    again.add_checkpoint(4, lambda writer: writer.finish({}), 2)
    again.release()
    assert bake_to_resume(tmp_path, name) == own, "also once a run has gone on in it"


def test_a_bake_that_never_got_anywhere_is_passed_over(tmp_path: Path) -> None:
    a_bake(tmp_path, "smoke", checkpoint=False)
    with pytest.raises(FluidError, match='There is no bake of "smoke"'):
        bake_to_resume(tmp_path, "smoke")
    old = a_bake(tmp_path, "smoke", checkpoint=True)
    a_bake(tmp_path, "smoke", checkpoint=False)
    assert bake_to_resume(tmp_path, "smoke") == old


def test_a_killed_worker_loses_no_frame_and_its_run_goes_on(runs: Runs, made: Made) -> None:
    request = runs.request(runs.write(SMOKE))
    files = files_of(made(SMOKE).bake)
    # Frame 3's file comes after three checkpoints and two files: there it waits, or it might be through already.
    runs.patch.setenv(FAULTS_VARIABLE, fault_text("disk.announce", 6, "hang"))
    worker = WorkerRun(replace(request, output=str(runs.folder / "killed")))
    runs.patch.delenv(FAULTS_VARIABLE)
    events = []
    try:
        for event in worker.events():
            events.append(event)
            if event["event"] == "checkpoint" and event["frame"] == 3:
                os.kill(worker.pid, signal.SIGKILL)
    finally:
        closed(worker)
    assert events[-1]["exit_code"] == 6
    bake = next(Path(event["folder"]) for event in events if event["event"] == "bake")
    assert len(Bake.open(bake).frames) >= 2
    assert Bake.open(bake).damaged(checksums=True) == []
    assert runs.run(replace(request, resume=str(bake))) == 0, runs.errors()
    assert files_of(bake) == files
    assert {path.name for path in bake.iterdir()} == {"manifest.json", *(name for name, _ in files)}


def test_a_script_may_ask_a_million_times_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "MOST_BYTES", 1 << 18)
    journal, again = Journal(), Journal()
    engine = journal.of_engine()
    tracemalloc.start()
    asked = 0
    while not journal.is_full:
        asked += 1
        value = (float(np.sin(asked)),)
        assert engine.ask(f"read density {asked % 100} 2 3", lambda value=value: value) == value
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()
    assert asked > 12_500
    assert engine.ask("read density 1 2 3", lambda: (7.0,)) == (7.0,), "it goes on without being noted"
    again.replay(journal.packed())
    engine = again.of_engine()
    for number in range(1, 3000):
        answer = engine.ask(f"read density {number % 100} 2 3", lambda: pytest.fail("nothing is computed"))
        assert answer == [float(np.sin(number))]


@pytest.mark.parametrize(
    "damage", [b"", b"nonsense", zlib.compress(b"[[1]]"), zlib.compress(b"[" * 99999), zlib.compress(bytes(1 << 27))]
)
def test_a_journal_that_is_none_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError):
        Journal().replay([damage])
