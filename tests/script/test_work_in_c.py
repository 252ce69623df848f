# SPDX-License-Identifier: GPL-3.0-or-later
"""What Lua's own functions do in C, where the clock cannot interrupt them, is counted, or refused where it is much."""

from __future__ import annotations

import pytest

from fluid_addon.script.sandbox import Limits

#: Each does more than a million steps in C; `s` is a text of two millions, `t` a list of 300,000.
COUNTED = [
    'string.rep("x", 2e6)',
    's:find("y", 1, true)',
    's:find("y")',
    's:match("y")',
    's:gmatch("y")()',
    's:gsub("y", "")',
    's:find(("x"):rep(20) .. "y")',
    "s:upper()",
    "s:sub(1)",
    "for _ = 1, 10 do s:byte(1, 200000) end",
    'string.pack("c2000000", "")',
    'string.pack("s4", s)',
    'string.packsize(("b"):rep(2e6))',
    'string.unpack("c2000000", s)',
    "utf8.len(s)",
    "utf8.offset(s, 1999999)",
    "utf8.codes(s)",
    "for _ = 1, 10 do utf8.codepoint(s, 1, 200000) end",
    "tonumber(blanks)",
    "tonumber(blanks, 10)",
    "for _ = 1, 2 do table.concat(t) end",
    'table.concat(read, "", 1, 1200000)',
    "table.concat({s, s})",
    "for _ = 1, 7 do table.insert(t, 1, 1) end",
    "for _ = 1, 7 do table.move(t, 1, #t, 1) end",
    "for _ = 1, 20 do table.unpack(t, 1, 100000) end",
]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each time that the clock is looked at."""
    seen: list[None] = []
    exceeded = Limits.exceeded.fget
    assert exceeded is not None

    def look(limits: Limits) -> bool:
        seen.append(None)
        return exceeded(limits)

    monkeypatch.setattr(Limits, "exceeded", property(look))
    return seen


def looks_during(lua, looks: list[None], script: str) -> int:
    """How often the clock is looked at while a piece of script runs."""
    marks: list[int] = []
    lua.act = lambda method: marks.append(len(looks)) if method == "step" else None
    begin = """
    local sim = FluidEngine.new{domain_size = {1, 1, 1}}
    local s, blanks = ("x"):rep(2e6), (" "):rep(2e6)
    local t = {string.byte(s, 1, 300000)}
    local read = setmetatable({}, {__index = function() return "" end})
    """
    lua.run(f"{begin} sim:step(1) {script} sim:step(1)", seconds=60)
    return marks[1] - marks[0]


@pytest.mark.parametrize("call", COUNTED)
def test_work_in_c_brings_the_clock_along(lua, looks: list[None], call: str) -> None:
    assert looks_during(lua, looks, f"for _ = 1, 3 do {call} end") >= 3


@pytest.mark.parametrize(
    "call",
    [
        'string.rep("x", math.mininteger // 2)',
        'string.rep("abc", -(1 << 61))',
        'string.rep("x", -1e300)',
        'string.rep("abc", 1 << 62)',
        'string.rep("x", 0/0)',
        'string.rep("x", -2^62, ",")',
        'table.concat({}, "", math.maxinteger, math.mininteger)',
        "table.move({}, math.maxinteger, math.mininteger, 1)",
        "table.move({}, 0/0, 0/0, 1)",
        'string.unpack("b", "x", math.mininteger)',
        "table.unpack({}, math.maxinteger, math.mininteger)",
    ],
)
def test_no_argument_switches_the_counting_off(lua, looks: list[None], call: str) -> None:
    assert looks_during(lua, looks, f"pcall(function() return {call} end) for _ = 1, 3 do s:upper() end") >= 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('table.concat(read, "", 1, math.maxinteger)', "too many elements to concat"),
        ('table.concat(setmetatable({}, {__index = getmetatable}), "", math.mininteger, -1)', "too many elements"),
        ("table.unpack(read, 1, math.maxinteger)", "too many elements to unpack"),
        ("table.move(read, 1, math.maxinteger, 1, {})", "too many elements to move"),
        ('string.rep("abc", 1 << 62)', "resulting string too large"),
        ('("^"):rep(12000):gmatch("^.*.*x")', "pattern too expensive"),
        ('("^"):rep(12000):gmatch("^*^*^*^*x")', "pattern too expensive"),
        ('("a"):rep(50000000):find(("a"):rep(1500) .. "[b]")', "pattern too expensive"),
        ('("a"):rep(1e7):match(("a?"):rep(10) .. ("a"):rep(100))', "pattern too expensive"),
    ],
)
def test_work_without_an_end_is_refused(lua, call: str, said: str) -> None:
    read = 'local read = setmetatable({}, {__index = function() return "" end})\n'
    error = lua.error(f"{read}print({call})")
    assert said in error.diagnostics[0].message
    assert error.diagnostics[0].place is not None
    assert error.diagnostics[0].place.line == 2


def test_an_anchor_stays_one(lua) -> None:
    script = """
    local text = ("a"):rep(12000)
    print(text:find("^a*b"), #text:match("^(.-)$"), text:gsub("^a", "b", 1) == "b" .. text:sub(2))
    print(("^a^b"):gsub("^^", "x"), ("^*"):find("^^*"), ("a^b^"):gmatch("^.")())
    print(#("key = value"):match("^%s*([%w_]+)%s*=%s*(.-)%s*$"))
    """
    assert lua.printed(script) == ["nil\t12000\ttrue", "xa^b\t1\t^b", "3"]


def test_what_is_counted_answers_as_before(lua) -> None:
    script = """
    print(string.unpack("<i2 z s1", string.pack("<i2 z s1", 258, "one", "two")))
    print(string.packsize("i4 i4"), utf8.char(228, 8364), utf8.len("äö"), utf8.offset("äö", 2), utf8.codepoint("ä"))
    for at, code in utf8.codes("aä") do print(at, code) end
    print(("abc"):byte(1, -1), string.char(97, 98))
    print(tonumber("0x10"), tonumber("z", 36), tonumber("ten"), tonumber(" 7 "), tonumber(3.5))
    print(table.concat({1, 2, 3}, ", ", 2), table.concat({1, 2, 3}, ", ", 2, 2), table.concat({}), table.unpack({1, 2}))
    for _, call in ipairs{{string.pack, {}}, {string.unpack, "b", {}}, {utf8.len}, {tonumber}, {string.byte, {}}} do
        print(select(2, pcall(table.unpack(call))))
    end
    """
    assert lua.printed(script) == [
        "258\tone\ttwo\t11",
        "8\tä€\t2\t3\t228",
        "1\t97",
        "2\t228",
        "97\tab",
        "16\t35\tnil\t7\t3.5",
        "2, 3\t2\t\t1\t2",
        "bad argument #1 to 'pack' (string expected, got table)",
        "bad argument #2 to 'unpack' (string expected, got table)",
        "bad argument #1 to 'len' (string expected, got nil)",
        "bad argument #1 to 'tonumber' (value expected)",
        "bad argument #1 to 'byte' (string expected, got table)",
    ]
