# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust goes by content, outlives the program, and never comes out of a file that is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.run.trust_store import MOST, VERSION, TrustStore, content_hash

ONE, TWO = content_hash("print(1)"), content_hash("print(2)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trust" / "trusted.json"


def test_every_character_counts() -> None:
    texts = ["", "a", "a ", "a\n", "a\r\n", "\ufeffa", "A", "a\0", "\u0430", "a\udc80", "a\ud800"]
    assert len({content_hash(text) for text in texts}) == len(texts)


def test_what_was_trusted_is_trusted_by_the_next_session(path: Path) -> None:
    assert ONE not in TrustStore(path)
    assert not path.exists(), "looking writes nothing"
    TrustStore(path).add([ONE])
    again = TrustStore(path)
    assert ONE in again
    assert TWO not in again


def test_two_sessions_do_not_forget_what_the_other_trusts(path: Path) -> None:
    first, second = TrustStore(path), TrustStore(path)
    first.add([ONE])
    second.add([TWO])
    assert ONE in second
    assert TWO not in first
    first.look_again()
    assert TWO in first
    third = TrustStore(path)
    assert ONE in third
    assert TWO in third


def test_only_the_newest_are_kept(path: Path) -> None:
    store = TrustStore(path)
    store.add([ONE])
    store.add(content_hash(str(number)) for number in range(MOST - 1))
    assert ONE in TrustStore(path)
    store.add([TWO])
    for each in (store, TrustStore(path)):
        assert len(each) == MOST
        assert ONE not in each
        assert TWO in each


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[]",
        b'"' + ONE.encode() + b'"',
        json.dumps({"trusted": [ONE]}).encode(),
        json.dumps({"version": VERSION, "trusted": {ONE: 1}}).encode(),
        json.dumps({"version": True, "trusted": [ONE]}).encode(),
        json.dumps({"version": 1.0, "trusted": [ONE]}).encode(),
        json.dumps(
            {"version": VERSION, "trusted": [[ONE], None, 7, ONE.upper(), ONE + "0", ONE[:-1], ONE + "\n"]}
        ).encode(),
        json.dumps({"version": VERSION, "trusted": [ONE]}).encode()[:-2],
    ],
)
def test_a_damaged_file_trusts_nothing_and_is_replaced(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = TrustStore(path)
    assert len(store) == 0
    store.add([TWO])
    again = TrustStore(path)
    assert TWO in again
    assert ONE not in again


def test_a_file_of_a_newer_add_on_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    newer = json.dumps({"version": VERSION + 1, "trusted": [ONE]})
    path.write_text(newer)
    store = TrustStore(path)
    assert ONE not in store, "it may mean something else there"
    with pytest.raises(FluidError, match="newer Fluid Script") as caught:
        store.add([TWO])
    assert caught.value.code == "newer-file"
    assert path.read_text() == newer
    assert TWO in store, "until this program ends"


def test_where_nothing_can_be_written_trust_ends_with_the_program(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    path = tmp_path / "a file" / "trusted.json"
    store = TrustStore(path)
    with pytest.raises(FluidError) as caught:
        store.add([ONE])
    assert caught.value.code == "disk-error"
    assert ONE in store
    assert ONE not in TrustStore(path)


def test_a_file_that_cannot_be_read_is_not_replaced(path: Path) -> None:
    path.mkdir(parents=True)  # stands for any file that cannot be opened, for root too
    store = TrustStore(path)
    with pytest.raises(FluidError) as caught:
        store.add([ONE])
    assert caught.value.code == "disk-error"
    assert path.is_dir()
    assert list(path.parent.iterdir()) == [path]
