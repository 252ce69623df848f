# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that fail wherever they can: what was finished stays, nothing half is left, and the next write works.

The calls of a real system are failed in test_kill.py; here, its points on every system, and disks without room.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from fluid_addon.diagnostics import FluidError, Kind
from fluid_addon.faults import injected
from fluid_addon.volumes import atomic, cache
from fluid_addon.volumes.announcement import ANNOUNCEMENT
from fluid_addon.volumes.atomic import DISK_FAULTS, atomic_write, write_bytes_atomically
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.bake_lock import LOCK
from fluid_addon.volumes.export_path import MANIFEST
from fluid_addon.volumes.growing_bake import GrowingBake
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, read_vdb, write_vdb

WRITING = [point for point in DISK_FAULTS if point not in ("disk.delete", "disk.make", "disk.lock")]
#: A disk in memory, where the system has one: a real one takes its time to flush, and here nothing depends on it.
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is held is waited for all the same, and not as long."""
    monkeypatch.setattr(atomic, "_FIRST_WAIT", 0.0)


def new_bake(folder: Path) -> Bake:
    return Bake.create(folder, "smoke", script_hash="", device="")


def export(bake: Bake, name: str, content: bytes) -> None:
    """As the engine does: the place, the file, the list."""
    path, announce = bake.frame_path(name), bake.announcing(name)
    with atomic_write(path, len(content), announce) as part:
        part.write_bytes(content)
    bake.add_frame(name, time=0.5, grids={"density": "half"})


def content_of(bake: Bake) -> dict[str, bytes]:
    """The files that any other process finds on the list; each is whole."""
    opened = Bake.open(bake.folder)
    assert opened.damaged(checksums=True) == []
    return {frame.path: (opened.folder / frame.path).read_bytes() for frame in opened.frames}


def parts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


def strangers(bake: Bake) -> set[str]:
    """Names in the folder that are neither on the list, nor the list, nor the lock, nor word of a file to come."""
    names = {path.relative_to(bake.folder).as_posix() for path in bake.folder.rglob("*") if not path.is_dir()}
    known = {MANIFEST, LOCK, *(frame.path for frame in Bake.open(bake.folder).frames)}
    return {name for name in names - known if not ANNOUNCEMENT.match(name)}


# ===== Faults


@pytest.fixture
def quick() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fluid-script-faults-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("point", WRITING)
def test_D02_a_disk_that_fails_at_any_point_keeps_what_was_finished(
    quick: Path, monkeypatch: pytest.MonkeyPatch, point: str, number: int
) -> None:
    monkeypatch.setitem(DISK_FAULTS, point, number)
    for passage in range(1, 100):
        bake = new_bake(quick)
        export(bake, "s_1.vdb", b"first")
        export(bake, "s_2.vdb", b"second")
        before, seen = content_of(bake), 0
        with injected(point, passage) as armed:
            for name, content in (("s_2.vdb", b"second, and later"), ("s_3.vdb", b"third")):
                try:
                    export(bake, name, content)
                except FluidError as error:
                    seen += 1
                    assert error.code == ("disk-error" if number == errno.EIO else "disk-full")
                    assert error.kind is Kind.DISK
                    assert str(bake.folder) in str(error)
                    if error.code == "disk-full":
                        assert re.search(r"[0-9,]+ bytes are free", str(error))
        assert seen == armed.fired
        found = content_of(bake)
        assert found["s_1.vdb"] == before["s_1.vdb"]
        assert found["s_2.vdb"] in (b"second", b"second, and later")
        assert parts(quick) == []
        assert strangers(bake) == set()
        export(bake, "s_2.vdb", b"again")
        export(bake, "s_3.vdb", b"third")
        assert content_of(bake) == {"s_1.vdb": b"first", "s_2.vdb": b"again", "s_3.vdb": b"third"}
        assert bake.free() == []
        if not armed.fired:
            break
    assert passage > 1


@pytest.mark.parametrize("point", ["disk.make", "disk.lock", "disk.create", "disk.write", "disk.flush", "disk.rename"])
def test_D02_a_bake_that_cannot_be_made_leaves_nothing(tmp_path: Path, point: str) -> None:
    with injected(point, 1), pytest.raises(FluidError) as caught:
        new_bake(tmp_path)
    assert caught.value.kind is Kind.DISK
    assert list(tmp_path.iterdir()) == []
    new_bake(tmp_path).release()


def test_D02_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    bake = new_bake(tmp_path)
    for passage in (1, 2):
        with injected("disk.make", passage), pytest.raises(FluidError, match="The disk is full") as caught:
            export(bake, f"a/b{passage}/s_1.vdb", b"1")
        assert str(bake.folder / "a" / f"b{passage}" / "s_1.vdb") in str(caught.value)
    export(bake, "a/b1/s_1.vdb", b"1")
    assert bake.free() == []


def test_a_deletion_that_fails_can_be_done_again(tmp_path: Path) -> None:
    for passage in range(1, 100):
        bake = new_bake(tmp_path)
        export(bake, "s_1.vdb", b"first")
        export(bake, "water/s_2.vdb", b"second")
        with injected("disk.delete", passage) as armed:
            try:
                assert bake.free() == []
            except FluidError as error:
                assert error.code == "disk-error"
                assert Bake.open(bake.folder).free() == []
        assert list(tmp_path.iterdir()) == []
        if not armed.fired:
            break
    assert passage == 4  # two frames, the manifest


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("point", ["disk.create", "disk.write", "disk.flush", "disk.rename", "disk.busy"])
def test_D02_D04_a_vdb_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, point: str) -> None:
    path = tmp_path / "f.vdb"
    write_vdb(path, VdbFrame([VdbGrid("density", np.ones((3, 3, 3)))]))
    with injected(point, 1, more=True), pytest.raises(FluidError) as caught:
        write_vdb(path, VdbFrame([VdbGrid("density", np.ones((4, 4, 4)))]))
    assert str(path) in str(caught.value)
    if caught.value.code == "disk-full":
        assert "512 bytes are needed" in str(caught.value)
    assert [found.name for found in tmp_path.iterdir()] == ["f.vdb"]
    assert read_vdb(path)[0].active_count == 27


def test_D04_a_file_that_is_held_for_a_moment_is_replaced(tmp_path: Path) -> None:
    """As Windows says it while Blender or a virus scanner has the file open."""
    write_bytes_atomically(tmp_path / "f", b"old")
    for refusals in range(1, 6):
        with ExitStack() as faults:
            armed = [faults.enter_context(injected("disk.busy", n)) for n in range(1, refusals + 1)]
            write_bytes_atomically(tmp_path / "f", bytes([refusals]))
        assert all(fault.fired for fault in armed)
        assert (tmp_path / "f").read_bytes() == bytes([refusals])


def test_D04_a_file_that_stays_held_is_named_and_stays(tmp_path: Path) -> None:
    write_bytes_atomically(tmp_path / "f", b"old")
    with injected("disk.busy", 1, more=True) as armed, pytest.raises(FluidError) as caught:
        write_bytes_atomically(tmp_path / "f", b"new")
    assert armed.passed == 6
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == (
        "disk-error",
        f'"{tmp_path / "f"}" cannot be replaced, perhaps because another program holds it: Permission denied.',
    )
    assert "Close what shows the file" in (diagnostic.hint or "")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"old")]


# ===== Disks without room


def test_a_frame_is_refused_before_it_is_written_where_there_is_no_room_for_two(tmp_path: Path) -> None:
    bake = new_bake(tmp_path)
    with injected("disk.room", 1, more=True):
        export(bake, "s_1.vdb", bytes(5000))  # nothing is known yet of how large they are
        before = sorted(path.name for path in bake.folder.iterdir())
        with pytest.raises(FluidError) as caught:
            bake.frame_path("water/s_2.vdb")
    assert caught.value.code == "disk-full"
    assert str(caught.value) == (
        f'The disk is full, "{bake.folder / "water" / "s_2.vdb"}" was not written '
        "(10,000 bytes are needed, 0 bytes are free)."
    )
    assert sorted(path.name for path in bake.folder.iterdir()) == before
    bake.release()
    again = Bake.open_to_go_on(bake.folder)
    with injected("disk.room", 1, more=True), pytest.raises(FluidError, match="10,000 bytes are needed"):
        again.frame_path("s_2.vdb")
    export(again, "s_2.vdb", b"2")


def test_room_is_asked_of_a_real_disk(tiny_disk: Path) -> None:
    bake = new_bake(tiny_disk)
    export(bake, "s_1.vdb", bytes(100_000))
    with pytest.raises(FluidError, match=r"200,000 bytes are needed, [0-9]{2,3},[0-9]{3} bytes are free") as caught:
        export(bake, "s_2.vdb", b"small")
    assert caught.value.code == "disk-full"
    assert list(content_of(bake)) == ["s_1.vdb"]
    assert bake.free() == []  # also where the disk is full


def test_D02_a_disk_that_becomes_full_at_any_byte_keeps_the_old_file(tiny_disk: Path) -> None:
    write_bytes_atomically(tiny_disk / "f", b"old")
    free = cache.free_space(tiny_disk)
    assert free is not None
    for room in range(0, 20_000, 4096):
        with (tiny_disk / "filler").open("wb") as filler:
            filler.write(bytes(free - room))
        with pytest.raises(FluidError) as caught:
            write_bytes_atomically(tiny_disk / "f", bytes(room + 1))
        assert caught.value.code == "disk-full"
        assert f"{room + 1:,} bytes are needed" in str(caught.value)
        assert sorted(path.name for path in tiny_disk.iterdir()) == ["f", "filler"]
        assert (tiny_disk / "f").read_bytes() == b"old"
        (tiny_disk / "filler").unlink()
    write_bytes_atomically(tiny_disk / "f", bytes(20_000))


@pytest.mark.usefixtures("library")
def test_D02_a_vdb_file_that_may_not_grow_at_any_size_keeps_the_old_one(tmp_path: Path) -> None:
    """The system ends each write of OpenVDB at another byte."""
    resource = pytest.importorskip("resource", reason="limits are a matter of POSIX")
    noise = np.random.default_rng(0).random((24, 24, 24), np.float32)
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", np.ones((3, 3, 3)))]))
    write_vdb(tmp_path / "whole.vdb", VdbFrame([VdbGrid("density", noise)]))
    whole, old = (tmp_path / "whole.vdb").stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    refused = 0
    for limit in [*np.linspace(1, whole - 1, 24).astype(int).tolist(), whole - 1]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        try:
            write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", noise)]))
        except FluidError as error:
            assert error.code == "disk-error"
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert refused == 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.vdb", "whole.vdb"]
    assert read_vdb(tmp_path / "f.vdb")[0].active_count == 27


@pytest.mark.parametrize("problem", [MemoryError, RuntimeError])
def test_a_frame_that_is_given_up_leaves_no_part(tmp_path: Path, problem: type[Exception]) -> None:
    bake = new_bake(tmp_path)
    export(bake, "s_1.vdb", b"first")
    with pytest.raises(problem), atomic_write(bake.frame_path("s_1.vdb")) as part:
        part.write_bytes(b"ha")
        raise problem
    assert (parts(tmp_path), content_of(bake)) == ([], {"s_1.vdb": b"first"})


# ===== Folders that cannot be written, and such with unusual names (D03)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", ["ä ö 日本 🌊", "with 'quotes\" and $HOME", "-rf", "a" * 200, "%s %00"])
def test_D03_folders_of_any_name_take_frames(tmp_path: Path, name: str) -> None:
    bake = new_bake(tmp_path / name)
    kinds = write_vdb(bake.frame_path("ä_1.vdb"), VdbFrame([VdbGrid("density", np.ones((3, 3, 3)))]))
    bake.add_frame("ä_1.vdb", time=0.0, grids=dict(kinds))
    assert read_vdb(bake.folder / "ä_1.vdb")[0].active_count == 27
    assert [frame.path for frame in Bake.open(bake.folder).frames] == ["ä_1.vdb"]


@pytest.mark.usefixtures("library")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no names that are no text")
def test_D03_a_folder_whose_name_is_no_text_is_told_of(tmp_path: Path) -> None:
    bake = new_bake(tmp_path / os.fsdecode(b"\xff\xfe"))
    with pytest.raises(FluidError) as caught:
        write_vdb(bake.frame_path("s_1.vdb"), VdbFrame([VdbGrid("density", np.ones((3, 3, 3)))]))
    assert caught.value.code == "disk-error"
    assert strangers(bake) == set()


def test_D03_folders_that_are_files_or_too_deep_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    made_up = [Path("/proc/fluid-script")] if Path("/proc/self").is_dir() else []
    for folder in (tmp_path / "file" / "cache", tmp_path.joinpath(*["x" * 200] * 30), *made_up):
        with pytest.raises(FluidError) as caught:
            new_bake(folder)
        assert caught.value.code == "disk-error"
        assert str(folder) in str(caught.value)


def test_D03_read_only_disks_are_told_of(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)  # even root cannot write there
    with pytest.raises(FluidError, match="Read-only file system") as caught:
        new_bake(tiny_disk)
    assert caught.value.code == "disk-error"


def test_D03_a_bake_that_is_deleted_by_hand_goes_on_with_what_comes(tmp_path: Path) -> None:
    bake = new_bake(tmp_path)
    export(bake, "s_1.vdb", b"1")
    shutil.rmtree(bake.folder)
    export(bake, "s_2.vdb", b"2")
    found = Bake.open(bake.folder)
    assert [(frame.path, why) for frame, why in found.damaged()] == [("s_1.vdb", "No such file or directory")]
    assert (bake.folder / "s_2.vdb").read_bytes() == b"2"


# ===== Files of others, and links


def fill_with_strangers(folder: Path, outside: Path, stranger: int) -> set[str]:
    """Things that somebody else has put into a bake, some of which look like ours. Returns their names."""
    names = ["notes.txt", "s_4.vdb", ".hidden", ".s_1.vdb.1.part", "manifest.json.bak", "x.checkpoint", "water/s_9.vdb"]
    alive = f".s_1.vdb.{stranger}.0123456789abcdef.part"  # of a process that goes on
    for name in [*names, alive, "own/deep/file"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"theirs")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "dangling").symlink_to(folder / "nowhere")
    (folder / ".s_2.vdb.999999999.0123456789abcdef.part").symlink_to(outside / "s_1.vdb")
    (folder / ".s_3.vdb.999999999.0123456789abcdef.part").mkdir()
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_only_what_the_manifest_names_is_deleted(tmp_path: Path, stranger: int) -> None:
    bake, outside = new_bake(tmp_path / "cache"), tmp_path / "outside"
    outside.mkdir()
    (outside / "s_1.vdb").write_bytes(b"mine")
    theirs = fill_with_strangers(bake.folder, outside, stranger) - {MANIFEST, LOCK}
    for name in ("s_1.vdb", "water/s_2.vdb", "own/s_3.vdb", "gone/s_5.vdb"):
        export(bake, name, b"ours")
    dead = bake.folder / "water" / ".s_3.vdb.999999999.0123456789abcdef.part"
    dead.write_bytes(b"of a writer that was killed")
    left = bake.free()
    assert {path.relative_to(bake.folder).as_posix() for path in left} == theirs
    assert {path.relative_to(bake.folder).as_posix() for path in bake.folder.rglob("*")} == theirs
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("s_1.vdb", b"mine")]


def test_D06_a_frame_that_has_become_a_link_is_not_written_through(tmp_path: Path) -> None:
    bake, outside = new_bake(tmp_path / "cache"), tmp_path / "outside.vdb"
    export(bake, "s_1.vdb", b"ours")
    outside.write_bytes(b"mine")
    (bake.folder / "s_1.vdb").unlink()
    (bake.folder / "s_1.vdb").symlink_to(outside)
    for attempt in (lambda: export(bake, "s_1.vdb", b"new"), lambda: bake.add_frame("s_1.vdb", time=0.0, grids={})):
        with pytest.raises(FluidError, match="which is a link") as caught:
            attempt()
        assert caught.value.code == "export-path"
    assert "link" in bake.damaged()[0][1]
    bake.free()
    assert outside.read_bytes() == b"mine"
    assert (bake.folder / "s_1.vdb").is_symlink()


@pytest.mark.parametrize("name", ["s_1.vdb", MANIFEST, LOCK])
def test_D06_a_hard_link_is_not_written_through(tmp_path: Path, name: str) -> None:
    bake, outside = new_bake(tmp_path / "cache"), tmp_path / "outside"
    export(bake, "s_1.vdb", b"ours")
    bake.release()
    if not (bake.folder / name).exists():
        outside.write_bytes(b"mine")
        os.link(outside, bake.folder / name)
    else:
        os.link(bake.folder / name, outside)
    before = outside.read_bytes()
    if name == LOCK:
        with pytest.raises(FluidError, match="it is a link or no file"):
            Bake.open_to_go_on(bake.folder)
    else:
        again = Bake.open_to_go_on(bake.folder)
        export(again, "s_1.vdb", b"new")
        assert content_of(again) == {"s_1.vdb": b"new"}
        again.free()
    assert outside.read_bytes() == before


def test_D06_a_bake_that_has_become_a_link_is_not_written_through(tmp_path: Path) -> None:
    """The artist's cache folder may be a link, for that is theirs to say; a bake in it may not become one."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    bake, home = new_bake(tmp_path / "cache"), tmp_path / "home"
    export(bake, "s_1.vdb", b"ours")
    home.mkdir()
    (home / "s_1.vdb").write_bytes(b"mine")
    moved = bake.folder.rename(tmp_path / "moved")
    bake.folder.symlink_to(home)
    for name in ("s_1.vdb", "s_2.vdb"):
        with pytest.raises(FluidError, match="which is a link"):
            export(bake, name, b"new")
    with pytest.raises(FluidError, match="which is a link"):
        bake.free()
    assert [(path.name, path.read_bytes()) for path in home.iterdir()] == [("s_1.vdb", b"mine")]
    assert (moved / "s_1.vdb").read_bytes() == b"ours"


def test_D06_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    bake, outside = new_bake(tmp_path / "cache"), tmp_path / "outside"
    bake.release()
    outside.write_bytes(b"mine")
    (bake.folder / LOCK).symlink_to(outside)
    with pytest.raises(FluidError) as caught:
        Bake.open_to_go_on(bake.folder)
    assert caught.value.code == "disk-error"
    assert outside.read_bytes() == b"mine"


# ===== Any order of events


class BakeMachine(RuleBasedStateMachine):
    """A bake against a plain dictionary, while disks fail and writers die."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="fluid-script-machine-", dir=MEMORY))
        self.model: dict[str, bytes] = {}
        self.bake: Bake | None = None
        self.growing: GrowingBake | None = None
        self.count = 0

    def teardown(self) -> None:
        if self.bake is not None:
            self.bake.release()
        shutil.rmtree(self.folder)

    @initialize()
    def create(self) -> None:
        self.bake, self.model = new_bake(self.folder), {}
        self.place = self.bake.folder
        self.growing = GrowingBake(self.place)

    def new_content(self) -> bytes:
        self.count += 1
        return b"content %d" % self.count

    NAME = st.sampled_from(["s_1.vdb", "s_2.vdb", "s_0003.vdb", "water/s_1.vdb", "still.vdb", "a.nvdb"])

    @precondition(lambda self: self.bake)
    @rule(name=NAME)
    def export(self, name: str) -> None:
        content = self.new_content()
        export(self.bake, name, content)
        self.model[name] = content

    @precondition(lambda self: self.bake)
    @rule(name=NAME, point=st.sampled_from(WRITING), passage=st.integers(1, 5))
    def export_on_a_disk_that_fails(self, name: str, point: str, passage: int) -> None:
        content = self.new_content()
        with injected(point, passage, more=point == "disk.busy"):
            try:
                export(self.bake, name, content)
            except FluidError as error:
                assert error.kind is Kind.DISK
                if name in self.model:  # the old file or the new one
                    now = (self.place / name).read_bytes()
                    assert now in (self.model[name], content)
                    self.model[name] = now
                elif name in {frame.path for frame in self.bake.frames}:
                    self.model[name] = content  # the list was written, and only then the disk failed
                return
        self.model[name] = content

    @precondition(lambda self: self.bake)
    @rule(name=NAME, stage=st.sampled_from(["part", "announced", "renamed"]))
    def die_while_exporting(self, name: str, stage: str) -> None:
        """What a killed writer leaves behind; the lock falls away with it."""
        content = self.new_content()
        path, announce = self.bake.frame_path(name), self.bake.announcing(name)
        part = path.parent / f".{path.name}.999999999.0123456789abcdef.part"
        part.write_bytes(content if stage != "part" else content[:3])
        if stage != "part":
            announce(part)
        if stage == "renamed":
            part.replace(path)
            if name in self.model:
                self.model[name] = content
        self.bake.release()
        self.bake = None

    @precondition(lambda self: self.bake)
    @rule()
    def end(self) -> None:
        self.bake.release()
        self.bake = None

    @precondition(lambda self: self.bake is None and self.place.exists())
    @rule()
    def go_on(self) -> None:
        self.bake = Bake.open_to_go_on(self.place)
        assert strangers(self.bake) == set()

    @precondition(lambda self: self.bake)
    @rule()
    def another_writer_comes(self) -> None:
        for attempt in (Bake.open_to_go_on, lambda folder: Bake.open(folder).free()):
            with pytest.raises(FluidError) as caught:
                attempt(self.place)
            assert caught.value.code == "bake-locked"

    @precondition(lambda self: self.bake is None and self.place.exists())
    @rule(fails=st.one_of(st.none(), st.integers(1, 4)))
    def free(self, fails: int | None) -> None:
        with ExitStack() as faults:
            if fails:
                faults.enter_context(injected("disk.delete", fails))
            try:
                Bake.open(self.place).free()
            except FluidError as error:
                assert error.code == "disk-error"
        left = Bake.open(self.place).free() if (self.place / MANIFEST).exists() else []
        assert all(path.is_dir() for path in left)  # made for an export, and then its writer was killed
        shutil.rmtree(self.place, ignore_errors=True)
        self.create()

    @invariant()
    def readers_find_the_model(self) -> None:
        if self.growing is None:
            return
        (found,) = cache.bakes_in(self.folder)
        assert (found.problem, found.folder) == ("", self.place)
        opened = Bake.open(self.place)
        assert opened.damaged(checksums=True) == []
        assert {frame.path: (self.place / frame.path).read_bytes() for frame in opened.frames} == self.model
        self.growing.look()
        assert self.growing.damaged == {}
        assert {frame.path for found in self.growing.sequences for frame in found.frames} == set(self.model)


def machine(examples: int, steps: int) -> Callable[[], None]:
    case = type("Case", (BakeMachine.TestCase,), {})
    case.settings = settings(max_examples=examples, stateful_step_count=steps, deadline=None)

    def run() -> None:
        case("runTest").runTest()

    return run


def test_a_bake_is_what_a_dictionary_would_be(no_waiting: None) -> None:
    machine(25, 15)()


@pytest.mark.long
def test_a_bake_is_what_a_dictionary_would_be_for_long(no_waiting: None) -> None:
    machine(120, 40)()
