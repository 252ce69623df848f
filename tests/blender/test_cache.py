# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a simulation's bakes go, what is said of the one it shows, and how they are freed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluid_addon.volumes.bake import Bake

SCRIPT = """
sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 1)
sim:run{frames = 2, fps = 24, export = "smoke_####.vdb"}
"""
SMOKE = ("smoke_0001.vdb", "smoke_0002.vdb", "smoke_0003.vdb")


@pytest.fixture
def bakes(extension: Any) -> Any:
    return extension("blender.bakes")


@pytest.fixture
def prefer(extension: Any, bpy: Any) -> Callable[..., Any]:
    """Sets preferences and returns them all."""

    def change(**values: Any) -> Any:
        module = extension("blender.preferences")
        for name, value in values.items():
            setattr(bpy.context.preferences.addons[extension("blender.package").PACKAGE].preferences, name, value)
        return module.settings()

    return change


@pytest.fixture
def plume(extension: Any, bpy: Any) -> Any:
    """A simulation of the scene."""
    text = bpy.data.texts.new("plume.lua")
    text.write("sim = nil")
    return extension("blender.simulation").new_simulation(bpy.context.scene, text, "Plume")


@pytest.fixture
def bake_of(bpy: Any, bakes: Any, prefer: Any, add_frames: Callable[..., None]) -> Callable[..., Bake]:
    """Makes a bake in the cache folder as a run of the simulation does."""

    def make(simulation: Any, *names: str, blend: str | None = None) -> Bake:
        details = {
            "simulation": simulation.fluid_addon.token,
            "blend": bpy.data.filepath if blend is None else blend,
        }
        made = Bake.create(bakes.cache_folder(prefer()), "plume", script_hash="", device="", details=details)
        add_frames(made, *(() if names == ("nothing",) else names or SMOKE))
        return made

    return make


@pytest.fixture
def show(extension: Any, bakes: Any) -> Callable[..., None]:
    """What a run's end does."""

    def shown(simulation: Any, bake: Bake) -> None:
        extension("blender.volume_object").show_bake(simulation, bake.folder)
        bakes.look_again(simulation)

    return shown


def save(bpy: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def load(bpy: Any, path: Path) -> Any:
    bpy.ops.wm.open_mainfile(filepath=str(path))
    return bpy.data.objects["Plume"]


# ===== Where bakes go


def test_B05_bakes_of_a_file_without_a_folder_go_to_the_user(
    bakes: Any, prefer: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = prefer(cache_folder="//fluid_cache")
    assert bakes.is_temporary(chosen)
    folder = bakes.cache_folder(chosen)
    assert folder.is_absolute() and folder.name == "bakes"
    assert sys.platform != "linux" or folder == tmp_path / "fluid_script" / "bakes"


@pytest.mark.parametrize("written", ["//fluid_cache", "fluid_cache", " //fluid_cache/", "//../scene/fluid_cache", ""])
def test_bakes_of_a_saved_file_lie_beside_it(bpy: Any, bakes: Any, prefer: Any, tmp_path: Path, written: str) -> None:
    save(bpy, tmp_path / "scene" / "a.blend")
    chosen = prefer(cache_folder=written)
    assert not bakes.is_temporary(chosen)
    assert bakes.cache_folder(chosen) == tmp_path / "scene" / "fluid_cache"


def test_a_folder_of_the_artists_own_is_taken_as_it_is(bakes: Any, prefer: Any, tmp_path: Path) -> None:
    chosen = prefer(cache_folder=str(tmp_path / "big disk"))
    assert bakes.cache_folder(chosen) == tmp_path / "big disk"
    assert not bakes.is_temporary(chosen)


def test_a_run_gets_a_folder_with_room_for_a_bake_like_the_last(
    extension: Any, bakes: Any, prefer: Any, plume: Any, bake_of: Any, show: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    chosen = prefer(cache_folder=str(tmp_path / "cache"), cache_limit_gb=1.0)
    assert bakes.folder_for_a_run(plume, chosen) == tmp_path / "cache"
    assert (tmp_path / "cache").is_dir()
    bake = bake_of(plume)
    show(plume, bake)
    size = sum(frame.size for frame in bake.frames)
    monkeypatch.setattr(bakes, "LEAST_ROOM", 0)  # the bakes of this test are small
    bakes.folder_for_a_run(plume, prefer(cache_limit_gb=2.1 * size / 1e9))
    with pytest.raises(extension("diagnostics").FluidError) as caught:
        bakes.folder_for_a_run(plume, prefer(cache_limit_gb=1.9 * size / 1e9))
    assert caught.value.code == "cache-limit"


def test_a_cache_folder_that_cannot_be_written_stops_the_run_at_its_button(
    extension: Any, bpy: Any, prefer: Any, plume: Any, tmp_path: Path
) -> None:
    tmp_path.joinpath("file").write_text("")
    prefer(cache_folder=str(tmp_path / "file"))
    extension("blender.trust").remember(plume.fluid_addon.text)
    with pytest.raises(RuntimeError, match=r'The cache folder ".*file" cannot be written.*Choose another'):
        bpy.ops.fluid_addon.run_simulation(name="Plume")


# ===== What is said of a bake


def test_the_bake_is_known_without_looking_at_the_disk(
    bakes: Any, plume: Any, bake_of: Any, show: Any, prefer: Any, tmp_path: Path
) -> None:
    prefer(cache_folder=str(tmp_path))
    assert bakes.status(plume) is None
    bake = bake_of(plume)
    show(plume, bake)
    bake.folder.rename(tmp_path / "gone")
    seen = bakes.status(plume)
    assert (seen.name, seen.folder, seen.frames, seen.problem) == (bake.folder.name, bake.folder, 3, "")
    assert seen.size == sum(frame.size for frame in bake.frames)
    assert (bakes.cache_use().bakes, bakes.cache_use().size) == (1, seen.size)


def test_missing_and_cut_files_are_counted(bpy: Any, bakes: Any, plume: Any, bake_of: Any, show: Any) -> None:
    bake = bake_of(plume)
    show(plume, bake)
    bake.folder.joinpath(SMOKE[0]).unlink()
    os.truncate(bake.folder / SMOKE[1], 100)
    bpy.ops.fluid_addon.look_for_bakes()
    seen = bakes.status(plume)
    assert (seen.damaged, seen.missing) == (2, False)
    assert seen.problem == "2 of 3 files are missing or damaged."


def test_a_broken_manifest_is_said(bpy: Any, bakes: Any, plume: Any, bake_of: Any, show: Any) -> None:
    bake = bake_of(plume)
    show(plume, bake)
    bake.folder.joinpath("manifest.json").write_text("[]")
    bpy.ops.fluid_addon.look_for_bakes()
    assert "is not the manifest of a bake" in bakes.status(plume).problem
    assert bakes.cache_use().broken == 1


def test_a_bake_of_another_run_is_not_told_as_this_one(bakes: Any, plume: Any, bake_of: Any, show: Any) -> None:
    show(plume, bake_of(plume))
    plume["fluid_bake"] = "plume-of-a-run-that-goes-on"
    assert bakes.status(plume) is None


# ===== Opening the file again


def test_file_and_bakes_moved_together_just_work(
    bpy: Any, bakes: Any, plume: Any, bake_of: Any, show: Any, prefer: Any, tmp_path: Path
) -> None:
    prefer(cache_folder="//fluid_cache")
    save(bpy, tmp_path / "here" / "a.blend")
    show(plume, bake_of(plume))
    save(bpy, tmp_path / "here" / "a.blend")
    (tmp_path / "here").rename(tmp_path / "there")
    again = load(bpy, tmp_path / "there" / "a.blend")
    seen = bakes.status(again)
    assert (seen.problem, seen.frames) == ("", 3)
    assert seen.folder.parent == tmp_path / "there" / "fluid_cache"
    assert again.data.grids.load()


def test_a_bake_that_has_moved_into_the_cache_folder_is_found_by_itself(
    bpy: Any, bakes: Any, plume: Any, bake_of: Any, show: Any, prefer: Any, tmp_path: Path
) -> None:
    prefer(cache_folder=str(tmp_path / "old"))
    file = save(bpy, tmp_path / "here" / "a.blend")
    bake = bake_of(plume, "deep/smoke_0001.vdb", "deep/smoke_0002.vdb")
    show(plume, bake)
    save(bpy, file)
    (tmp_path / "old").rename(tmp_path / "new")
    prefer(cache_folder=str(tmp_path / "new"))
    again = load(bpy, file)
    assert bakes.status(again).problem == ""
    assert bakes.folder_shown_by(again) == tmp_path / "new" / bake.folder.name
    assert again.data.grids.load()


def test_a_missing_bake_is_said_once_and_shown_by_the_panel(
    bpy: Any, bakes: Any, plume: Any, bake_of: Any, show: Any, tmp_path: Path, capsys: Any
) -> None:
    file = save(bpy, tmp_path / "here" / "a.blend")
    bake = bake_of(plume)
    show(plume, bake)
    save(bpy, file)
    bake.folder.rename(tmp_path / "lost")
    again = load(bpy, file)
    assert bakes.status(again).missing
    told = f'The bake "{bake.folder.name}" is missing from "{bake.folder.parent}".'
    assert bakes.status(again).problem == told
    bakes.look_again(again)
    assert capsys.readouterr().out.count(told) == 1
    assert bpy.ops.fluid_addon.locate_bake(name="Plume", filepath=str(tmp_path / "lost" / "manifest.json")) == {
        "FINISHED"
    }
    assert bakes.status(again).problem == ""
    assert again.data.grids.load()


def test_what_is_no_bake_is_not_located(bpy: Any, bakes: Any, plume: Any, bake_of: Any, show: Any) -> None:
    bake = bake_of(plume)
    show(plume, bake)
    with pytest.raises(RuntimeError, match="There is no bake in"):
        bpy.ops.fluid_addon.locate_bake(name="Plume", filepath=str(bake.folder.parent))
    with pytest.raises(RuntimeError, match="has no frame to show"):
        bpy.ops.fluid_addon.locate_bake(name="Plume", filepath=str(bake_of(plume, "nothing").folder))
    assert bakes.folder_shown_by(plume) == bake.folder


# ===== Freeing


def test_free_deletes_what_the_manifest_names_and_the_object_stays(
    bpy: Any, bakes: Any, plume: Any, bake_of: Any, show: Any
) -> None:
    bake = bake_of(plume)
    show(plume, bake)
    notes = bake.folder / "notes.txt"
    notes.write_text("mine")
    assert bpy.ops.fluid_addon.free_bake(name="Plume") == {"FINISHED"}
    assert list(bake.folder.iterdir()) == [notes]
    assert bpy.data.objects["Plume"].data.filepath == ""
    assert bakes.folder_shown_by(bpy.data.objects["Plume"]) is None
    assert bakes.status(bpy.data.objects["Plume"]) is None
    assert bakes.cache_use().size == 0
    with pytest.raises(RuntimeError, match='"Plume" shows no bake'):
        bpy.ops.fluid_addon.free_bake(name="Plume")


def test_undo_of_free_says_that_the_files_are_gone(bpy: Any, bakes: Any, plume: Any, bake_of: Any, show: Any) -> None:
    bake = bake_of(plume)
    show(plume, bake)
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.fluid_addon.free_bake(name="Plume")
    bpy.ops.ed.undo_push(message="after")
    bpy.ops.ed.undo()
    assert bakes.status(bpy.data.objects["Plume"]).missing
    assert not bake.folder.exists()


def test_a_bake_that_is_being_written_is_not_freed(
    extension: Any, bpy: Any, plume: Any, bake_of: Any, show: Any, tmp_path: Path
) -> None:
    bake, older = bake_of(plume), bake_of(plume)
    show(plume, bake)
    runs = extension("blender.live").RUNS
    runs.add(plume.fluid_addon.token, extension("run").RunRequest("plume.lua", output=str(tmp_path)))
    with pytest.raises(RuntimeError, match=r'"Plume" is being run\. Stop it first'):
        bpy.ops.fluid_addon.free_bake(name="Plume")
    bpy.ops.fluid_addon.free_unused()
    assert bake.damaged() == older.damaged() == []
    runs.stop(plume.fluid_addon.token)
    assert bpy.ops.fluid_addon.free_bake(name="Plume") == {"FINISHED"}


def test_D07_a_bake_that_another_blender_writes_is_not_freed(bpy: Any, plume: Any, bake_of: Any, show: Any) -> None:
    bake, older = bake_of(plume), bake_of(plume)
    show(plume, bake)
    bake.claim()
    older.claim()
    with pytest.raises(RuntimeError, match=rf'"{bake.folder.name}" is being written by process [0-9]+\.'):
        bpy.ops.fluid_addon.free_bake(name="Plume")
    bpy.ops.fluid_addon.free_unused()
    assert bake.damaged() == older.damaged() == []
    bake.release()
    older.release()
    assert bpy.ops.fluid_addon.free_bake(name="Plume") == {"FINISHED"}
    bpy.ops.fluid_addon.free_unused()
    assert not bake.folder.exists() and not older.folder.exists()


def test_there_is_nothing_to_free_without_a_simulation(extension: Any, bpy: Any) -> None:
    for operator in (bpy.ops.fluid_addon.free_bake, bpy.ops.fluid_addon.open_bake_folder):
        with pytest.raises(RuntimeError, match='There is no simulation "Nobody"'):
            operator(name="Nobody")


def test_a_run_leaves_the_newest_bakes_and_those_that_are_shown(
    bpy: Any, bakes: Any, prefer: Any, plume: Any, bake_of: Any, show: Any, extension: Any, tmp_path: Path
) -> None:
    save(bpy, tmp_path / "a.blend")
    made = []
    for second in range(5):
        made.append(bake_of(plume))
        manifest = made[-1].folder / "manifest.json"
        created = made[-1].head["created"]
        manifest.write_text(manifest.read_text().replace(created, f"2026-01-01T00:00:{second:02}+00:00"))
    elsewhere = bake_of(plume, blend=str(tmp_path / "copy.blend"))
    extension("blender.volume_object").import_bake(made[0].folder)
    show(plume, made[4])
    freed = bakes.keep_newest(plume, prefer(keep_last=2))
    assert [bake.folder for bake in freed] == [made[1].folder, made[2].folder]
    assert all(bake.folder.is_dir() for bake in (made[0], made[3], made[4], elsewhere))
    assert bakes.keep_newest(plume, prefer(keep_last=0)) == []


def test_running_again_and_again_keeps_the_last_two(
    extension: Any, bpy: Any, bakes: Any, prefer: Any, plume: Any, tmp_path: Path
) -> None:
    save(bpy, tmp_path / "a.blend")
    prefer(keep_last=2)
    plume.fluid_addon.text.from_string(SCRIPT)
    live, folders = extension("blender.live"), []
    for _ in range(3):
        live.start(plume, bpy.context.scene)
        assert live.wait(plume.fluid_addon.token, lambda _event: None) == 0
        folders.append(bakes.folder_shown_by(plume))
    assert len(set(folders)) == 3
    assert [folder.is_dir() for folder in folders] == [False, True, True]
    assert (bakes.status(plume).frames, bakes.status(plume).problem) == (2, "")
    assert bakes.cache_use().bakes == 2
    assert [bake.folder for bake in bakes.unused(prefer())] == [folders[1]]


def test_unused_bakes_of_this_file_go_together(
    bpy: Any, bakes: Any, prefer: Any, plume: Any, bake_of: Any, show: Any, tmp_path: Path
) -> None:
    save(bpy, tmp_path / "a.blend")
    unused, shown, copy = bake_of(plume), bake_of(plume), bake_of(plume, blend=str(tmp_path / "copy.blend"))
    show(plume, shown)
    assert [bake.folder for bake in bakes.unused(prefer())] == [unused.folder]
    bpy.ops.fluid_addon.free_unused()
    assert not unused.folder.exists()
    assert shown.damaged() == copy.damaged() == []
    assert bakes.cache_use().bakes == 2


# ===== The folder


@pytest.mark.skipif(sys.platform != "linux", reason="other systems open folders by a call of their own")
def test_the_folder_is_opened_with_the_program_of_the_system(
    bpy: Any, plume: Any, bake_of: Any, show: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    opener, opened = tmp_path / "bin" / "xdg-open", tmp_path / "opened"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", f"{opener.parent}:{os.environ['PATH']}")
    bake = bake_of(plume)
    show(plume, bake)
    bpy.ops.fluid_addon.open_bake_folder(name="Plume")
    assert opened.read_text().strip() == str(bake.folder)
