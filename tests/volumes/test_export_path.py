# SPDX-License-Identifier: GPL-3.0-or-later
"""A script cannot write outside its bake folder, nor a file that some system cannot store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.export_path import checked_export_path, inside, timeline_frame

HOSTILE = {
    "up": "../x.vdb",
    "up in the middle": "a/../../b.vdb",
    "up at the end": "a/..",
    "absolute": "/etc/x.vdb",
    "root": "/",
    "drive": "C:\\x.vdb",
    "drive with a slash": "C:/x.vdb",
    "relative to a drive": "C:x.vdb",
    "share": "\\\\server\\share\\x.vdb",
    "share with slashes": "//server/share/x.vdb",
    "backslash": "a\\..\\..\\x.vdb",
    "device": "CON",
    "device with a suffix": "nul.vdb",
    "device with a space": "aux .vdb",
    "device in a folder": "a/com1.0001.vdb",
    "device with a superscript": "COM¹.vdb",
    "device in capitals": "LPT9",
    "console": "CONIN$",
    "device as a folder": "prn/x.vdb",
    "trailing dot": "x.",
    "trailing space": "x.vdb ",
    "folder with a trailing dot": "a./x.vdb",
    "stream": "x.vdb:hidden",
    "empty": "",
    "dot": ".",
    "two dots": "..",
    "dot slash": "./x.vdb",
    "double slash": "a//x.vdb",
    "slash at the end": "a/",
    "nul": "x\0.vdb",
    "new line": "x\n.vdb",
    "escape": "x\x1b[2J.vdb",
    "delete": "x\x7f.vdb",
    "wildcard": "*.vdb",
    "question": "x?.vdb",
    "quote": 'x".vdb',
    "pipe": "x|y.vdb",
    "redirect": "x>y.vdb",
    "hidden": ".x.vdb",
    "hidden folder": ".git/x.vdb",
    "part file": ".x.vdb.1.0123456789abcdef.part",
    "too long": "x" * 300 + ".vdb",
    "too long in bytes": "ü" * 100 + ".vdb",
    "much too long": "a/" * 250 + "x.vdb",
    "too deep": "a/" * 17 + "x.vdb",
    "right to left": "x\u202ebdv.exe",
    "zero width": "x\u200b.vdb",
    "byte order mark": "\ufeffx.vdb",
    "line separator": "x\u2028.vdb",
    "left to right": "x\u200e.vdb",
    "isolate": "\u2067x.vdb\u2069",
    "soft hyphen": "x\u00ad.vdb",
    "tag": "x\U000e0041.vdb",
    "private": "x\ue000.vdb",
    "unassigned": "x\u0378.vdb",
    "no character": "x\uffff.vdb",
    "hangul filler": "\u3164.vdb",
    "braille blank": "\u2800.vdb",
    "joiner of graphemes": "x\u034f.vdb",
    "half a character": "x\ud800.vdb",
    "manifest": "manifest.json",
    "manifest in capitals": "Manifest.JSON",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_D05_hostile_paths_are_refused(what):
    with pytest.raises(FluidError) as caught:
        checked_export_path(HOSTILE[what])
    assert caught.value.code == "export-path"
    assert caught.value.diagnostics[0].hint
    shown = str(caught.value)
    assert shown.isprintable()
    assert len(shown) < 300


@pytest.mark.parametrize(
    "path",
    [
        "frame_10.vdb",
        "output/frame_10.vdb",
        "smoke.0001.vdb",
        "ä ö/日本 1.vdb",
        "a b.vdb",
        "%00.vdb",  # nobody takes the percents for anything else
        "%2e%2e/x.vdb",
        "x／..／y.vdb",
        "．．.vdb",
        "con-1.vdb",
        "manifest.json.vdb",
        "smoke" * 20 + ".vdb",
        "~x.vdb",
        "console.vdb",
        "com10.vdb",
        "a/b/c/d/e.vdb",
        "x..vdb",
        "$HOME.vdb",
        "-rf.vdb",
        "sub/manifest.json",
    ],
)
def test_D05_odd_but_harmless_paths_are_taken(path):
    assert "/".join(checked_export_path(path)) == path


@pytest.mark.parametrize("path", ["%00.vdb", "%2e%2e/x.vdb", "x／..／y.vdb", "．．.vdb", "-rf.vdb", "$HOME.vdb"])
def test_D05_what_looks_like_a_way_out_is_a_name_inside(tmp_path, path):
    (tmp_path / "bake").mkdir()
    target = inside(tmp_path / "bake", checked_export_path(path), make_folders=True)
    target.write_bytes(b"")
    assert target.resolve().relative_to((tmp_path / "bake").resolve()).as_posix() == path
    assert [found.name for found in tmp_path.iterdir()] == ["bake"]


@given(st.text(max_size=40))
def test_D05_what_is_taken_stays_inside_and_comes_back_as_given(text):
    try:
        parts = checked_export_path(text)
    except FluidError as error:
        assert error.code == "export-path"
        return
    assert "/".join(parts) == text
    assert not {"", ".", ".."} & set(parts)
    assert not any(character in text for character in "\0\\:")
    text.encode()


def test_folders_are_made_only_on_demand(tmp_path):
    path = inside(tmp_path, ("a", "b", "x.vdb"))
    assert path == tmp_path / "a" / "b" / "x.vdb"
    assert list(tmp_path.iterdir()) == []
    inside(tmp_path, ("a", "b", "x.vdb"), make_folders=True)
    assert path.parent.is_dir()


@pytest.mark.parametrize("link", ["folder", "file", "dangling", "bake"])
def test_D06_links_on_the_way_are_refused(tmp_path, link):
    outside, bake = tmp_path / "outside", tmp_path / "bake"
    outside.mkdir()
    (outside / "x.vdb").write_bytes(b"mine")
    if link == "bake":
        bake.symlink_to(outside)
    else:
        bake.mkdir()
    if link == "folder":
        (bake / "a").symlink_to(outside)
    if link in ("file", "dangling"):
        (bake / "a").mkdir()
        (bake / "a" / "x.vdb").symlink_to(outside / ("x.vdb" if link == "file" else "new.vdb"))
    with pytest.raises(FluidError, match="which is a link") as caught:
        inside(bake, ("a", "x.vdb"), make_folders=True)
    assert caught.value.code == "export-path"
    assert [path.name for path in outside.iterdir()] == ["x.vdb"]


def test_a_file_in_the_place_of_a_folder_and_a_folder_in_the_place_of_a_file_are_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FluidError, match="which is a file"):
        inside(tmp_path, ("a", "x.vdb"), make_folders=True)
    (tmp_path / "b").mkdir()
    with pytest.raises(FluidError, match="which is not a file"):
        inside(tmp_path, ("b",))


@pytest.mark.parametrize(
    ("path", "frame"),
    [
        ("smoke_0001.vdb", 1),
        ("output/frame_10.vdb", 10),
        ("smoke.0120.vdb", 120),
        ("7", 7),
        ("a1b2.vdb", 2),
        ("take2/smoke.vdb", None),
        ("smoke.vdb", None),
        ("smoke_.vdb", None),
        ("smoke_1048574.vdb", 1048574),
        ("smoke_1048575.vdb", None),
        ("smoke_20250131120000123456789.vdb", None),
        ("smoke_0000000000000000000000000000000012.vdb", 12),
        ("smoke_٣.vdb", None),
        ("smoke_0.vdb", 0),
    ],
)
def test_the_frame_is_the_number_at_the_end_of_the_name(path, frame):
    assert timeline_frame(path) == frame
