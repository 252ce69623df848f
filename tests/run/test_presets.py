# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets are read whatever their state, and written so that they read back as they were."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluid_addon.cli import main
from fluid_addon.diagnostics import FluidError
from fluid_addon.run import presets
from fluid_addon.run.presets import (
    FILES,
    LIBRARY,
    Preset,
    checked_name,
    find_preset,
    free_name,
    list_presets,
    name_from_title,
    preset_toml,
    read_preset,
    remove_preset,
    save_preset,
)

PNG = b"\x89PNG\r\n\x1a\n and the rest of a picture"
TOML = 'title = "Puff"\ndescription = "A puff."\n'


def write(folder: Path, about: str | bytes | None = TOML, script: str | bytes | None = "-- puff\n") -> Path:
    folder.mkdir(parents=True)
    for name, content in (("preset.toml", about), ("script.lua", script)):
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def save(folder: Path, name: str = "puff", **changed: object) -> Preset:
    chosen: dict[str, object] = {
        "title": "Puff",
        "description": "A puff.",
        "tags": ["smoke"],
        "script": "-- puff\n",
        "values": {"resolution": 32, "wind": 0.5, "hot": True},
        "thumbnail": PNG,
    }
    return save_preset(folder, name, **{**chosen, **changed})  # type: ignore[arg-type]


def code_of(error: pytest.ExceptionInfo[FluidError]) -> str:
    return error.value.code


# ===== Reading


def test_the_library_is_good() -> None:
    library = list_presets()
    assert [preset.problem for preset in library] == [None] * len(library)
    plume = next(preset for preset in library if preset.name == "smoke_plume")
    assert (plume.title, plume.origin, plume.key, plume.is_own) == ("Smoke plume", "library", "smoke_plume", False)
    assert plume.thumbnail is not None
    assert "FluidEngine.new" in plume.source()


@pytest.mark.parametrize(
    ("about", "script", "problem"),
    [
        (None, "-- x", '"preset.toml" is missing.'),
        ("title = ", "-- x", '"preset.toml" cannot be understood: Invalid value'),
        (b'title = "\xff"', "-- x", '"preset.toml" is not UTF-8 text.'),
        ('title = "A"', "-- x", '"preset.toml" has no description.'),
        ('title = " "\ndescription = "B"', "-- x", '"preset.toml" has no title.'),
        ("title = 3\ndescription = []", "-- x", '"preset.toml" has no title.'),
        (TOML + 'tags = "smoke"', "-- x", 'The tags in "preset.toml" must be a list of words.'),
        (TOML + "tags = [1]", "-- x", 'The tags in "preset.toml" must be a list of words.'),
        (TOML + "values = 1", "-- x", '[values] in "preset.toml" must be a table.'),
        (TOML + '[values]\nx = "1"', "-- x", 'The value of "x" in "preset.toml" must be a finite number'),
        (TOML + "[values]\nx = nan", "-- x", 'The value of "x" in "preset.toml" must be a finite number'),
        (TOML + "[values]\nx = 1" + 400 * "0", "-- x", 'The value of "x" in "preset.toml" must be a finite number'),
        (TOML + '[values]\n"a b" = 1', "-- x", 'No parameter can be called "a b"'),
        (TOML + "x = 1" + 5000 * "0", "-- x", '"preset.toml" cannot be understood'),
        (TOML + "x = " + 20000 * "[", "-- x", '"preset.toml" cannot be understood'),
        (TOML + "#" * FILES["preset.toml"], "-- x", '"preset.toml" is larger than 64 KB.'),
        (TOML, None, '"script.lua" is missing.'),
        (TOML, b"-- \xff", '"script.lua" is not UTF-8 text: byte 0xFF in line 1.'),
        (TOML, b"\x1bLuaQ", '"script.lua" is compiled Lua'),
        (TOML, b" " * (FILES["script.lua"] + 1), '"script.lua" is larger than 4 MB'),
    ],
)
def test_a_broken_preset_is_listed_with_its_problem(
    tmp_path: Path, about: str | bytes | None, script: str | bytes | None, problem: str
) -> None:
    write(tmp_path / "good")
    write(tmp_path / "bad", about, script)
    bad, good = list_presets(tmp_path)
    assert (good.name, good.problem) == ("good", None)
    assert bad.name == "bad"
    assert bad.title
    assert bad.problem is not None
    assert bad.problem.startswith(problem)
    for use in (lambda: find_preset("bad", tmp_path), bad.source):
        with pytest.raises(FluidError) as error:
            use()
        assert code_of(error) == "preset-broken"
        assert problem in str(error.value)


def test_a_missing_or_wrong_thumbnail_alone_breaks_nothing(tmp_path: Path) -> None:
    write(tmp_path / "none")
    (write(tmp_path / "text") / "thumbnail.png").write_text("no picture")
    (write(tmp_path / "true") / "thumbnail.png").write_bytes(PNG)
    found = {preset.name: preset for preset in list_presets(tmp_path)}
    assert {preset.problem for preset in found.values()} == {None}
    assert [found[name].thumbnail is not None for name in ("none", "text", "true")] == [False, False, True]


def test_files_and_hidden_folders_are_no_presets(tmp_path: Path) -> None:
    write(tmp_path / ".puff.1234.part")
    (tmp_path / "notes.txt").write_text("mine")
    assert list_presets(tmp_path, tmp_path / "gone", tmp_path / "notes.txt") == []


def test_a_script_that_changes_after_the_listing_is_read_with_care(tmp_path: Path) -> None:
    preset = read_preset(write(tmp_path / "puff"))
    preset.script.unlink()
    with pytest.raises(FluidError) as error:
        preset.source()
    assert code_of(error) == "preset-broken"


def test_an_own_preset_is_told_from_one_of_the_library_by_its_key(tmp_path: Path) -> None:
    write(tmp_path / "smoke_plume")
    assert find_preset("smoke_plume", LIBRARY, tmp_path).origin == "library"
    assert find_preset("user/smoke_plume", LIBRARY, tmp_path).title == "Puff"
    with pytest.raises(FluidError) as error:
        find_preset("smoke_plum", LIBRARY, tmp_path)
    assert code_of(error) == "usage"
    assert '"smoke_plume"' in str(error.value.diagnostics[0].hint)


def test_the_command_line_lists_a_broken_one_as_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "good")
    write(tmp_path / "bad", script=None)
    monkeypatch.setattr(presets, "LIBRARY", tmp_path)
    assert main(["presets"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        'bad                  broken: "script.lua" is missing.',
        "good                 A puff.",
    ]
    assert main(["presets", "bad", str(tmp_path / "x.lua")]) == 2
    assert 'error[preset-broken]: The preset "bad" is broken' in capsys.readouterr().err
    assert not (tmp_path / "x.lua").exists()


# ===== Writing


def test_a_saved_preset_reads_back(tmp_path: Path) -> None:
    made = save(tmp_path / "presets")
    assert list_presets(tmp_path / "presets") == [made]
    assert (made.title, made.description, made.tags, made.origin) == ("Puff", "A puff.", ("smoke",), "user")
    assert made.values == {"resolution": 32, "wind": 0.5, "hot": True}
    assert made.source() == "-- puff\n"
    assert made.thumbnail is not None
    assert made.thumbnail.read_bytes() == PNG
    assert [path.name for path in (tmp_path / "presets").iterdir()] == ["puff"]


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(FluidError) as error:
        save(tmp_path, "Puff", description="Another.")
    assert code_of(error) == "usage"
    assert save(tmp_path, "Puff", description="Another.", replace=True).description == "Another."
    assert [path.name for path in tmp_path.iterdir()] == ["Puff"]


@pytest.mark.parametrize("wrong", [{"title": " "}, {"script": "x" * (FILES["script.lua"] + 1)}, {"tags": [" "]}])
def test_what_would_be_broken_is_not_saved(tmp_path: Path, wrong: dict[str, object]) -> None:
    save(tmp_path)
    with pytest.raises(FluidError) as error:
        save(tmp_path, replace=True, **wrong)
    assert code_of(error) == "preset-broken"
    assert [preset.description for preset in list_presets(tmp_path)] == ["A puff."]
    assert [path.name for path in tmp_path.iterdir()] == ["puff"]


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FluidError) as error:
        save(tmp_path, title="a\ud800b")
    assert code_of(error) == "preset-broken"
    with pytest.raises(FluidError) as error:
        save(tmp_path, script="-- \ud800")
    assert code_of(error) == "preset-broken"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "presets").write_text("a file")
    with pytest.raises(FluidError) as error:
        save(tmp_path / "presets")
    assert code_of(error) == "disk-error"


def test_only_own_presets_are_removed_and_only_their_files(tmp_path: Path) -> None:
    puff, other = save(tmp_path), save(tmp_path, "other")
    (other.script.parent / "notes.txt").write_text("mine")
    remove_preset(puff)
    remove_preset(other)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["other", "other/notes.txt"]
    with pytest.raises(FluidError) as error:
        remove_preset(find_preset("smoke_plume"))
    assert code_of(error) == "usage"
    assert find_preset("smoke_plume").problem is None


# ===== Names


@pytest.mark.parametrize("name", ["puff", "Big Smoke-2", "煙", "größe", "conduct", "com10"])
def test_a_plain_name_is_taken(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    (
        *("", ".", "..", ".hidden", "a/b", "a\\b", "/etc", "C:", "a:b", "a.", "a ", " a", "-a", "x\n", "a\0b"),
        *("con", "CON", "nul", "com1", "LPT9", "aux ", "com¹", "x" * 61, "煙" * 41, "a*b"),
    ),
)
def test_a_name_that_is_a_path_or_a_device_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FluidError) as error:
        save(tmp_path, name)
    assert code_of(error) == "preset-broken"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Big Smoke!", "big_smoke"),
        ("  a / b\\c  ", "a_b_c"),
        ("../../etc", "etc"),
        ("Con", "con_preset"),
        ("***", "preset"),
        ("ÄRGER", "ärger"),
        ("煙", "煙"),
    ],
)
def test_a_title_gives_a_name(title: str, name: str) -> None:
    assert name_from_title(title) == name


@given(st.text(max_size=100))
def test_every_title_gives_a_name_that_can_be_saved(title: str) -> None:
    assert checked_name(name_from_title(title))


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    assert free_name(tmp_path / "gone", "puff") == "puff"
    (tmp_path / "Puff").mkdir()
    (tmp_path / "puff_2").mkdir()
    assert free_name(tmp_path, "puff") == "puff_3"
    (tmp_path / ("x" * 60)).mkdir()
    assert free_name(tmp_path, "x" * 60) == "x" * 58 + "_2"


# ===== TOML

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
VALUE = st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)


@given(title=TEXT, description=TEXT, tags=st.lists(TEXT), values=st.dictionaries(TEXT, VALUE), imported=st.booleans())
def test_what_is_written_as_toml_reads_back(
    title: str, description: str, tags: list[str], values: dict[str, float | bool], imported: bool
) -> None:
    read = tomllib.loads(preset_toml(title, description, tags, values, imported))
    assert (read["title"], read["description"], read["tags"]) == (title, description, tags)
    assert read.get("imported", False) is imported
    assert read.get("values", {}) == values
    assert {name: type(value) for name, value in read.get("values", {}).items()} == {
        name: type(value) for name, value in values.items()
    }
