# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake keeps its own folder, and its manifest says what is in it."""

from __future__ import annotations

import json
import os
import threading
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluid_addon import VERSION
from fluid_addon.diagnostics import FluidError
from fluid_addon.faults import injected
from fluid_addon.volumes import cache
from fluid_addon.volumes.atomic import write_bytes_atomically
from fluid_addon.volumes.bake import Bake, BakedFrame, Measured, timeline_frame
from fluid_addon.volumes.growing_bake import GrowingBake
from fluid_addon.volumes.manifest import frame_line, manifest_text
from fluid_addon.volumes.sequences import sequences


@pytest.fixture
def bake(tmp_path):
    return Bake.create(
        tmp_path / "cache",
        "smoke.lua",
        script_hash="abc",
        device="llvmpipe",
        parameters={"buoyancy": 1.5},
        details={"fps": 24},
    )


def export(bake: Bake, relative: str, content: bytes = b"frame", **grids: str):
    write_bytes_atomically(bake.frame_path(relative), content)
    return bake.add_frame(relative, time=0.5, grids=grids or {"density": "half"})


def test_a_bake_gets_a_folder_of_its_own_each_time(tmp_path):
    bakes = [Bake.create(tmp_path / "a" / "cache", "../Smöke 1", script_hash="", device="") for _ in range(20)]
    assert len({bake.folder for bake in bakes}) == 20
    for bake in bakes:
        assert bake.folder.parent == tmp_path / "a" / "cache"
        assert bake.folder.name.startswith("Sm-ke-1-")
        assert bake.name == "../Smöke 1"


def test_frames_come_back_from_the_manifest(bake):
    export(bake, "smoke_0001.vdb", b"one", density="half", velocity="vec3f")
    export(bake, "water/level_2.vdb", b"two", surface="float")
    export(bake, "still.vdb", b"three")
    found = Bake.open(bake.folder)
    assert found.frames == bake.frames
    assert found.head == bake.head
    first, second, third = found.frames
    assert (first.path, first.frame, first.time, first.size) == ("smoke_0001.vdb", 1, 0.5, 3)
    assert first.crc32 == zlib.crc32(b"one")
    assert first.grids == {"density": "half", "velocity": "vec3f"}
    assert (second.frame, third.frame) == (2, None)
    assert found.head["creator"] == f"Fluid Script {VERSION}"
    assert (found.head["script_hash"], found.head["device"]) == ("abc", "llvmpipe")
    assert (found.head["parameters"], found.head["details"]) == ({"buoyancy": 1.5}, {"fps": 24})


def test_the_manifest_is_there_before_the_first_frame_and_valid_json_after_each(bake):
    assert json.loads((bake.folder / "manifest.json").read_bytes())["frames"] == []
    for number in range(3):
        export(bake, f"s_{number}.vdb")
        entries = json.loads((bake.folder / "manifest.json").read_bytes())["frames"]
        assert [entry["frame"] for entry in entries] == list(range(number + 1))


def test_a_second_export_of_the_same_path_replaces_the_first(bake):
    export(bake, "s_1.vdb", b"old", density="half")
    export(bake, "s_2.vdb", b"other")
    export(bake, "s_1.vdb", b"newer", density="float")
    frames = Bake.open(bake.folder).frames
    assert [(frame.path, frame.size) for frame in frames] == [("s_1.vdb", 5), ("s_2.vdb", 5)]
    assert frames[0].grids == {"density": "float"}
    assert bake.damaged(checksums=True) == []
    assert (bake.folder / "s_1.vdb").read_bytes() == b"newer"


def test_a_bake_can_be_gone_on_with(bake):
    export(bake, "s_1.vdb")
    bake.release()
    again = Bake.open_to_go_on(bake.folder)
    export(again, "s_2.vdb")
    assert [frame.frame for frame in Bake.open(bake.folder).frames] == [1, 2]


def test_D05_paths_that_leave_the_folder_are_refused_and_nothing_is_made(bake, tmp_path):
    for relative in ("../x.vdb", "/tmp/x.vdb", "C:/x.vdb", "manifest.json", "", "a/../../x.vdb"):
        with pytest.raises(FluidError) as caught:
            bake.frame_path(relative)
        assert caught.value.code == "export-path"
    bake.release()
    assert [path.name for path in bake.folder.iterdir()] == ["manifest.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ("Smoke_1.vdb", "smoke_1.vdb", "Smoke_1.vdb"),
        ("ä.vdb", "a\u0308.vdb", "ä.vdb"),
        ("Å_1.vdb", "\u212b_1.vdb", "Å_1.vdb"),
        ("straße.vdb", "STRASSE.vdb", "straße.vdb"),
        ("Σ.vdb", "ς.vdb", "Σ.vdb"),
        ("Water/a_1.vdb", "water/b_1.vdb", "Water"),
        ("a/B/c_1.vdb", "a/b/d_1.vdb", "a/B"),
        ("Water", "water/b_1.vdb", "Water"),
        ("\u1e9b\u0323.vdb", "\u1e61\u0323.vdb", "\u1e9b\u0323.vdb"),
    ],
)
def test_D05_two_spellings_of_one_file_or_folder_are_refused(bake, first, second, taken):
    """The same in another case, or in another form of Unicode."""
    export(bake, first)
    bake.release()
    for opened in (bake, Bake.open(bake.folder)):
        with pytest.raises(FluidError) as caught:
            opened.frame_path(second)
        assert str(caught.value) == (f'The export path "{second}" differs from "{taken}" in upper and lower case only.')
        assert caught.value.code == "export-path"
        assert opened.frame_path(first).relative_to(bake.folder).as_posix() == first
        opened.release()


def test_D06_a_link_that_came_later_is_not_followed(bake, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    export(bake, "a/s_1.vdb")
    (outside / "s_1.vdb").write_bytes(b"mine")
    (bake.folder / "a" / "s_1.vdb").unlink()
    (bake.folder / "a").rmdir()
    (bake.folder / "a").symlink_to(outside)
    with pytest.raises(FluidError, match="link"):
        bake.frame_path("a/s_1.vdb")
    ((frame, why),) = bake.damaged()
    assert (frame.path, "link" in why) == ("a/s_1.vdb", True)
    bake.free()
    assert (outside / "s_1.vdb").read_bytes() == b"mine"


def test_a_bake_is_found_through_a_link_to_its_folder(bake, tmp_path):
    export(bake, "s_1.vdb")
    (tmp_path / "link").symlink_to(bake.folder)
    found = Bake.open(tmp_path / "link")
    assert found.folder == bake.folder
    assert found.damaged() == []


def test_D08_missing_cut_empty_and_changed_files_are_named(bake):
    for number in range(5):
        export(bake, f"s_{number}.vdb", b"frame")
    (bake.folder / "s_4.vdb").write_bytes(b"")
    (bake.folder / "s_1.vdb").unlink()
    (bake.folder / "s_2.vdb").write_bytes(b"fra")
    (bake.folder / "s_3.vdb").write_bytes(b"frume")
    assert [frame.frame for frame, _ in bake.damaged()] == [1, 2, 4]
    found = {frame.frame: why for frame, why in bake.damaged(checksums=True)}
    assert sorted(found) == [1, 2, 3, 4]
    assert "0 bytes instead of 5" in found[4]
    assert "3 bytes instead of 5" in found[2]
    assert "checksum" in found[3]


def test_free_deletes_what_the_manifest_names_and_nothing_else(bake):
    export(bake, "s_1.vdb")
    export(bake, "a/b/s_2.vdb")
    export(bake, "c/s_3.vdb")
    notes, other = bake.folder / "notes.txt", bake.folder / "c" / "s_4.vdb"
    notes.write_text("mine")
    other.write_bytes(b"mine")
    assert bake.free() == sorted([bake.folder / "c", other, notes])
    assert sorted(bake.folder.rglob("*")) == sorted([bake.folder / "c", other, notes])
    with pytest.raises(FluidError) as caught:
        Bake.open(bake.folder)
    assert caught.value.code == "bake-missing"


def test_free_removes_the_folder_when_nothing_is_left(bake):
    export(bake, "a/s_1.vdb")
    bake.release()
    assert Bake.open(bake.folder).free() == []
    assert not bake.folder.exists()
    assert bake.folder.parent.is_dir()


def test_free_gets_by_without_files_that_are_gone(bake):
    export(bake, "s_1.vdb")
    (bake.folder / "s_1.vdb").unlink()
    assert bake.free() == []


def test_D02_a_full_disk_stops_the_bake_but_not_the_manifest(tiny_disk):
    bake = Bake.create(tiny_disk, "smoke", script_hash="", device="", details={"padding": "x" * 100_000})
    export(bake, "s_1.vdb")
    with pytest.raises(FluidError) as caught:
        export(bake, "s_2.vdb", bytes(1 << 20))
    assert caught.value.code == "disk-full"
    write_bytes_atomically(bake.frame_path("s_3.vdb"), bytes(100_000))
    with pytest.raises(FluidError) as caught:  # now the manifest itself does not fit a second time
        bake.add_frame("s_3.vdb", time=0, grids={})
    assert caught.value.code == "disk-full"
    assert [frame.path for frame in Bake.open(bake.folder).frames] == ["s_1.vdb"]
    assert not (bake.folder / "s_3.vdb").exists()  # or it would take room that nobody frees
    bake.release()


def test_a_bake_that_cannot_be_started_leaves_no_folder(tiny_disk):
    with pytest.raises(FluidError) as caught:
        Bake.create(tiny_disk, "smoke", script_hash="", device="", details={"padding": "x" * 1_000_000})
    assert caught.value.code == "disk-full"
    assert list(tiny_disk.iterdir()) == []


def test_an_export_of_a_file_that_is_not_there_is_a_disk_error(bake):
    with pytest.raises(FluidError) as caught:
        bake.add_frame("s_1.vdb", time=0, grids={})
    assert caught.value.code == "disk-error"
    assert Bake.open(bake.folder).frames == []


def test_an_error_of_the_disk_is_not_its_own_cause(bake):
    for point in ("disk.create", "disk.flush", "disk.rename"):
        bake.frame_path("a_1.vdb").write_bytes(b"frame")
        with injected(point, 1), pytest.raises(FluidError) as caught:
            bake.add_frame("a_1.vdb", time=0.0, grids={})
        chain, error = [], caught.value
        while error is not None:
            assert id(error) not in chain
            chain.append(id(error))
            error = error.__cause__ or error.__context__


def test_readers_see_whole_frames_while_one_thread_adds_them(bake):
    stop, problems = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            try:
                present = [frame.frame for frame in bake.frames]
                assert present == list(range(len(present)))
                for frame in Bake.open(bake.folder).frames:
                    assert (bake.folder / frame.path).stat().st_size == frame.size
                bake.sequences()
            except Exception as error:
                problems.append(error)
                return

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(50):
        export(bake, f"s_{number}.vdb", bytes(number))
    stop.set()
    reader.join()
    assert problems == []


# ----- a file in the place of another one


def test_a_list_that_names_two_contents_takes_either(bake):
    export(bake, "s_1.vdb", b"first")
    (bake.folder / "part").write_bytes(b"other")
    bake.announcing("s_1.vdb")(bake.folder / "part")
    entry = json.loads((bake.folder / "manifest.json").read_bytes())["frames"][0]
    assert entry["next"] == {"size": 5, "crc32": zlib.crc32(b"other")}
    for content, why in ((b"first", None), (b"other", None), (b"third", "a wrong checksum"), (b"1", "1 bytes")):
        (bake.folder / "s_1.vdb").write_bytes(content)
        found = [said for _, said in Bake.open(bake.folder).damaged(checksums=True)]
        assert len(found) == (why is not None) and all(why in said for said in found)


def test_a_folder_that_a_link_has_taken_the_place_of_is_not_written(bake, tmp_path):
    other = Bake.create(tmp_path / "other", "mine", script_hash="", device="")
    export(other, "s_1.vdb")
    export(bake, "s_1.vdb")
    before = (other.folder / "manifest.json").read_bytes()
    bake.folder.rename(tmp_path / "moved")
    bake.folder.symlink_to(other.folder)
    for action in (bake.finish, bake.free, lambda: export(bake, "s_2.vdb")):
        with pytest.raises(FluidError, match="which is a link"):
            action()
    assert (other.folder / "manifest.json").read_bytes() == before
    assert other.damaged(checksums=True) == []


def test_a_bake_whose_parameters_cannot_be_written_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError):
        Bake.create(tmp_path, "smoke", script_hash="", device="", parameters={"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


# ----- many frames


def listed(folder, count):
    """A bake that lists so many frames, which are not there."""
    bake = Bake.create(folder, "long", script_hash="", device="")
    known = Measured({"density": 1.0}, (), ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    frames = [BakedFrame(f"s_{n:06}.vdb", n, n / 24, 5, 7, {"density": "half"}, known) for n in range(1, count + 1)]
    text = manifest_text(bake.head, map(frame_line, frames))
    write_bytes_atomically(bake.folder / "manifest.json", text.encode())
    bake.release()
    return bake.folder, frames


def test_D12_many_frames_come_back_in_their_order(tmp_path):
    folder, frames = listed(tmp_path, 2000)
    bake = Bake.open_to_go_on(folder)
    assert bake.frames == frames
    (sequence,) = bake.sequences()
    assert (len(sequence.frames), sequence.missing) == (2000, [])
    export(bake, "s_002001.vdb")
    assert len(Bake.open(folder).frames) == 2001


@pytest.mark.long
def test_D12_a_hundred_thousand_frames_are_listed_and_added_to(tmp_path):
    """Limits that a machine with other things to do keeps."""
    folder, frames = listed(tmp_path, 100_000)
    begun = time.process_time()
    bake = Bake.open_to_go_on(folder)
    bake.sequences()
    assert time.process_time() - begun < 20
    assert len(bake.frames) == len(frames)
    export(bake, "s_100001.vdb")
    begun = time.process_time()
    for number in range(100_002, 100_007):
        export(bake, f"s_{number}.vdb")
    assert time.process_time() - begun < 20
    assert cache.bakes_in(tmp_path)[0].frames == 100_006
    begun = time.process_time()
    assert cache.bakes_in(tmp_path)[0].frames == 100_006  # nothing is read again
    assert time.process_time() - begun < 1


# ----- sequences


def test_D11_frames_are_ordered_by_their_numbers_whatever_the_clock_said(bake):
    for number in (3, 1, 2):
        export(bake, f"s_{number}.vdb")
    for times in ((30, 20, 10), (5, 5, 5), (0, 2**31, 1)):
        for number, at in zip((1, 2, 3), times, strict=True):
            os.utime(bake.folder / f"s_{number}.vdb", (at, at))
        os.utime(bake.folder / "manifest.json", (0, 0))
        growing = GrowingBake(bake.folder)
        growing.look()
        for found in (Bake.open(bake.folder).sequences(), growing.sequences):
            assert [frame.frame for frame in found[0].frames] == [1, 2, 3]


def sequences_of(bake: Bake, *paths: str):
    for path in paths:
        export(bake, path)
    return [
        (sequence.first_path, sequence.digits, [frame.frame for frame in sequence.frames])
        for sequence in bake.sequences()
    ]


def test_numbered_files_are_sequences_in_the_order_of_their_numbers(bake):
    found = sequences_of(bake, "s_10.vdb", "s_9.vdb", "s_100.vdb", "b/s_1.vdb", "t_1.vdb", "still.vdb", "s_1.abc")
    assert found == [
        ("s_1.abc", 1, [1]),
        ("s_9.vdb", 1, [9, 10, 100]),
        ("still.vdb", 0, [None]),
        ("t_1.vdb", 1, [1]),
        ("b/s_1.vdb", 1, [1]),
    ]


def test_numbers_filled_with_zeros_belong_to_those_of_the_same_width(bake):
    found = sequences_of(
        bake, "s_0998.vdb", "s_0999.vdb", "s_1000.vdb", "s_10000.vdb", "s_5.vdb", "s_01.vdb", "s_77.vdb"
    )
    assert found == [
        ("s_5.vdb", 1, [5]),
        ("s_01.vdb", 2, [1, 77]),
        ("s_0998.vdb", 4, [998, 999, 1000, 10000]),
    ]


def test_a_sequence_that_starts_with_two_digits_says_so(bake):
    assert sequences_of(bake, "s_10.vdb", "s_20.vdb", "s_100.vdb") == [("s_10.vdb", 2, [10, 20, 100])]


def test_gaps_are_listed(bake):
    sequences_of(bake, "s_2.vdb", "s_5.vdb", "s_6.vdb")
    assert bake.sequences()[0].missing == [3, 4]


@given(st.sets(st.integers(0, 3000), min_size=1, max_size=12), st.sampled_from(["{}", "{:02}", "{:04}"]))
def test_blender_finds_every_frame_from_the_first_name(numbers, form):
    """Blender writes a number with as many digits as the file has that it was given."""
    paths = {number: f"s_{form.format(number)}.vdb" for number in numbers}
    (sequence,) = sequences(BakedFrame(path, timeline_frame(path), 0.0, 1, 0, {}) for path in paths.values())
    digits = len(sequence.first_path) - len("s_.vdb")
    assert sequence.digits == digits
    assert [frame.frame for frame in sequence.frames] == sorted(numbers)
    for frame in sequence.frames:
        assert frame.path == f"s_{frame.frame:0{digits}}.vdb" == paths[frame.frame]
