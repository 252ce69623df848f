# SPDX-License-Identifier: GPL-3.0-or-later
"""What a folder full of bakes takes, what may go, and what is said where there is no room."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes import cache
from fluid_addon.volumes.bake import Bake

Make = Callable[..., Bake]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a bake of a simulation with so many frames of 1000 bytes, each a second later than the one before."""
    made = []

    def bake(frames: int = 2, simulation: str = "s1", blend: str = "/a.blend") -> Bake:
        new = Bake.create(
            tmp_path / "cache",
            "smoke",
            script_hash="abc",
            device="none",
            details={"simulation": simulation, "blend": blend},
        )
        for number in range(1, frames + 1):
            path = new.frame_path(f"smoke_{number:04}.vdb")
            path.write_bytes(bytes(1000))
            new.add_frame(path.name, time=number / 24, grids={"density": "float"})
        new.release()
        made.append(new)
        rewrite_head(new, created=f"2026-01-01T00:00:{len(made):02}+00:00")
        return new

    return bake


def rewrite_head(bake: Bake, **changes: object) -> None:
    manifest = bake.folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))


def keep(folder: Path, number: int, **options: object) -> list[str]:
    wanted = {"simulation": "s1", "blend": "/a.blend", **options}
    return [bake.folder.name for bake in cache.keep_newest(folder, keep=number, **wanted)]  # type: ignore[arg-type]


# ===== Looking


def test_bakes_are_listed_oldest_first_with_what_their_manifests_name(tmp_path: Path, make: Make) -> None:
    late, early = make(3), make(2)
    rewrite_head(early, created="2025-01-01T00:00:00+00:00")
    late.folder.joinpath("notes.txt").write_bytes(bytes(5000))  # not ours: not counted
    found = cache.bakes_in(tmp_path / "cache")
    assert [(bake.folder, bake.frames, bake.size) for bake in found] == [
        (early.folder, 2, 2000),
        (late.folder, 3, 3000),
    ]
    assert found[0].details == {"simulation": "s1", "blend": "/a.blend"}
    assert cache.size_of(tmp_path / "cache") == 5000


def test_frames_are_counted_once_where_several_files_show_them(tmp_path: Path, make: Make) -> None:
    bake = make(2)
    for name in ("fire_0001.vdb", "fire_0002.vdb", "still.vdb"):
        bake.frame_path(name).write_bytes(bytes(10))
        bake.add_frame(name, time=0.0, grids={})
    assert cache.bakes_in(tmp_path / "cache")[0].frames == 3


def test_a_new_frame_is_seen_at_once(tmp_path: Path, make: Make) -> None:
    bake = make(1)
    assert cache.size_of(tmp_path / "cache") == 1000
    bake.frame_path("more_0002.vdb").write_bytes(bytes(7))
    bake.add_frame("more_0002.vdb", time=0.0, grids={})
    assert cache.size_of(tmp_path / "cache") == 1007


def test_a_broken_bake_is_told_of_and_never_deleted(tmp_path: Path, make: Make) -> None:
    broken, _ = make(), make()
    broken.folder.joinpath("manifest.json").write_text('{"format":')
    found = cache.bakes_in(tmp_path / "cache")
    assert [bake.folder for bake in found if bake.problem] == [broken.folder]
    assert "not JSON" in found[0].problem
    assert keep(tmp_path / "cache", 1) == []
    assert len(list(broken.folder.iterdir())) == 3


def test_D06_other_folders_and_links_are_passed_over(tmp_path: Path, make: Make) -> None:
    bake = make()
    folder = tmp_path / "cache"
    folder.joinpath("holiday").mkdir()
    folder.joinpath("readme.txt").write_text("hello")
    moved = bake.folder.rename(tmp_path / "elsewhere")
    try:
        folder.joinpath(moved.name).symlink_to(moved, target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    assert cache.bakes_in(folder) == []
    assert cache.bakes_in(tmp_path / "nothing") == []


@pytest.mark.skipif(os.name != "posix", reason="takes rights from itself")
def test_D03_a_folder_that_cannot_be_looked_into_is_passed_over() -> None:
    """Such as "lost+found", where the cache is a disk of its own."""
    with tempfile.TemporaryDirectory() as name:  # tmp_path is of one user alone
        folder = Path(name)
        Bake.create(folder, "smoke", script_hash="abc", device="none").release()
        (folder / "lost+found").mkdir(mode=0)
        folder.chmod(0o755)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            found = cache.bakes_in(folder)
        finally:
            if root:
                os.seteuid(0)
        assert [bake.name for bake in found if not bake.problem] == ["smoke"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_951, "10 kB"),
        (999_400, "999 kB"),
        (999_600, "1.0 MB"),
        (50_000_000_000, "50 GB"),
        (2_340_000_000_000, "2.3 TB"),
    ],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert cache.size_text(count) == text


# ===== Freeing


def test_the_newest_stay(tmp_path: Path, make: Make) -> None:
    names = [make().folder.name for _ in range(5)]
    assert keep(tmp_path / "cache", 2) == names[:3]
    assert [bake.folder.name for bake in cache.bakes_in(tmp_path / "cache")] == names[3:]
    assert not (tmp_path / "cache" / names[0]).exists()


def test_bakes_of_the_same_second_are_told_apart(tmp_path: Path, make: Make) -> None:
    bakes = [make() for _ in range(4)]
    for place, bake in enumerate((bakes[2], bakes[0], bakes[3], bakes[1])):
        rewrite_head(bake, created="2026-01-01T00:00:00+00:00")
        os.utime(bake.folder / "manifest.json", ns=(0, 1_000_000_000_000 + place))
    assert keep(tmp_path / "cache", 1) == [bakes[place].folder.name for place in (2, 0, 3)]


def test_zero_keeps_all(tmp_path: Path, make: Make) -> None:
    for _ in range(3):
        make()
    assert keep(tmp_path / "cache", 0) == []
    assert len(cache.bakes_in(tmp_path / "cache")) == 3


def test_bakes_of_others_and_of_copies_of_the_file_stay(tmp_path: Path, make: Make) -> None:
    other, copy, own = make(simulation="s2"), make(blend="/b.blend"), make()
    rewrite_head(unasked := make(), details={})
    newest = make()
    assert keep(tmp_path / "cache", 1) == [own.folder.name]
    stay = {bake.folder for bake in cache.bakes_in(tmp_path / "cache")}
    assert stay == {other.folder, copy.folder, unasked.folder, newest.folder}


def test_a_bake_that_is_shown_stays(tmp_path: Path, make: Make) -> None:
    first, second, third = make(), make(), make()
    shown = {first.folder.parent / "." / first.folder.name}
    assert keep(tmp_path / "cache", 1, also_keep=shown) == [second.folder.name]
    assert first.folder.exists() and third.folder.exists()


def test_bakes_without_a_frame_do_not_push_out_good_ones(tmp_path: Path, make: Make) -> None:
    good, empty, newer, running = make(), make(0), make(), make(0)
    assert keep(tmp_path / "cache", 2) == [empty.folder.name]
    assert good.folder.exists() and newer.folder.exists() and running.folder.exists()


def test_files_of_others_in_a_bake_stay(tmp_path: Path, make: Make) -> None:
    old, _ = make(), make()
    notes = old.folder / "notes.txt"
    notes.write_text("mine")
    assert keep(tmp_path / "cache", 1) == [old.folder.name]
    assert list(old.folder.iterdir()) == [notes]


# ===== Room


def test_a_full_cache_says_how_full_and_what_to_do(tmp_path: Path, make: Make) -> None:
    make(9)
    folder = tmp_path / "cache"
    cache.check_room(folder, 10_000, 1000)
    with pytest.raises(FluidError) as caught:
        cache.check_room(folder, 10_000, 1001)
    assert caught.value.code == "cache-limit"
    assert str(caught.value) == "The bakes in the cache take 9.0 kB of 10 kB, and this run needs about 1.0 kB."
    hint = caught.value.diagnostics[0].hint
    assert hint == f'Free bakes in "{folder}", or raise the cache limit in the preferences of Fluid Script.'
    cache.check_room(folder, 0, 1 << 20)  # no limit


def test_a_full_disk_is_seen_before_the_run(tiny_disk: Path) -> None:
    cache.check_room(tiny_disk / "not" / "yet", 0, 200_000)
    with pytest.raises(FluidError) as caught:
        cache.check_room(tiny_disk / "not" / "yet", 0, 300_000)
    assert caught.value.code == "disk-full"
    assert "has 262 kB free, and this run needs about 300 kB." in str(caught.value)


def test_the_room_of_a_real_disk_is_not_enough_for_everything(tmp_path: Path) -> None:
    with pytest.raises(FluidError) as caught:
        cache.check_room(tmp_path, 0, 1 << 60)
    assert caught.value.code == "disk-full"


def test_a_cache_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    cache.make_cache_folder(tmp_path / "a" / "b")
    cache.make_cache_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def unwritable(tmp_path: Path) -> list[Path]:
    """Folders that even root cannot write: one that is a file, and one that the system makes up."""
    tmp_path.joinpath("file").write_text("")
    made_up = [Path("/proc/fluid_cache")] if Path("/proc/self").is_dir() else []
    return [tmp_path / "file", tmp_path / "file" / "cache", *made_up]


def test_D03_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    for folder in unwritable(tmp_path):
        with pytest.raises(FluidError) as caught:
            cache.make_cache_folder(folder)
        assert caught.value.code == "disk-error"
        assert f'The cache folder "{folder}" cannot be written:' in str(caught.value)
        assert caught.value.diagnostics[0].hint == "Choose another cache folder in the preferences of Fluid Script."


def test_D03_a_read_only_disk_is_named(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)  # even root cannot write there
    with pytest.raises(FluidError) as caught:
        cache.make_cache_folder(tiny_disk / "cache")
    assert caught.value.code == "disk-error"
    assert "cannot be written: Read-only file system." in str(caught.value)


def test_a_bake_that_cannot_be_deleted_is_named(tiny_disk: Path) -> None:
    bakes = []
    for second in range(2):
        details = {"simulation": "s1", "blend": "/a.blend"}
        bakes.append(Bake.create(tiny_disk, "smoke", script_hash="", device="", details=details))
        bakes[-1].frame_path("smoke_1.vdb").write_bytes(b"1")
        bakes[-1].add_frame("smoke_1.vdb", time=0.0, grids={})
        bakes[-1].release()
        rewrite_head(bakes[-1], created=f"2026-01-01T00:00:{second:02}+00:00")
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(FluidError) as caught:
        keep(tiny_disk, 1)
    assert caught.value.code == "disk-error"
    assert str(bakes[0].folder / "smoke_1.vdb") in str(caught.value)
    assert bakes[0].damaged() == []
