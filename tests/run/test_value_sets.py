# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of values on the artist's shelf: what was saved is there again, names are no paths, broken files are shown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluid_addon.diagnostics import FluidError
from fluid_addon.run.value_sets import ValueSet, list_value_sets, load_values, remove_values, save_values, script_folder

VALUES = {"buoyancy": 8.5, "resolution": 64, "closed": True}


@pytest.fixture
def put(tmp_path):
    """Puts a file beside the saved sets of smoke.lua."""

    def put(name: str, content: bytes) -> Path:
        folder = script_folder(tmp_path, "smoke.lua")
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        return folder / name

    return put


def test_what_was_saved_is_there_again(tmp_path) -> None:
    save_values(tmp_path, "smoke.lua", "Dichter Rauch ☁", VALUES)
    save_values(tmp_path, "smoke.lua", "a thin one", {"buoyancy": 1.0})
    loaded = load_values(tmp_path, "smoke.lua", "Dichter Rauch ☁")
    assert loaded == VALUES
    assert [type(value) for value in loaded.values()] == [float, int, bool]
    assert list_value_sets(tmp_path, "smoke.lua") == [
        ValueSet("a thin one", {"buoyancy": 1.0}),
        ValueSet("Dichter Rauch ☁", VALUES),
    ]


def test_a_set_of_the_same_name_is_replaced_and_can_be_removed(tmp_path) -> None:
    save_values(tmp_path, "smoke.lua", "mine", VALUES)
    path = save_values(tmp_path, "smoke.lua", "mine", {"lift": 2.0})
    assert load_values(tmp_path, "smoke.lua", "mine") == {"lift": 2.0}
    assert [each.name for each in path.parent.iterdir()] == ["mine.json"]
    remove_values(tmp_path, "smoke.lua", "mine")
    remove_values(tmp_path, "smoke.lua", "mine")
    assert list_value_sets(tmp_path, "smoke.lua") == []


def test_each_script_has_its_own_sets_and_shares_them_with_its_copies(tmp_path) -> None:
    save_values(tmp_path, "smoke.lua", "mine", VALUES)
    assert [each.name for each in list_value_sets(tmp_path, "smoke.lua.001")] == ["mine"]
    assert list_value_sets(tmp_path, "fire.lua") == []


def test_a_set_that_is_not_there_is_said(tmp_path) -> None:
    with pytest.raises(FluidError, match='no values "mine"') as caught:
        load_values(tmp_path, "smoke.lua", "mine")
    assert caught.value.code == "usage"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "../up",
        "c:",
        "a\nb",
        "end.",
        "end ",
        " begin",
        "NUL",
        "com1.x",
        "x" * 64,
    ],
)
def test_names_that_are_paths_or_no_names_are_refused(tmp_path, name) -> None:
    for act in (load_values, remove_values):
        with pytest.raises(FluidError, match="is no name for values") as caught:
            act(tmp_path, "smoke.lua", name)
        assert caught.value.code == "usage"
    with pytest.raises(FluidError, match="is no name for values"):
        save_values(tmp_path, "smoke.lua", name, VALUES)
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=80))
def test_no_script_has_its_sets_elsewhere(script) -> None:
    shelf = Path("shelf").resolve()
    folder = script_folder(shelf, script)
    assert folder.parent == shelf
    assert folder.name not in ("", ".", "..")
    assert Path(os.path.normpath(folder)) == folder


def test_scripts_of_unlike_names_have_unlike_folders(tmp_path) -> None:
    names = ["a/b.lua", "a:b.lua", "a_b.lua", "../a.lua", "NUL.lua", ""]
    assert len({script_folder(tmp_path, name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no values"),
        (b'{"format": 1}', "no values"),
        (b'{"values": {}}', "says no format"),
        (b'{"format": true, "values": {}}', "says no format"),
        (b'{"format": 2, "values": {"a": 1}}', "a newer Fluid Script"),
        (b'{"format": 1, "values": {"a": "1"}}', '"a" is neither'),
        (b'{"format": 1, "values": {"a": NaN}}', '"a" is neither'),
        (b'{"format": 1, "values": {"a": 1e999}}', '"a" is neither'),
        (b'{"format": 1, "values": {"a": 1' + b"0" * 400 + b"}}", '"a" is neither'),
        (b" " * (1 << 21), "too large"),
    ],
)
def test_a_broken_file_is_shown_and_not_used(tmp_path, put, content, problem) -> None:
    save_values(tmp_path, "smoke.lua", "good", VALUES)
    path = put("bad.json", content)
    bad, good = list_value_sets(tmp_path, "smoke.lua")
    assert (bad.name, dict(bad.values), good.problem) == ("bad", {}, "")
    assert problem in bad.problem
    with pytest.raises(FluidError, match='The values "bad" cannot be used') as caught:
        load_values(tmp_path, "smoke.lua", "bad")
    assert caught.value.code == "preset-broken"
    assert str(path) in (caught.value.diagnostics[0].hint or "")
    remove_values(tmp_path, "smoke.lua", "bad")
    assert [each.name for each in list_value_sets(tmp_path, "smoke.lua")] == ["good"]


def test_other_files_beside_them_are_passed_over(tmp_path, put) -> None:
    put("notes.txt", b"hello")
    put(".mine.json.12.part", b"{}")
    put(".hidden.json", b"{}")
    (script_folder(tmp_path, "smoke.lua") / "folder.json").mkdir()
    (found,) = list_value_sets(tmp_path, "smoke.lua")
    assert (found.name, found.problem[:23]) == ("folder", "the file cannot be read")


def test_a_shelf_that_is_a_file_is_said(tmp_path) -> None:
    shelf = tmp_path / "shelf"
    shelf.write_text("in the way")
    with pytest.raises(FluidError) as caught:
        save_values(shelf, "smoke.lua", "mine", VALUES)
    assert caught.value.code == "disk-error"
    assert list_value_sets(shelf, "smoke.lua") == []


def test_a_file_can_be_read_by_others(tmp_path) -> None:
    path = save_values(tmp_path, "smoke.lua", "mine", VALUES)
    assert json.loads(path.read_text("utf-8")) == {"format": 1, "script": "smoke", "values": VALUES}
