# SPDX-License-Identifier: GPL-3.0-or-later
"""Every loop of an artist's code has an end: a plain one its own, any other a count of the voxel's turns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import FluidEngine, StencilDefinition
from fluid_addon.engine.formats import Format
from fluid_addon.engine.glsl_loops import MOST_TURNS, PLAIN_TURNS, LoopBounds, bound_loops
from fluid_addon.engine.glsl_tokens import tokenize

Make = Callable[..., FluidEngine]
Define = Callable[..., StencilDefinition]


def bounds(code: str) -> LoopBounds:
    return bound_loops(tokenize(code))


def bounded(code: str) -> str:
    """The code with what counts its turns."""
    for place, text in sorted(bounds(code).edits, reverse=True):
        code = code[:place] + text + code[place:]
    return code


UNBOUNDED = [
    "for (;;) {}",
    "for (int i = 0; ; i++) {}",
    "while (true) v++;",
    "while (!false) { break; }",
    "while (1 < 2);",
]
UNBOUNDED += [
    "do { v++; } while (true);",
    "for (; true; ) v++;",
    "if (on) while (true) ; else v++;",
    "while (((true))) {}",
]


@pytest.mark.parametrize("code", UNBOUNDED)
def test_G05_a_loop_that_nothing_can_end_is_refused(code: str) -> None:
    (only,) = bounds(code).complaints
    assert only.code == "glsl-unbounded"


COUNTED = [
    ("while (x < 1.0) x += 0.1;", "while ((x < 1.0) && fs_turn(0, 1)) x += 0.1;"),
    ("do { x; } while (x < 3.0 || y);", "do { x; } while ((x < 3.0 || y) && fs_turn(0, 1));"),
    ("for (int i = 0; i < n; i++) x;", "for (int i = 0; (i < n) && fs_turn(0, 1); i++) x;"),
    ("for (float f = 0.0; f < 3.0; f += 0.1) x;", "for (float f = 0.0; (f < 3.0) && fs_turn(0, 1); f += 0.1) x;"),
    ("for (uint i = 7u; i >= 0u; i--) x;", "for (uint i = 7u; (i >= 0u) && fs_turn(0, 1); i--) x;"),
    ("for (int i = 0; i != 9; i += 2) x;", "for (int i = 0; (i != 9) && fs_turn(0, 1); i += 2) x;"),
    ("for (int i = 0; i < 9; i--) x;", "for (int i = 0; (i < 9) && fs_turn(0, 1); i--) x;"),
    ("for (int i = 0; i < 9; i++) i -= 1;", "for (int i = 0; (i < 9) && fs_turn(0, 1); i++) i -= 1;"),
    ("for (int i = 0; i < 9; i++) --i;", "for (int i = 0; (i < 9) && fs_turn(0, 1); i++) --i;"),
    ("for (int i = 0; i < 9; i++) modf(x, i);", "for (int i = 0; (i < 9) && fs_turn(0, 1); i++) modf(x, i);"),
    ("for (int i = 0; i < 9; j++) x;", "for (int i = 0; (i < 9) && fs_turn(0, 1); j++) x;"),
    ("for (int i = 010; i < 9; i++) x;", "for (int i = 010; (i < 9) && fs_turn(0, 1); i++) x;"),
    ("for (int i = 0; i < n; i++) for (int k = 0; k < 3; k++) x;",
     "for (int i = 0; (i < n) && fs_turn(0, 5); i++) for (int k = 0; k < 3; k++) x;"),
    ("if (a) while (b > 0) x; else do y; while (c > 0);",
     "if (a) while ((b > 0) && fs_turn(0, 1)) x; else do y; while ((c > 0) && fs_turn(1, 1));"),
    ("switch (i) { case 1: while (b > 0) x; break; default: y; }",
     "switch (i) { case 1: while ((b > 0) && fs_turn(0, 1)) x; break; default: y; }"),
    ("switch (i) { case a ? b ? 1 : 2 : 3: while (b > 0) x; }",
     "switch (i) { case a ? b ? 1 : 2 : 3: while ((b > 0) && fs_turn(0, 1)) x; }"),
    *((f"for (int i = 0; i < 9; i++) {{ {change} }}", f"for (int i = 0; (i < 9) && fs_turn(0, 1); i++) {{ {change} }}")
      for change in ("(i) = 0;", "((i)) -= 1;", "i.x = 0;", "(i).x--;", "--(i);", "(i)++;")),
    # One side without a sign makes the other one so: below zero lies the largest number.
    ("for (uint i = 0u; i < -5; i++) x;", "for (uint i = 0u; (i < -5) && fs_turn(0, 1); i++) x;"),
    ("for (int i = 0; i < -5u; i++) x;", "for (int i = 0; (i < -5u) && fs_turn(0, 1); i++) x;"),
    ("for (int i = 8; i >= 0u; i--) x;", "for (int i = 8; (i >= 0u) && fs_turn(0, 1); i--) x;"),
    ("for (int i = 9; i > 0U; i -= 2) x;", "for (int i = 9; (i > 0U) && fs_turn(0, 1); i -= 2) x;"),
    ("for (uint i = -1; i > 0; i--) x;", "for (uint i = -1; (i > 0) && fs_turn(0, 1); i--) x;"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), COUNTED)
def test_G05_a_loop_whose_end_only_a_run_knows_is_counted(code: str, expected: str) -> None:
    assert bounded(code) == expected
    assert bounds(code).complaints == []


PLAIN = [
    ("for (int i = 0; i < 8; i++) x += i;", 9),
    ("for (int i = 0; i <= 8; ++i) x += v[i];", 10),
    ("for (int i = 8; i > 0; i--) { if (i == 3) continue; x = i; }", 9),
    ("for (uint i = 0u; i < 8u; i += 3u) x;", 4),
    ("for (int i = -2; i != 6; i += 2) x;", 5),
    ("for (int i = 3; i < 3; i++) x;", 1),
    ("for (int i = 0; i < 4; ++i) for (int k = 0; k < 4; ++k) x;", 4 * 6 + 1),
    ("for (int i = 0; i < 4; ++i) v += Noise(p);", 4 * 19 + 1),
    ("for (int i = 8; i > 0u; i--) x += i;", 9),
    ("do { x; } while (false);", 2),
    ("x = CurlNoise(p);", 54),
]


@pytest.mark.parametrize(("code", "turns"), PLAIN)
def test_a_loop_that_is_plainly_short_costs_nothing(code: str, turns: int) -> None:
    assert bounded(code) == code
    assert bounds(code).plain_turns == turns


def test_many_plain_loops_are_counted_from_where_they_are_too_many() -> None:
    loop = f"for (int i = 0; i < {PLAIN_TURNS // 2 - 10}; i++) x;\n"
    found = bounds(loop * 5)
    assert len(found.counted) == 3
    assert found.plain_turns <= PLAIN_TURNS + 5


def test_V10_what_turns_before_the_first_count_of_a_do_is_known() -> None:
    loop = "do { for (int i = 0; i < 900; i++) x; } while (false);\n"
    found = bounds(loop * 80)
    assert found.plain_turns >= 80 * 900
    (only,) = found.complaints
    assert only.code == "glsl-limit"


MISPLACED = [
    "[[loop]] while (true) x;",
    "2: for (int i = 0; i < n; i++) x;",
    "x = 3 do { y; } while (true);",
    "while b > 0 x;",
    "do { x; } until (b);",
]


@pytest.mark.parametrize("code", MISPLACED)
def test_G05_the_word_of_a_loop_that_is_none_by_our_reading_is_refused(code: str) -> None:
    """Whatever the compiler takes it for: a loop that was not seen here has no bound."""
    assert {each.code for each in bounds(code).complaints} == {"glsl-structure"}


def test_V10_a_loop_of_more_turns_than_a_voxel_has_is_refused_before_it_runs() -> None:
    (only,) = bounds("for (int i = 0; i < 70000; i++) x;").complaints
    assert only.code == "glsl-limit"
    assert bounds("for (int i = 0; i < 70000; i++) { if (x) break; }").complaints == []
    (only,) = bounds("v = CurlNoise(p);" * 60 + "while (v > 1.0) v--;").complaints
    assert only.code == "glsl-limit"


# ===== on a device


def test_a_counted_loop_has_the_bits_of_a_plain_one(make_engine: Make, define: Define) -> None:
    engine = make_engine((8, 8, 16))
    for name in ("plain", "counted", "while", "do"):
        engine.add_field(name, Format.R32F, 1)
    engine.add_field("n", Format.R32I, 37)
    turn = "v = sin(v * 1.7 + float(i)) + Random(coord, i);"
    write = 'WriteField("{}", idx, v);'
    loops = {
        "plain": f"for (int i = 0; i < 37; i++) {{ {turn} }}",
        "counted": f'for (int i = 0; i < ReadField("n", idx); i++) {{ {turn} }}',
        "while": f"int i = 0; while (i < 37) {{ {turn} i++; }}",
        "do": f"int i = 0; do {{ {turn} ++i; }} while (i < 37);",
    }
    for name, loop in loops.items():
        engine.add_stencil(define(name, f"float v = time; {loop} {write.format(name)}", "n", name))
    engine.step(0.1)
    engine.step(0.1)
    expected = engine.array("plain")
    assert np.unique(expected).size > 100
    for name in loops:
        assert engine.array(name).tobytes() == expected.tobytes(), name


ENDLESS = [
    "switch (coord.x < 99 ? 1 : 0) { case true ? 1 : 2: while (n >= 0) TURN }",
    "for (int i = 0; i < 8; i++) { (i) = 0; TURN }",
    "for (int i = 0; i < 8; i++) { i.x = 0; TURN }",
    "for (uint i = 0u; i < -5; i++) TURN",
    "for (int i = 0; i < -5u; i++) TURN",
    "for (int i = 8; i >= 0u; i--) TURN",
]


@pytest.mark.parametrize("loop", ENDLESS)
def test_G05_no_loop_gets_past_its_count_on_a_device(loop: str, make_engine: Make, define: Define) -> None:
    engine = make_engine((4, 4, 4))
    engine.add_field("a", Format.R32F, 0)
    turn = f"{{ if (++n >= {2 * MOST_TURNS}) break; }}"  # an end, where the bound of ours should be none
    code = f'int n = 0; {loop.replace("TURN", turn)} WriteField("a", idx, float(n));'
    engine.add_stencil(define("s", code, outputs="a"))
    with pytest.raises(FluidError) as caught:
        engine.step(0.1)
        engine.finish()
    assert caught.value.code == "glsl-turns"


STORED = {"dense": {}, "slabs": {"gpu_count": 2}, "leaves": {"sparse": True}}


@pytest.mark.parametrize("storage", STORED)
def test_V10_a_voxel_has_all_of_its_turns_and_the_next_one_stops_the_run(
    storage: str, make_engine: Make, define: Define
) -> None:
    """The bound counts a voxel's own turns, whichever voxels lie beside it and however fields are stored."""
    engine = make_engine((16, 8, 16), **STORED[storage])
    engine.add_field("a", Format.R32F, 1)
    if storage == "leaves":
        engine.activate(low=(0, 0, 0), high=(1.6, 0.8, 1.6))
    code = """
        int n = 0, most = {most} - 500 * (coord.z % 8);
        while (n < most / 2) n++;
        for (; n < most; n++) {{ }}
        WriteField("a", idx, float(n));
    """
    engine.add_stencil(define("walk", code.format(most=MOST_TURNS), outputs="a"))
    engine.step(0.1)
    assert engine.read("a", (3, 2, 8)) == MOST_TURNS
    assert engine.read("a", (3, 2, 9)) == MOST_TURNS - 500
    late = f"{MOST_TURNS} + int(frame > 2 && coord.x > 4 && coord.y == 3)"
    engine.add_stencil(define("far", code.format(most=f"({late})"), outputs="a"))
    with pytest.raises(FluidError) as caught:
        for _ in range(4):
            engine.step(0.1)
        engine.finish()
    assert caught.value.code == "glsl-turns"
    assert "in frame 3 (step 3), first at voxel {5, 3, 0}." in str(caught.value)
    assert caught.value.diagnostics[0].message.startswith('The loops of "far" took more than 8,000 turns')
