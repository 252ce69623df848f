# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/reliability.md keeps its word: every number has a test that carries it, and every test that is named exists."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGE = (ROOT / "docs/reliability.md").read_text("utf-8")
NUMBER = r"[LGVDNB]\d\d"


def numbers_carried() -> dict[str, set[str]]:
    """The files of the tests that carry each number in their names."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8")):
            for number in re.findall(rf"(?<=_){NUMBER}(?=_|\b)", name):
                found[number].add(path.relative_to(ROOT).as_posix())
    return found


def rows() -> dict[str, str]:
    return dict(re.findall(rf"^\| ({NUMBER}) \|(.*)\|$", PAGE, re.MULTILINE))


def test_every_number_is_carried_by_a_test_of_the_files_that_are_named() -> None:
    found, promised = numbers_carried(), rows()
    assert set(found) == set(promised)
    for number, row in promised.items():
        named = set(re.findall(r"`(tests/[^`]+\.py)", row))
        assert named and named <= found[number], number


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:tests|benchmarks)/[^`:]+)", PAGE))
    assert len(named) > 50
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_no_row_of_the_numbers_is_left_out() -> None:
    """What there is of each letter; V09 needs a graphics card that may be hung."""
    counts = {"L": 20, "G": 15, "V": 18, "D": 17, "N": 6, "B": 15}
    expected = {f"{letter}{number:02}" for letter, count in counts.items() for number in range(1, count + 1)}
    assert expected - set(rows()) == {"V09"}
