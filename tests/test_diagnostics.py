# SPDX-License-Identifier: GPL-3.0-or-later
"""Diagnostics as data: one text form, hints that help, and no code without a pinned text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fluid_addon.diagnostics import (
    CODES,
    LONGEST_QUOTED,
    Diagnostic,
    FluidError,
    Kind,
    Place,
    did_you_mean,
    fail,
    render,
)

TESTS = Path(__file__).resolve().parent


def test_the_text_form():
    place = Place("smoke.lua", 12, column=6, width=3, text="\tx = vle", label="")
    related = (Place("solver.lua", 3, label='in "advect"'), Place("smoke.lua", 40))
    diagnostic = Diagnostic("glsl-error", '"vle" is not declared.', place, 'Did you mean "vel"?', related)
    assert render(diagnostic) == "\n".join(
        [
            'smoke.lua:12: error[glsl-error]: "vle" is not declared.',
            "   12 |     x = vle",
            "      |         ^^^",
            '  hint: Did you mean "vel"?',
            '  at solver.lua:3: in "advect"',
            "  at smoke.lua:40",
        ]
    )
    assert render(Diagnostic("usage", "No.")) == "error[usage]: No."


def test_words_of_others_cannot_disguise_themselves():
    said = "\x1b[2J\x9b\u202e\r\udcff"
    shown = "\\x1b[2J\\x9b\\u202e\\r\\udcff"
    place = Place(f"{said}.lua", 3, column=2, text=f"\t{said}x", label=f'in "{said}\n"')
    error = fail("lua-error", f'Not "{said}"\n\tat all.', f'Did you mean "{said}"?', place)
    (diagnostic,) = error.diagnostics
    assert (diagnostic.message, str(error)) == (f'Not "{shown}"\n\tat all.',) * 2
    assert diagnostic.hint == f'Did you mean "{shown}"?'
    assert (place.file, place.label) == (f"{shown}.lua", f'in "{shown}\\n"')
    assert place.text == "\t·[2J····x", "columns stay"
    assert render(diagnostic).count("\n") == 4


def test_a_very_long_line_is_cut_but_not_before_what_is_meant():
    line = "x" * 50_000
    assert Place("a.lua", 1, text=line).text == "x" * LONGEST_QUOTED + "…"
    assert Place("a.lua", 1, LONGEST_QUOTED - 3, 3, line).text == "x" * LONGEST_QUOTED + "…"
    assert Place("a.lua", 1, LONGEST_QUOTED, 3, line).text is None
    cut = Place("a.lua", 1, 2, 3, line)
    assert Place("a.lua", 1, 2, 3, cut.text) == cut


def test_a_place_is_given_only_once():
    first, second = Place("a.lua", 1), Place("b.lua", 2)
    error = fail("unknown-field", "There is no field.").at(first).at(second).at(None)
    assert error.diagnostics[0].place == first


def test_the_first_diagnostic_decides_who_acts():
    error = FluidError(Diagnostic("disk-full", "Full."), Diagnostic("lua-error", "Wrong."))
    assert (error.code, error.kind, error.kind.value) == ("disk-full", Kind.DISK, 5)
    assert str(error) == "Full.; Wrong."


def test_unknown_codes_are_refused():
    with pytest.raises(ValueError, match="no-such-code"):
        fail("no-such-code", "?")


def test_did_you_mean():
    assert did_you_mean("densty", ["density", "velocity"]) == 'Did you mean "density"?'
    assert did_you_mean("xyz", ["density", "velocity"]) == 'Known: "density", "velocity".'
    assert did_you_mean("x", []) is None


def test_every_code_has_its_exact_text_somewhere():
    """In a corpus of wrong scripts; or, where a machine and no script is at fault, in a test that provokes it."""
    pinned = set()
    for path in TESTS.glob("errors/**/*.txt"):
        pinned |= set(re.findall(r"error\[([a-z-]+)\]", path.read_text("utf-8")))
    sources = "\n".join(p.read_text("utf-8") for p in TESTS.rglob("test_*.py") if p.name != Path(__file__).name)
    machine = {code for code, kind in CODES.items() if kind is not Kind.SCRIPT}
    provoked = {code for code in machine if re.search(rf"[\"'\[]{code}[\"':\]]", sources)}
    assert set(CODES) - pinned - provoked == set()
