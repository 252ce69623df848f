# SPDX-License-Identifier: GPL-3.0-or-later
"""Word of a file that comes: what its writer did not live to list goes, and nothing of anybody else."""

from __future__ import annotations

import os
import zlib

import pytest

from fluid_addon.volumes import bake as bake_module
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.frame_list import size_and_crc32
from tests.volumes.test_bake import export


@pytest.fixture
def bake(tmp_path):
    return Bake.create(tmp_path / "cache", "smoke", script_hash="", device="")


def announced_and_killed(bake, name, content):
    """What a writer leaves that was killed before the list could name its file."""
    part = bake.folder / "part"
    part.write_bytes(content)
    bake.announcing(name)(part)
    part.replace(bake.frame_path(name))
    bake.release()


@pytest.mark.parametrize("name", ["s_2.vdb", "deep/er/s_2.vdb"])
def test_a_file_that_was_announced_and_never_listed_goes_with_the_next_writer_or_the_bake(tmp_path, name):
    for end in ("go on", "free"):
        bake = Bake.create(tmp_path, "smoke", script_hash="", device="")
        export(bake, "s_1.vdb", b"first")
        announced_and_killed(bake, name, b"second")
        assert [frame.path for frame in Bake.open(bake.folder).frames] == ["s_1.vdb"]
        assert Bake.open(bake.folder).damaged(checksums=True) == []
        if end == "go on":
            again = Bake.open_to_go_on(bake.folder)
            assert not (bake.folder / name).exists()
            export(again, name, b"third")
            assert words(again) == []
            again.release()
        assert Bake.open(bake.folder).free() == []
        assert not bake.folder.exists()


@pytest.mark.parametrize("stranger", [b"strange", b"seconds"])
def test_what_somebody_else_puts_where_a_file_was_announced_stays(bake, stranger):
    announced_and_killed(bake, "s_2.vdb", b"second!")
    (bake.folder / "s_2.vdb").write_bytes(stranger)
    Bake.open_to_go_on(bake.folder).release()
    assert Bake.open(bake.folder).free() == [bake.folder / "s_2.vdb"]
    assert (bake.folder / "s_2.vdb").read_bytes() == stranger


def words(bake):
    return [path for path in bake.folder.iterdir() if path.name.startswith(".announced-")]


@pytest.mark.parametrize(
    "announced",
    [b"", b"\xff", b"null", b"7", b'"abc"', b"[1, 1, 1]", b'["../s.vdb", 0, 0]', b'["s.vdb", 0, null]', b"[" * 9999],
)
def test_an_announcement_that_makes_no_sense_means_nothing(bake, announced):
    outside, word = bake.folder.parent / "s.vdb", bake.folder / ".announced-00000000"
    outside.write_bytes(b"")
    word.write_bytes(announced)
    bake.release()
    Bake.open_to_go_on(bake.folder).release()
    assert not word.exists()
    word.write_bytes(announced)
    assert Bake.open(bake.folder).free() == []
    assert outside.exists()


def test_what_somebody_else_calls_an_announcement_is_let_be(bake):
    (bake.folder / ".announced-00000000").mkdir()
    (bake.folder / ".announced-1").write_bytes(b"")
    bake.release()
    Bake.open_to_go_on(bake.folder).release()
    assert [path.name for path in Bake.open(bake.folder).free()] == [".announced-00000000", ".announced-1"]


def test_an_announcement_is_not_written_through_a_link(bake, tmp_path):
    (tmp_path / "thesis").write_bytes(b"mine")
    (bake.folder / "part").write_bytes(b"part")
    bake.announcing("s_1.vdb")(bake.folder / "part")
    for link in (os.link, os.symlink):
        (word,) = words(bake)
        word.unlink()
        link(tmp_path / "thesis", word)
        bake.announcing("s_1.vdb")(bake.folder / "part")
        assert (tmp_path / "thesis").read_bytes() == b"mine"


def test_several_engines_announce_files_at_a_time(bake):
    for number in (1, 2):
        (bake.folder / "part").write_bytes(b"content")
        bake.announcing(f"s_{number}.vdb")(bake.folder / "part")
        (bake.folder / "part").replace(bake.frame_path(f"s_{number}.vdb"))
    export(bake, "t_1.vdb")
    assert len(words(bake)) == 2
    bake.release()
    again = Bake.open_to_go_on(bake.folder)
    assert words(again) == []
    assert not any((bake.folder / f"s_{number}.vdb").exists() for number in (1, 2))
    again.release()


def test_a_file_that_was_lost_while_it_was_replaced_can_be_written_again(bake):
    export(bake, "s_1.vdb", b"first")
    (bake.folder / "part").write_bytes(b"second")
    bake.announcing("s_1.vdb")(bake.folder / "part")
    (bake.folder / "s_1.vdb").unlink()
    (bake.folder / "part").write_bytes(b"third")
    bake.announcing("s_1.vdb")(bake.folder / "part")
    (bake.folder / "part").replace(bake.folder / "s_1.vdb")
    bake.add_frame("s_1.vdb", time=0.0, grids={})
    assert Bake.open(bake.folder).damaged(checksums=True) == []


def test_a_file_that_was_announced_is_read_once_and_one_that_was_changed_since_again(bake, monkeypatch):
    read = []
    monkeypatch.setattr(bake_module, "size_and_crc32", lambda path: read.append(path.name) or size_and_crc32(path))
    path, part = bake.frame_path("s_1.vdb"), bake.folder / "part"
    for late in (b"", b"late"):
        part.write_bytes(b"content")
        bake.announcing("s_1.vdb")(part)
        part.replace(path)
        if late:
            path.write_bytes(late)
        frame = bake.add_frame("s_1.vdb", time=0.0, grids={})
        assert (frame.size, frame.crc32) == (len(late or b"content"), zlib.crc32(late or b"content"))
    assert read == ["part", "part", "s_1.vdb"]
