# SPDX-License-Identifier: GPL-3.0-or-later
"""The same script does the same in every run: nothing that it can see, and nothing that the engine is told, depends on
addresses, seeds of hashes, clocks, or the moment at which memory is freed. A resumed run relies on it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lupa import lua54

ROOT = Path(__file__).parents[2]
OBSERVED = Path(__file__).with_name("observed.lua")

# Says on stdout all that a script prints, and all that the engine is told, in the bytes in which it is told.
PROGRAM = """
import sys
from fluid_addon.script import host
from fluid_addon.script.context import LuaContext
class Engine:
    frame = 0
    def __init__(self, **options): pass
    def __getattr__(self, name): return lambda *args, **options: None
    def close(self): pass
take = host.decode
def seen(payload):
    print(payload)
    return take(payload)
host.decode = seen
context = LuaContext(log=print, seconds=100)
context.bind_engine(Engine)
context.run_script(sys.argv[1])
"""


def observe(folders: list[Path]) -> list[str]:
    """What each of as many processes observes, each with another seed, environment and folder."""
    running = []
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        script = folder / "smoke.lua"
        script.write_bytes(OBSERVED.read_bytes())
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(number),
            "PYTHONPATH": str(ROOT),
            "LC_ALL": ("C", "C.UTF-8")[number % 2],
            "FILLER": "x" * 4000 * number,
        }
        command = [sys.executable, "-c", PROGRAM, str(script)]
        running.append(
            subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
    outputs = []
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
        outputs.append(out.decode("utf-8", "surrogateescape"))
    return outputs


@pytest.mark.parametrize("processes", [3, pytest.param(6, marks=pytest.mark.long)])
def test_L15_a_script_that_looks_for_traces_finds_the_same_in_several_processes(tmp_path: Path, processes: int) -> None:
    first, *others = observe([tmp_path / ("f" * (1 + 23 * number)) for number in range(processes)])
    assert first.count("\n") > 250
    for other in others:
        assert other.splitlines() == first.splitlines()
    assert str(tmp_path) not in first, "a script sees no folder of the machine"


def test_L15_what_is_replaced_does_differ_in_plain_lua() -> None:
    """The traps of `observed.lua` are real: Lua's own functions fall into each of them in some of 12 states."""
    orders, sorts, addresses = set(), set(), set()
    for _ in range(12):
        state = lua54.LuaRuntime()
        orders.add(
            state.execute(
                "local t = {} for i = 1, 40 do t['k' .. i] = 1 end local s = '' "
                "for k in pairs(t) do s = s .. k end return s"
            )
        )
        sorts.add(
            state.execute(
                "local t = {} for i = 1, 1000 do t[i] = {k = 100 + i % 3, i = i} end "
                "t[1].k, t[250].k, t[1000].k = 0, 1, 2 "
                "table.sort(t, function(a, b) return a.k < b.k end) "
                "local s = {} for i = 1, 1000 do s[i] = t[i].i end return table.concat(s, ' ')"
            )
        )
        addresses.add(state.execute("return tostring({})"))
    assert min(len(orders), len(sorts), len(addresses)) > 1


# ===== The order of pairs and next


def test_positions_come_first_then_numbers_texts_booleans_and_objects(lua) -> None:
    script = """
    local first, second = setmetatable({}, {__name = "first"}), setmetatable({}, {__name = "second"})
    tostring(first)
    local t = {[second] = 1, [first] = 1, [true] = 1, [false] = 1, b = 1, a = 1, [""] = 1, [0.5] = 1, [-3] = 1, [0] = 1,
               [7] = 1, "x", "y"}
    local seen = {}
    for key in pairs(t) do seen[#seen + 1] = type(key) == "table" and getmetatable(key).__name or tostring(key) end
    print(table.concat(seen, " "))
    seen = {}
    for key in next, t do seen[#seen + 1] = type(key) == "table" and getmetatable(key).__name or tostring(key) end
    print(table.concat(seen, " "))
    """
    assert lua.printed(script) == ["1 2 7 -3 0 0.5  a b false true first second"] * 2


WALKS = {
    "values may change": ("local t = {a = 1, b = 2} for k in pairs(t) do t[k] = t[k] * 2 end print(t.a, t.b)", "2\t4"),
    "all may be taken away": (
        "local t = {1, 2, 3, a = 1, b = 2, [{}] = 3} for k in pairs(t) do t[k] = nil end print(next(t))",
        "nil",
    ),
    "what was taken away does not come": (
        "local t = {1, 2, 3, a = 1, b = 2} for k in pairs(t) do print(k) t[2], t[3], t.b = nil end",
        "1\na",
    ),
    "nor does its __index": (
        "local t = setmetatable({a = 1, b = 2, 5, 6}, {__index = function() return 9 end}) "
        "for k, v in pairs(t) do print(k, v) t.b, t[2] = nil end",
        "1\t5\na\t1",
    ),
    "what was added later does not come": (
        "local t = {b = 1} for k in pairs(t) do t.a, t.c = 1, 1 print(k) end print(next(t))",
        "b\na\t1",
    ),
    "own __pairs": (
        "local function step(_, key) if not key then return 1, 'own' end end "
        "local t = setmetatable({}, {__pairs = function(t) return step, t, nil, 'more' end}) "
        "for k, v in pairs(t) do print(k, v) end print(select('#', pairs(t)))",
        "1\town\n3",
    ),
    "the parts of pairs by hand": (
        "local step, t, key = pairs({a = 1, b = 2}) print(step(t, key)) print(step(t, 'a')) print(step(t, 'b')) "
        "print(step(t, nil)) print(step({z = 3}))",
        "a\t1\nb\t2\nnil\na\t1\nz\t3",
    ),
    "a list by hand": (
        "local step, t = pairs({7, 8}) print(step(t)) print(step(t, 1)) print(step(t, 2))",
        "1\t7\n2\t8\nnil",
    ),
    "next of a key that is gone": ("local t = {a = 1, c = 3} print(next(t, 'b'))", "c\t3"),
    "next of a position that is gone": (
        "local t = {1, 2, 3} t[2] = nil print(next(t, 1)) print(next(t, 2))",
        "3\t3\n3\t3",
    ),
    "next after a first look": ("local t = {b = 1} local k = next(t) t.a = 0 print(next(t, k))", "a\t0"),
    "a queue of names": (
        "local t, s = {a = 1, b = 1}, '' while next(t) do local k = next(t) t[k] = nil s = s .. k "
        "if k == 'b' then t.a, t.c = 1, 1 end if #s > 3 then t.a = nil end end print(s)",
        "abac",
    ),
    "a walk after a queue": (
        "local t = {a = 1, b = 2, c = 3} for _ = 1, 2 do t[next(t)] = nil end t.a = 1 local s = '' "
        "for k in next, t do s = s .. k end print(s)",
        "ca",
    ),
    "objects made by hand": (
        "local a, b = {name = 'a'}, {name = 'b'} local t = {[b] = true, [a] = true} "
        "for k in pairs(t) do print(k.name) end a.name = 'z' for k in pairs(t) do print(k.name) end",
        "a\nb\nz\nb",
    ),
    "an empty table": ("print(next({})) for k in pairs({}) do print(k) end", "nil"),
}


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_through_a_table(lua, name: str) -> None:
    script, printed = WALKS[name]
    assert "\n".join(lua.printed(script)) == printed


def test_keys_that_nothing_tells_apart_are_refused(lua) -> None:
    script = "local t = {}\nfor i = 1, 3 do t[{}] = true end\nfor k in pairs(t) do print(k) end"
    error = lua.error(script)
    assert error.code == "lua-error"
    assert "keep them in a list" in str(error)
    assert lua.place(script).line == 3


SETS = {
    "engines": ("FluidEngine.new{domain_size = {8, 8, 8}}", "FluidEngine.new{domain_size = {8, 8, 8}}"),
    "objects of the scene": ('scene.object("a")', 'scene.object("a")'),
    "coroutines": ("coroutine.create(print)", "coroutine.create(print)"),
    "wrapped coroutines": ("coroutine.wrap(print)", "coroutine.wrap(print)"),
    "Lua's own functions": ("math.cos", "math.sin"),
    "functions of the library": ("coroutine.create", "string.rep"),
    "methods": ("sim.step", "sim.fill"),
    "tables of the interface": ("FluidEngine", "Format"),
    "the main coroutine": ("coroutine.running()", "coroutine.create(print)"),
}


@pytest.mark.parametrize("what", SETS)
def test_L15_sets_of_what_the_interface_gives_have_an_order(lua, what: str) -> None:
    begin = f"sim = FluidEngine.new{{domain_size = {{8, 8, 8}}}}\nlocal a, b = {', '.join(SETS[what])}\n"
    walk = "local seen = {} for k in pairs({[b] = true, [a] = true}) do seen[#seen + 1] = k end"
    again = "for k in next, {[a] = true, [b] = true} do assert(rawequal(k, table.remove(seen, 1))) end"
    script = f"{begin}{walk} print(rawequal(seen[1], a), rawequal(seen[2], b)) {again}"
    assert lua.printed(script, find_object=lambda _name: None) == ["true\ttrue"]


@pytest.mark.parametrize("value", ["nil", "5", "'x'", "print"])
@pytest.mark.parametrize("call", ["pairs", "next"])
def test_what_is_no_table_is_refused_as_in_lua(lua, call: str, value: str) -> None:
    place = "for iterator" if call == "pairs" else "next"
    (line,) = lua.printed(f"print(pcall({call}, {value}))")
    kind = {"nil": "nil", "5": "number", "'x'": "string", "print": "function"}[value]
    assert line == f"false\tbad argument #1 to '{place}' (table expected, got {kind})"


keys = st.one_of(st.integers(-3, 12), st.sampled_from([0.5, -1.5, 1e300]), st.text("abcü\0", max_size=3), st.booleans())


def literal(key: object) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, str):
        return '"' + "".join(f"\\{byte:03d}" for byte in key.encode()) + '"'
    return repr(key)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(keys, st.booleans()), max_size=25), st.randoms(use_true_random=False))
def test_pairs_and_next_agree_and_leave_nothing_out(changes: list[tuple[object, bool]], rng: random.Random) -> None:
    from fluid_addon.script.context import LuaContext

    lines: list[str] = []
    held = {}
    text = "local t = {}\n"
    for key, present in changes:
        text += f"t[{literal(key)}] = {'1' if present else 'nil'}\n"
        held.pop((type(key), key), None)
        if present:
            held[(type(key), key)] = literal(key)
    order = list(held.values())
    rng.shuffle(order)
    text += "local u = {}\n" + "".join(f"u[{key}] = 1\n" for key in order)
    text += "local function q(k) return ('%q'):format(k) end\n"
    for walk in ("pairs(t)", "next, t", "pairs(u)", "next, u"):
        text += f"do local s = {{}} for k in {walk} do s[#s + 1] = q(k) end print(#s, table.concat(s, ' ')) end\n"
    with LuaContext(log=lines.append) as context:
        context.run_source(text, "walk.lua")
    assert len(set(lines)) == 1
    assert lines[0].startswith(f"{len(held)}\t")


# ===== Sorting


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(st.integers(-5, 5), st.sampled_from([0.0, -0.0, 1.0, 2.5, -3.0])), max_size=60))
def test_a_sort_is_stable(numbers: list[float]) -> None:
    from fluid_addon.script.context import LuaContext

    lines: list[str] = []
    rows = ", ".join(f"{{{number!r}, {at}}}" for at, number in enumerate(numbers))
    script = (
        f"local rows, plain = {{{rows}}}, {{{', '.join(map(repr, numbers))}}}\n"
        "table.sort(rows, function(a, b) return a[1] < b[1] end) table.sort(plain)\n"
        "for i, row in ipairs(rows) do print(row[2], row[1], plain[i]) end"
    )
    with LuaContext(log=lines.append) as context:
        context.run_source(script, "sort.lua")
    expected = sorted(enumerate(numbers), key=lambda pair: pair[1])
    assert [int(line.split("\t")[0]) for line in lines] == [at for at, _ in expected]
    for line in lines:
        _, in_row, in_plain = line.split("\t")
        assert in_row == in_plain


@pytest.mark.parametrize("size", [9999, 10001, 25000])
def test_a_long_list_is_sorted(lua, size: int) -> None:
    script = (
        f"local t = {{}} for i = 1, {size} do t[i] = i * 7919 % {size} end table.sort(t) "
        "for i = 2, #t do assert(t[i - 1] <= t[i]) end "
        f"local s = {{}} for i = 1, {size} do s[i] = 'k' .. i * 7919 % {size} end table.sort(s) "
        "for i = 2, #s do assert(s[i - 1] <= s[i]) end print(#t, #s)"
    )
    assert lua.printed(script) == [f"{size}\t{size}"]


def test_a_sort_that_fails_leaves_the_list_as_it_was(lua) -> None:
    script = "local t = {3, 1, {}, 2} print(pcall(table.sort, t)) print(t[1], t[2], t[4])"
    lines = lua.printed(script)
    assert lines[0].startswith("false\tattempt to compare")
    assert lines[1] == "3\t1\t2"


def test_weak_tables_hold_what_they_hold(lua) -> None:
    script = """
    local meta = {__mode = "k", __name = "cache"}
    local cache = setmetatable({}, meta)
    for i = 1, 3 do cache[setmetatable({}, {})] = i end
    local waste = {} for i = 1, 1e5 do waste[i % 10] = {i} end
    local n = 0 for _ in pairs(cache) do n = n + 1 end
    print(n, meta.__mode, meta.__name)
    """
    assert lua.printed(script, memory_mb=64) == ["3\tnil\tcache"]


def test_a_mode_put_in_later_is_taken_out_by_the_next_setmetatable(lua) -> None:
    """Until then it works, which is not promised (docs/lua-reference.md)."""
    script = """
    local meta = {}
    local cache = setmetatable({}, meta)
    meta.__mode = "k"
    setmetatable({}, meta)
    for i = 1, 3 do cache[setmetatable({}, {})] = i end
    local waste = {} for i = 1, 1e5 do waste[i % 10] = {i} end
    local n = 0 for _ in pairs(cache) do n = n + 1 end
    print(n, meta.__mode)
    """
    assert lua.printed(script, memory_mb=64) == ["3\tnil"]
