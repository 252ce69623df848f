# SPDX-License-Identifier: GPL-3.0-or-later
"""A writer that is killed at any system call, or whose system calls fail, leaves whole frames and a list of them.

The calls are told apart by strace, which also kills or fails them. Between two calls that change nothing the disk stays
as it is, so the fast tests take the calls that change something, and the long ones take all.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluid_addon.child_process import child_environment
from fluid_addon.volumes import cache
from fluid_addon.volumes.atomic import DISK_FAULTS
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.bake_lock import LOCK
from fluid_addon.volumes.checkpoint import open_checkpoint
from fluid_addon.volumes.export_path import MANIFEST
from fluid_addon.volumes.growing_bake import GrowingBake
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from fluid_addon.volumes.openvdb_files import read_vdb

pytestmark = [
    pytest.mark.usefixtures("library"),
    pytest.mark.skipif(os.name == "nt", reason="Windows has no signals; there, the lock and the renames are the same"),
]

ROOT = Path(__file__).resolve().parents[2]
CALLS = "%file,%desc"
#: Calls that change what is on the disk, or bring it there.
CHANGES = re.compile(
    r"(openat\(.*O_(CREAT|TRUNC)|write\(|pwrite|writev\(|ftruncate|f(data)?sync|rename|unlink|mkdir|rmdir)"
)
PART = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{16}\.part")
VOXELS = {"smoke_1.vdb": 1, "smoke_2.vdb": 8, "smoke_3.vdb": 27, "smoke_2.nvdb": 8}


class Writer:
    """The process of frame_writer.py."""

    def __init__(self) -> None:
        # In a folder of its own, in memory where the system has such a disk: a real one takes its time to flush.
        memory = Path("/dev/shm")
        self.home = Path(tempfile.mkdtemp(prefix="fluid-script-kill-", dir=memory if memory.is_dir() else None))
        ours, its = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("frame_writer.py")), str(self.home / "first")],
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=its,
            text=True,
            start_new_session=True,
        )
        its.close()
        self._answers = ours.makefile("r", encoding="utf-8")
        ours.close()
        self._number = 0

    def close(self) -> None:
        assert self._process.stdin is not None
        os.killpg(self._process.pid, signal.SIGKILL)  # one of its forks may wait for a tracer
        self._process.stdin.close()
        self._answers.close()
        self._process.wait()
        shutil.rmtree(self.home)

    def start(self, *files: str, **task: Any) -> Path:
        """Begin to write files, after frame 1 if nothing else is said; returns the cache folder."""
        self._number += 1
        folder = self.home / str(self._number)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"cache": str(folder), "files": files, **task}) + "\n")
        self._process.stdin.flush()
        return folder

    def heard(self) -> dict[str, Any]:
        return json.loads(self._answers.readline())

    def ended(self) -> tuple[int, list[list[str]]]:
        """The exit code, and the errors at which it had to try again."""
        failed: list[list[str]] = []
        problem = None
        while "ended" not in (said := self.heard()):
            problem = said.get("problem", problem)
            failed += said.get("failed", [])
        assert problem is None
        return said["ended"], failed

    def traced(self, *files: str, inject: str = "", **task: Any) -> tuple[Path, int, list[list[str]], list[str]]:
        """Run it under strace. Returns its cache folder, its exit code, its errors, and the calls it made."""
        folder = self.start(*files, traced=True, **task)
        process, log = self.heard()["ready"], self.home / "log"
        while not stopped(process):
            time.sleep(0.001)
        options = ["-e", f"inject={inject}"] if inject else []
        command = ["strace", "-o", str(log), "-e", f"trace={CALLS}", *options, "-p", str(process)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert tracer.stderr is not None
            if "attached" not in (said := tracer.stderr.readline()):
                os.kill(process, signal.SIGKILL)
                os.kill(process, signal.SIGCONT)
                self.ended()
                no_tracer(f"strace cannot trace here: {said.strip()}")
            os.kill(process, signal.SIGCONT)
            while stopped(process):
                with contextlib.suppress(ProcessLookupError):  # it has gone on, and to its end
                    os.kill(process, signal.SIGCONT)
            code, failed = self.ended()
        finally:
            tracer.wait()
            tracer.stderr.close()
        return folder, code, failed, [line for line in log.read_text().splitlines() if re.match(r"\w+\(", line)]


def at(calls: list[str], place: int, what: str) -> str:
    """For `traced`: what happens at that call; strace counts the calls of each name by themselves."""
    name = calls[place].partition("(")[0]
    return f"{name}:{what}:when={sum(call.startswith(name + '(') for call in calls[: place + 1])}"


def stopped(process: int) -> bool:
    """Whether it waits for its SIGCONT; where the tracer reports it, the state is "t"."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def no_tracer(why: str) -> None:
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"CI kills writers at their system calls: {why}")
    pytest.skip(why)


@pytest.fixture(scope="module")
def writer() -> Iterator[Writer]:
    started = Writer()
    yield started
    started.close()


@pytest.fixture
def strace() -> None:
    if shutil.which("strace") is None:
        no_tracer("there is no strace")


@functools.cache
def voxels_in(content: bytes, suffix: str) -> int:
    """By a reader that knows nothing of the bake."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(content)
        file.flush()
        (grid,) = read_vdb(Path(file.name)) if suffix == ".vdb" else read_nvdb(Path(file.name))
        return grid.active_count


def assert_consistent(folder: Path, listed: list[list[str]]) -> Bake | None:
    """What any other process finds after the writer's end: one of the lists, every file on it whole, nothing else."""
    bakes = cache.bakes_in(folder) if folder.is_dir() else []
    if not bakes:
        assert [] in listed
        return None
    (found,) = bakes
    assert found.problem == ""
    bake = Bake.open(found.folder)
    names = [frame.path for frame in bake.frames]
    assert names in listed
    assert bake.damaged(checksums=True) == []
    for name in names:
        content = (bake.folder / name).read_bytes()
        sizes = {voxels_in(content, Path(name).suffix)}
        assert sizes <= ({8, 27} if name.startswith("smoke_2.") else {VOXELS[name]})
    growing = GrowingBake(bake.folder)
    growing.look()
    shown = [frame.path for sequence in growing.sequences for frame in sequence.frames]
    assert sorted(shown) == sorted(names)
    return bake


def assert_usable(bake: Bake) -> None:
    """Whoever goes on finds the lock free, removes what was begun, and can delete all that is listed."""
    again = Bake.open_to_go_on(bake.folder)
    checkpoints = {found.path for found in again.checkpoints}
    left = {path.name for path in bake.folder.iterdir()} - {MANIFEST, LOCK}
    assert left == checkpoints | {frame.path for frame in again.frames}  # what is on no list would stay for ever
    path = again.frame_path("smoke_9.vdb")
    path.write_bytes(b"9")
    again.add_frame("smoke_9.vdb", time=0.0, grids={})
    again.release()
    assert Bake.open(bake.folder).free() == []


ONE, TWO = ["smoke_1.vdb"], ["smoke_1.vdb", "smoke_2.vdb"]


def killed_at_each(writer: Writer, files: list[str], listed: list[list[str]], *, every: bool, **task: Any) -> list[str]:
    """Kill the writer before each call that changes something, or before every one. Returns those calls."""
    _, code, failed, calls = writer.traced(*files, **task)
    assert (code, failed) == (0, [])
    chosen = [place for place, call in enumerate(calls) if every or CHANGES.match(call)]
    for place in chosen:
        folder, code, _, _ = writer.traced(*files, inject=at(calls, place, "signal=SIGKILL"), **task)
        assert code == -signal.SIGKILL, calls[place]
        bake = assert_consistent(folder, listed)
        if bake is not None and place % 2:
            assert Bake.open(bake.folder).free() == []
        elif bake is not None:
            assert_usable(bake)
        shutil.rmtree(folder, ignore_errors=True)
    return [calls[place] for place in chosen]


def test_D01_a_writer_that_is_killed_at_any_change_of_the_disk_leaves_whole_frames(
    writer: Writer, strace: None
) -> None:
    calls = killed_at_each(writer, ["smoke_2.vdb"], [ONE, TWO], every=False)
    kinds = [call.partition("(")[0] for call in calls]
    assert kinds.count("fsync") == 5  # the frame, word of it, its folder, the manifest, its folder
    assert sum(kind.startswith("rename") for kind in kinds) == 2
    assert kinds.count("write") >= 2


def test_D01_a_writer_that_is_killed_while_it_writes_a_frame_anew_leaves_one_of_the_two(
    writer: Writer, strace: None
) -> None:
    calls = killed_at_each(writer, ["smoke_2.vdb"], [TWO], every=False, earlier=TWO)
    assert sum(call.startswith("rename") for call in calls) == 3  # the list with both, the frame, the list


def test_D01_a_writer_that_is_killed_at_a_checkpoint_leaves_one_to_go_on_from(writer: Writer, strace: None) -> None:
    earlier, task = ["smoke_1.vdb", "checkpoint"], ["checkpoint"]
    _, _, _, calls = writer.traced(*task, earlier=earlier)
    places = [place for place, call in enumerate(calls) if CHANGES.match(call)]
    assert sum(calls[place].startswith("rename") for place in places) == 3  # the list with both, the file, the list
    for place in places:
        folder, code, _, _ = writer.traced(*task, inject=at(calls, place, "signal=SIGKILL"), earlier=earlier)
        assert code == -signal.SIGKILL
        bake = assert_consistent(folder, [ONE])
        assert bake is not None
        frames = []
        for found in bake.checkpoints:
            with open_checkpoint(bake.folder / found.path) as opened:
                assert opened.array("density").shape == (found.frame,) * 3
            frames.append(found.frame)
        assert frames in ([2], [2, 3], [3])
        assert_usable(bake)


@pytest.mark.long
@pytest.mark.parametrize(
    ("files", "listed"),
    [
        (["smoke_2.vdb", "smoke_3.vdb"], [ONE, TWO, [*TWO, "smoke_3.vdb"]]),
        (["smoke_2.nvdb", "smoke_2.nvdb"], [[], ["smoke_2.nvdb"]]),
        (["smoke_2.vdb", "smoke_2.vdb"], [[], ["smoke_2.vdb"]]),
    ],
)
def test_D01_a_writer_that_is_killed_at_any_system_call(writer: Writer, strace: None, files, listed) -> None:
    """The second two from the making of the bake on."""
    calls = killed_at_each(writer, files, listed, every=True, earlier=["smoke_1.vdb"] if ONE in listed else [])
    assert len(calls) > 100


@pytest.mark.parametrize("point", DISK_FAULTS)
def test_D01_a_writer_that_is_killed_at_any_point_where_disks_fail(writer: Writer, point: str) -> None:
    """The same without strace, on every system with signals."""
    files = ["smoke_2.vdb", "smoke_2.vdb"]
    for passage in range(1, 100):
        folder = writer.start(*files, earlier=[], free=point == "disk.delete", kill=[point, passage])
        code, _ = writer.ended()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if point == "disk.delete":  # what is listed may be gone, and can still be freed
            (found,) = cache.bakes_in(folder)
            assert Bake.open(found.folder).free() == []
        elif (bake := assert_consistent(folder, [[], ["smoke_2.vdb"]])) is not None:
            assert_usable(bake)
    assert passage > 1


def test_a_deletion_that_is_killed_can_be_done_again(writer: Writer, strace: None) -> None:
    _, code, _, calls = writer.traced("smoke_2.vdb", free=True)
    assert code == 0
    places = [place for place, call in enumerate(calls) if re.match("unlink|rmdir", call)]
    assert len(places) == 7  # word of the frame that is listed, two frames, word of none, manifest, lock, folder
    for place in places:
        folder, code, _, _ = writer.traced("smoke_2.vdb", free=True, inject=at(calls, place, "signal=SIGKILL"))
        assert code == -signal.SIGKILL
        for found in cache.bakes_in(folder):
            assert Bake.open(found.folder).free() == []
        assert [path.name for path in folder.glob("*/*")] in ([], [".lock"])


# ===== Calls that fail


def failed_at_each(
    writer: Writer, error: str, calls_that_fail: str, files: list[str], listed: list[list[str]], *, more: bool = False
) -> int:
    """Let each of these calls fail, and the later ones of its name if `more`; else the writer tries again. Returns how
    many failures were told of."""
    _, _, _, calls = writer.traced(*files)
    places = [place for place, call in enumerate(calls) if re.match(calls_that_fail, call)]
    noticed = 0
    for place in places:
        folder, code, failed, _ = writer.traced(
            *files, inject=at(calls, place, f"error={error}") + "+" * more, gives_up=more
        )
        assert code == 0, calls[place]
        assert failed or not more
        for code_of_error, text in failed:  # none for a call that OpenVDB makes a second time
            assert code_of_error in {"EIO": {"disk-error"}}.get(error, {"disk-full", "disk-error"}), text
            assert str(folder) in text
        noticed += bool(failed)
        bake = assert_consistent(folder, listed if more else listed[-1:])
        assert bake is not None
        assert not [path for path in bake.folder.iterdir() if PART.fullmatch(path.name)], calls[place]
        assert_usable(bake)
    return noticed


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT"])
def test_D02_a_disk_that_fails_at_any_write_loses_no_frame(writer: Writer, strace: None, error: str) -> None:
    assert failed_at_each(writer, error, r"write\(|fsync|rename|openat\(.*O_CREAT", ["smoke_2.vdb"], [TWO]) >= 8


@pytest.mark.parametrize("error", ["ENOSPC"])
def test_D02_a_disk_that_stays_full_loses_no_earlier_frame(writer: Writer, strace: None, error: str) -> None:
    calls = r"write\(|fsync|rename|openat\(.*O_CREAT"
    assert failed_at_each(writer, error, calls, ["smoke_2.vdb"], [ONE, TWO], more=True) >= 8


@pytest.mark.long
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "EACCES"])
def test_D02_a_disk_that_fails_at_any_call_loses_no_frame(writer: Writer, strace: None, error: str) -> None:
    calls = r"write\(|fsync|rename|openat|unlink|read\(|ftruncate"
    assert failed_at_each(writer, error, calls, ["smoke_2.vdb", "smoke_2.vdb"], [TWO]) >= 20
