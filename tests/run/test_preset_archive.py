# SPDX-License-Identifier: GPL-3.0-or-later
"""A zip of presets goes out whole and comes in whole, and a bad one leaves nothing behind."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluid_addon.diagnostics import FluidError
from fluid_addon.run import preset_archive
from fluid_addon.run.preset_archive import export_presets, import_presets
from fluid_addon.run.presets import FILES, Preset, find_preset, list_presets, save_preset

PNG = b"\x89PNG\r\n\x1a\n and the rest of a picture"
TOML = 'title = "Puff"\ndescription = "A puff."\n'


def save(folder: Path, name: str = "puff", values: dict[str, float] | None = None) -> Preset:
    return save_preset(folder, name, "Puff", 'A "puff".', ["smoke", "two words"], "-- puff\n", values or {}, PNG)


def zipped(path: Path, entries: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path, own: Path) -> str:
    """The message with which a zip is refused; nothing of it may be in the artist's folder then."""
    before = sorted(own.rglob("*"))
    with pytest.raises(FluidError) as error:
        import_presets(path, own)
    assert error.value.code == "preset-broken"
    assert error.value.diagnostics[0].hint
    assert sorted(own.rglob("*")) == before
    return str(error.value)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def test_presets_survive_the_trip(tmp_path: Path, own: Path) -> None:
    there = tmp_path / "there"
    save(there, "one", {"wind": 0.5})
    save(there, "two")
    export_presets(list_presets(there), tmp_path / "p.zip")
    assert import_presets(tmp_path / "p.zip", own) == ["one", "two"]
    assert [path.name for path in own.iterdir() if path.name.startswith(".")] == []
    for before, after in zip(list_presets(there), list_presets(own), strict=True):
        assert after.origin == "imported"
        assert after.is_own
        assert (after.name, after.title, after.description, after.tags, after.values, after.source()) == (
            before.name,
            before.title,
            before.description,
            before.tags,
            before.values,
            before.source(),
        )
        assert after.thumbnail is not None
        assert after.thumbnail.read_bytes() == PNG


def test_a_preset_of_the_library_can_be_given_away(tmp_path: Path, own: Path) -> None:
    export_presets([find_preset("smoke_plume")], tmp_path / "p.zip")
    assert import_presets(tmp_path / "p.zip", own) == ["smoke_plume"]
    assert find_preset("smoke_plume", own).source() == find_preset("smoke_plume").source()


def test_the_same_presets_make_the_same_zip(tmp_path: Path) -> None:
    presets = [save(tmp_path / "own")]
    export_presets(presets, tmp_path / "a.zip")
    export_presets(presets, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_two_of_one_name_both_go_out(tmp_path: Path, own: Path) -> None:
    presets = [save(tmp_path / "a"), save(tmp_path / "b", "Puff")]
    export_presets(presets, tmp_path / "p.zip")
    assert import_presets(tmp_path / "p.zip", own) == ["puff", "Puff_2"]


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path, own: Path) -> None:
    mine = save(own, "Puff")
    export_presets([save(tmp_path / "there")], tmp_path / "p.zip")
    assert import_presets(tmp_path / "p.zip", own) == ["puff_2"]
    assert import_presets(tmp_path / "p.zip", own) == ["puff_3"]
    assert find_preset("user/Puff", own) == mine


def test_a_zip_cannot_say_of_itself_that_it_was_made_here(tmp_path: Path, own: Path) -> None:
    path = zipped(tmp_path / "p.zip", {"puff/preset.toml": TOML + "imported = false\n", "puff/script.lua": "-- x"})
    import_presets(path, own)
    assert [preset.origin for preset in list_presets(own)] == ["imported"]


def test_a_broken_preset_does_not_go_out(tmp_path: Path) -> None:
    made = save(tmp_path / "own")
    made.script.unlink()
    with pytest.raises(FluidError) as error:
        export_presets(list_presets(tmp_path / "own"), tmp_path / "p.zip")
    assert error.value.code == "preset-broken"
    with pytest.raises(FluidError) as error:
        export_presets([made], tmp_path / "p.zip")  # broken since it was listed
    assert error.value.code == "preset-broken"
    assert not (tmp_path / "p.zip").exists()


def test_a_picture_that_is_gone_is_said(tmp_path: Path) -> None:
    made = save(tmp_path / "own")
    assert made.thumbnail is not None
    made.thumbnail.unlink()
    with pytest.raises(FluidError) as error:
        export_presets([made], tmp_path / "p.zip")
    assert error.value.code == "preset-broken"


def test_a_zip_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(FluidError) as error:
        export_presets([save(tmp_path / "own")], tmp_path / "gone" / "p.zip")
    assert error.value.code == "disk-error"


def test_what_systems_add_to_a_zip_is_passed_over(tmp_path: Path, own: Path) -> None:
    entries = {
        "puff/": "",
        "puff/preset.toml": TOML,
        "puff/script.lua": "-- x",
        "puff/.DS_Store": "x",
        "__MACOSX/puff/._script.lua": "x",
    }
    assert import_presets(zipped(tmp_path / "p.zip", entries), own) == ["puff"]
    assert sorted(path.name for path in (own / "puff").iterdir()) == ["preset.toml", "script.lua"]


GOOD = {"puff/preset.toml": TOML, "puff/script.lua": "-- x"}


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({}, "it has no preset in it"),
        ({"puff/": ""}, "it has no preset in it"),
        ({"script.lua": "-- x"}, '"script.lua" does not belong there'),
        (GOOD | {"puff/virus.py": "x"}, '"puff/virus.py" does not belong there'),
        (GOOD | {"puff/deep/script.lua": "x"}, '"puff/deep/script.lua" does not belong there'),
        (GOOD | {"../script.lua": "x"}, 'The preset\'s name ".."'),
        (GOOD | {"/script.lua": "x"}, 'The preset\'s name ""'),
        (GOOD | {"/etc/script.lua": "x"}, '"/etc/script.lua" does not belong there'),
        (GOOD | {"a/../script.lua": "x"}, '"a/../script.lua" does not belong there'),
        (GOOD | {"..\\a/script.lua": "x"}, "may have only letters"),
        (GOOD | {"C:/script.lua": "x"}, 'The preset\'s name "C:"'),
        (GOOD | {"con/script.lua": "x"}, 'The preset\'s name "con" is a device on Windows'),
        (GOOD | {".ssh/script.lua": "x"}, 'The preset\'s name ".ssh"'),
        (GOOD | {"Puff/preset.toml": TOML, "Puff/script.lua": "-- x"}, "differ only in upper and lower case"),
        ({"puff/preset.toml": TOML}, 'its preset "puff" is broken: "script.lua" is missing'),
        (GOOD | {"other/preset.toml": "x", "other/script.lua": ""}, 'its preset "other" is broken'),
        (GOOD | {"puff/script.lua": b"\xff"}, 'its preset "puff" is broken: "script.lua" is not UTF-8'),
        (GOOD | {"puff/script.lua": b" " * (FILES["script.lua"] + 1)}, '"puff/script.lua" is larger than 4096 KB'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_zip_with_anything_else_is_refused(
    tmp_path: Path, own: Path, entries: dict[str, str | bytes], why: str
) -> None:
    assert why in refusal(zipped(tmp_path / "p.zip", entries), own)


def test_a_link_is_refused(tmp_path: Path, own: Path) -> None:
    path = zipped(tmp_path / "p.zip", dict(GOOD))
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("puff/thumbnail.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert '"puff/thumbnail.png" is a link' in refusal(path, own)


def test_the_same_file_twice_is_refused(tmp_path: Path, own: Path) -> None:
    path = zipped(tmp_path / "p.zip", dict(GOOD))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("puff/script.lua", "-- another")
    assert 'it has "puff/script.lua" twice' in refusal(path, own)


def test_a_password_is_refused(tmp_path: Path, own: Path) -> None:
    path = zipped(tmp_path / "p.zip", dict(GOOD))
    data = path.read_bytes()
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + flags
        data = data[:at] + bytes([data[at] | 1]) + data[at + 1 :]
    path.write_bytes(data)
    assert "is locked with a password" in refusal(path, own)


def test_a_size_that_lies_is_found_out_by_the_bytes_that_come(tmp_path: Path, own: Path) -> None:
    entries = GOOD | {"puff/script.lua": b"-" * (FILES["script.lua"] * 20)}
    path = zipped(tmp_path / "p.zip", entries)
    data, size = path.read_bytes(), FILES["script.lua"] * 20
    assert len(data) < size // 100
    path.write_bytes(data.replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert refusal(path, own)


def test_too_many_are_refused(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = GOOD | {"more/preset.toml": TOML, "more/script.lua": "-- x"}
    path = zipped(tmp_path / "p.zip", two)
    monkeypatch.setattr(preset_archive, "_MOST_PRESETS", 1)
    assert "it has more than 1 presets" in refusal(path, own)
    monkeypatch.setattr(preset_archive, "_MOST_ENTRIES", 3)
    assert "it has more than 3 entries" in refusal(path, own)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, own: Path) -> None:
    (tmp_path / "p.zip").write_bytes(b"no zip")
    assert "it is no zip, or a damaged one" in refusal(tmp_path / "p.zip", own)
    assert "there is no such file" in refusal(tmp_path / "gone.zip", own)
    assert "it cannot be read" in refusal(tmp_path, own)


@pytest.fixture(scope="module")
def good_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (GOOD | {"puff/thumbnail.png": PNG}).items():
            archive.writestr(name, content)
    return buffer.getvalue()


@given(data=st.data())
def test_a_damaged_zip_is_refused_or_harmless(
    good_zip: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(good_zip)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    (folder / "p.zip").write_bytes(bytes(content[:cut] if data.draw(st.booleans()) else content))
    own = folder / "own"
    try:
        names = import_presets(folder / "p.zip", own)
    except FluidError as error:
        assert error.code == "preset-broken"
        names = []
    left = sorted(path.name for path in own.iterdir()) if own.exists() else []
    assert left == sorted(names)
    assert {path.name for path in own.glob("*/*")} <= set(FILES)
    assert all(preset.problem is None for preset in list_presets(own))


def test_a_full_shelf_takes_nothing_half(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = GOOD | {"more/preset.toml": TOML, "more/script.lua": "-- x"}
    path = zipped(tmp_path / "p.zip", two)
    rename: Callable[[Path, Path], Path] = Path.rename
    placed: list[Path] = []

    def second_one_fails(self: Path, target: Path) -> Path:
        placed.append(target)
        if len(placed) == 2:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_one_fails)
    with pytest.raises(FluidError) as error:
        import_presets(path, own)
    assert error.value.code == "disk-full"
    assert list(own.iterdir()) == []


def test_a_million_entries_are_refused_before_they_are_read(tmp_path: Path, own: Path) -> None:
    """Only the list at the end, as long as a million entries make it; the entries themselves need not be there."""
    entry = bytearray(zipped_bytes({"puff/script.lua": ""}))
    at = entry.index(b"PK\1\2")
    one = bytes(entry[at : entry.index(b"PK\5\6")])
    count = 1_000_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, count * len(one), at, 0)
    (tmp_path / "p.zip").write_bytes(bytes(entry[:at]) + one * count + end)
    tracemalloc.start()
    try:
        assert "it has more than 2000 entries" in refusal(tmp_path / "p.zip", own)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_the_longer_form_of_zip_is_refused(tmp_path: Path, own: Path) -> None:
    content = zipped_bytes(dict(GOOD))
    at = content.rindex(b"PK\5\6")
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    (tmp_path / "p.zip").write_bytes(content[:at] + locator + content[at:])
    assert "it has more than 2000 entries" in refusal(tmp_path / "p.zip", own)


@pytest.mark.parametrize("form", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_ways_to_pack_are_refused(tmp_path: Path, own: Path, form: int) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w", form) as archive:
        for name, content in GOOD.items():
            archive.writestr(name, content)
    assert '"puff/preset.toml" is packed in a way that is not read' in refusal(tmp_path / "p.zip", own)


def test_a_wrong_checksum_is_refused(tmp_path: Path, own: Path) -> None:
    content = bytearray(zipped_bytes({**GOOD, "puff/script.lua": "-- hello hello"}, zipfile.ZIP_STORED))
    content[content.index(b"hello")] ^= 1
    (tmp_path / "p.zip").write_bytes(bytes(content))
    assert "Bad CRC-32" in refusal(tmp_path / "p.zip", own)


def test_a_name_as_long_as_a_zip_allows_is_cut_in_the_message(tmp_path: Path, own: Path) -> None:
    for name in ("a" * 65000 + "/script.lua", "\x1b[2J\u202e" * 5000 + "/x/y"):
        message = refusal(zipped(tmp_path / "p.zip", {name: "x"}), own)
        assert len(message) < 600 and message.isprintable()


def zipped_bytes(entries: dict[str, str], form: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", form) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()
