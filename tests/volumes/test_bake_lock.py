# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer a bake, whatever becomes of it; readers need no lock."""

from __future__ import annotations

import gc
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fluid_addon.child_process import child_environment
from fluid_addon.diagnostics import FluidError, Kind
from fluid_addon.volumes import bake_lock, cache
from fluid_addon.volumes.atomic import process_lives, remove_stale_parts
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.bake_lock import LOCK, BakeLock
from fluid_addon.volumes.growing_bake import GrowingBake

OTHER = """
import sys
from pathlib import Path
from fluid_addon.volumes.bake import Bake
bake = Bake.create(Path(sys.argv[1]), "smoke", script_hash="", device="", details={"simulation": "s", "blend": "b"})
bake.frame_path("s_1.vdb").write_bytes(b"1")
bake.add_frame("s_1.vdb", time=0.0, grids={})
print(bake.folder, flush=True)
sys.stdin.readline()
bake.release()
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that writes a bake: itself, and the bake's folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path / "cache")],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def new_bake(folder: Path) -> Bake:
    return Bake.create(folder, "smoke", script_hash="", device="")


def export(bake: Bake, name: str) -> None:
    bake.frame_path(name).write_bytes(b"1")
    bake.add_frame(name, time=0.0, grids={})


def assert_locked(action: Callable[[], object], process: int) -> None:
    with pytest.raises(FluidError) as caught:
        action()
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.kind) == ("bake-locked", Kind.DISK)
    assert re.fullmatch(rf'The bake "smoke-[0-9a-f]+" is being written by process {process}\.', diagnostic.message)
    assert diagnostic.hint == "Wait for the end of that run, or stop it."


def test_D07_a_second_writer_is_told_who_the_first_is(other: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = other
    for attempt in (
        lambda: Bake.open_to_go_on(folder),
        lambda: Bake.open(folder).claim(),
        lambda: Bake.open(folder).frame_path("s_2.vdb"),
        lambda: Bake.open(folder).add_frame("s_1.vdb", time=0.0, grids={}),
        lambda: Bake.open(folder).free(),
    ):
        assert_locked(attempt, process.pid)
    assert Bake.open(folder).damaged(checksums=True) == []


def test_D07_readers_need_no_lock(other: tuple[subprocess.Popen[str], Path]) -> None:
    _, folder = other
    growing = GrowingBake(folder)
    growing.look()
    assert [found.first_path for found in growing.sequences] == ["s_1.vdb"]
    (found,) = cache.bakes_in(folder.parent)
    assert (found.folder, found.frames, found.problem) == (folder, 1, "")


def test_D07_a_bake_that_is_written_is_not_freed_to_make_room(other: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = other
    details = {"simulation": "s", "blend": "b"}
    for _ in range(2):
        newer = Bake.create(folder.parent, "smoke", script_hash="", device="", details=details)
        export(newer, "s_1.vdb")
        newer.release()
    os.utime(folder / "manifest.json", ns=(0, 0))

    def keep_one() -> list[Path]:
        return [bake.folder for bake in cache.keep_newest(folder.parent, simulation="s", blend="b", keep=1)]

    assert folder not in keep_one()
    assert Bake.open(folder).damaged() == []
    process.kill()
    process.wait()
    assert keep_one() == [folder]
    assert not folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_D07_a_lock_falls_away_with_its_process(other: tuple[subprocess.Popen[str], Path], end: signal.Signals) -> None:
    process, folder = other
    (folder / f".s_2.vdb.{process.pid}.0123456789abcdef.part").write_bytes(b"half")
    process.send_signal(end)
    process.wait()
    assert (folder / LOCK).read_text().startswith(f"{process.pid} ")
    again = Bake.open_to_go_on(folder)
    assert sorted(path.name for path in folder.iterdir()) == [LOCK, "manifest.json", "s_1.vdb"]
    export(again, "s_2.vdb")
    assert again.free() == []


def test_D07_a_lock_is_let_go_of_at_the_end_of_a_run(other: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = other
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "released\n"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "s_1.vdb"]
    assert Bake.open(folder).free() == []
    assert not folder.exists()


def test_D07_a_bake_that_nothing_refers_to_any_more_is_let_go_of(tmp_path: Path) -> None:
    bake = new_bake(tmp_path)
    folder = bake.folder
    assert_locked(lambda: Bake.open_to_go_on(folder), os.getpid())
    del bake
    gc.collect()
    Bake.open_to_go_on(folder).free()


def test_D07_a_writer_sees_what_the_one_before_it_wrote(tmp_path: Path) -> None:
    first = new_bake(tmp_path)
    export(first, "s_1.vdb")
    first.release()
    second = Bake.open_to_go_on(first.folder)
    export(second, "s_2.vdb")
    second.release()
    second.release()
    assert [frame.path for frame in Bake.open_to_go_on(first.folder).frames] == ["s_1.vdb", "s_2.vdb"]


def test_D07_a_lock_that_went_with_its_file_is_taken_anew(tmp_path: Path) -> None:
    """Its owner removes the file when it ends; whoever has opened it at that moment holds nothing."""
    first = BakeLock(tmp_path)
    (tmp_path / LOCK).unlink()
    second = BakeLock(tmp_path)
    first.release()
    with pytest.raises(FluidError):  # the first has not taken away what is the second's
        BakeLock(tmp_path)
    second.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_D07_a_forked_child_does_not_let_go_of_its_parents_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom fluid_addon.volumes.bake_lock import BakeLock\n"
        "held = BakeLock(Path(sys.argv[1]))\nchild = os.fork()\n"
        "if not child:\n    held.release()\n    os._exit(0)\n"
        "os.waitpid(child, 0)\nprint('held', flush=True)\nsys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(FluidError, match=f"by process {process.pid}"):
        BakeLock(tmp_path)
    process.communicate("\n")
    BakeLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("said", ["", "x", "-5 host", "99999999999999999999 host", "\0\0", "7 \x1b[31mred\n"])
def test_D07_what_a_lock_says_is_not_trusted(tmp_path: Path, said: str) -> None:
    held = BakeLock(tmp_path)
    (tmp_path / LOCK).write_text(said)
    with pytest.raises(FluidError) as caught:
        BakeLock(tmp_path)
    assert str(caught.value).isprintable()
    held.release()


def test_D07_a_process_that_ends_at_once_takes_its_lock_file_along(tmp_path: Path) -> None:
    """As a worker does that is to stop while a driver does not answer."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom fluid_addon.volumes.atomic import remove_parts\n"
        "from fluid_addon.volumes.bake import Bake\n"
        "bake = Bake.create(Path(sys.argv[1]), 'smoke', script_hash='', device='')\nremove_parts()\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=child_environment(), check=True)
    assert [path.name for path in tmp_path.glob("*/*")] == ["manifest.json"]


# ===== Disks without locks


def no_locks(_descriptor: int) -> None:
    raise OSError(bake_lock.errno.ENOLCK, "No locks available")


def test_D07_on_a_disk_without_locks_the_living_of_this_machine_are_heeded(
    monkeypatch: pytest.MonkeyPatch, other: tuple[subprocess.Popen[str], Path]
) -> None:
    process, folder = other
    monkeypatch.setattr(bake_lock, "_try_lock", no_locks)
    assert_locked(lambda: Bake.open_to_go_on(folder), process.pid)
    process.kill()
    process.wait()
    bake = Bake.open_to_go_on(folder)
    export(bake, "s_2.vdb")
    assert bake.free() == []


def test_D07_on_a_disk_without_locks_our_number_may_be_that_of_an_earlier_life(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bake = new_bake(tmp_path)
    bake.release()
    monkeypatch.setattr(bake_lock, "_try_lock", no_locks)
    (bake.folder / LOCK).write_text(f"{os.getpid()} {platform.node()}\n")
    again = Bake.open_to_go_on(bake.folder)
    assert_locked(lambda: Bake.open_to_go_on(bake.folder), os.getpid())
    again.release()
    Bake.open_to_go_on(bake.folder).release()


def test_D07_on_a_disk_without_locks_part_files_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They may be those of another machine, whose processes cannot be asked."""
    bake = new_bake(tmp_path)
    bake.release()
    part = bake.folder / ".s_1.vdb.999999999.0123456789abcdef.part"
    part.write_bytes(b"half")
    monkeypatch.setattr(bake_lock, "_try_lock", no_locks)
    (bake.folder / LOCK).write_text("1 another-machine\n")
    again = Bake.open_to_go_on(bake.folder)
    assert part.exists()
    assert again.free() == [part]


# ===== What killed writers leave


def test_only_parts_of_the_dead_are_removed(tmp_path: Path, stranger: int) -> None:
    token = "0123456789abcdef"
    (tmp_path / "water").mkdir()
    stale = [
        f".s_1.vdb.999999999.{token}.part",
        f"water/.s_1.vdb.999999999.{token}.part",
        f".s_1.vdb.{os.getpid()}.{token}.part",  # of an earlier life with our number
        f".a b.1.2.vdb.999999999.{token}.part",
    ]
    staying = [
        f".s_1.vdb.{stranger}.{token}.part",
        f".s_1.vdb.{token}.part",
        f"s_1.vdb.999999999.{token}.part",
        ".s_1.vdb.999999999.0123.part",
        f".s_1.vdb.999999999.{token}.part.bak",
        f".s_1.vdb.999999999.{token.upper()}.part",
        "part",
        "manifest.json",
    ]
    for name in stale + staying:
        (tmp_path / name).write_bytes(b"x")
    assert sorted(remove_stale_parts(tmp_path)) == sorted(tmp_path / name for name in stale)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(tmp_path / n for n in staying)


@pytest.mark.skipif(os.name == "nt", reason="there, what a process holds cannot be removed")
def test_processes_live_or_not(stranger: int) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert process_lives(os.getpid()) and process_lives(stranger) and process_lives(1)
    assert not any(process_lives(process) for process in (ended.pid, 999_999_999, 0, -1, 10**30))
