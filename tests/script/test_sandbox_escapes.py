# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways out of a Lua sandbox that are known from other hosts, and what each comes to here.

D: an error; T: stopped by the clock; M: stopped by the memory limit; otherwise what the script prints.
The numbers are those of the corpus of escapes that this sandbox was designed against.
"""

from __future__ import annotations

import pytest

from fluid_addon.diagnostics import fail
from fluid_addon.script.sandbox import spoken

D, T, M = ["lua-error"], ["lua-timeout"], ["lua-memory"]

LOOP = "function() while true do end end"

ESCAPES = {
    "d01-require-os": ("require('os').execute('id')", ["module-missing"]),
    "d01-package-loaded": ("print(package.loaded.io)", D),
    "d01-loadlib": ("package.loadlib('libc.so.6', 'system')", D),
    "d02-popen": ("io.popen('id')", D),
    "d02-exit": ("os.exit(0)", D),
    "d02-getenv": ("os.getenv('HOME')", D),
    "d02-setlocale": ("os.setlocale('de_DE.UTF-8')", D),
    "d03-dofile": ("dofile('/etc/passwd')", D),
    "d03-loadfile": ("loadfile('/etc/passwd')", D),
    "d04-registry": ("debug.getregistry()", D),
    "d04-upvalue": ("debug.getupvalue(print, 1)", D),
    "d04-sethook": ("debug.sethook() while true do end", D),
    "d05-builtins": ("python.builtins.open('/etc/passwd')", D),
    "d05-eval": ("python.eval('1')", D),
    "d05-iter": ("python.iter(print)", D),
    "d06-walk": ("print(_G._G._G.io, _G._G.os, _G._G._G.debug, _G._G.python)", "nil\tnil\tnil\tnil"),
    "d07-load-globals": ("print(load('return io or os or debug or python or package')())", "nil"),
    "d08-load-env": ("print(load('return _ENV')() == _G)", "true"),
    "d09-load-bytecode": (r"print((load('\27Lua', 'b', 'b')))", "nil"),
    "d09-reader-bytecode": (r"local n = 0 print((load(function() n = n + 1 return ({'\27', 'Lua'})[n] end)))", "nil"),
    "d10-dump": ("string.dump(print)", D),
    "d10-dump-method": ("(''):dump()", D),
    "d11-string-metatable": ("getmetatable('').__index = {}", D),
    "d11-set-metatable": ("setmetatable('', {})", D),
    "d12-own-copy": ("string.format = nil print(('x'):rep(2))", "xx"),
    "d13-coroutine": ("print(coroutine.wrap(function() return io or os end)())", "nil"),
    "d14-function-metatable": ("print(getmetatable(print), getmetatable(1))", "nil\tnil"),
    "d16-while": ("while true do end", T),
    "d16-goto": ("::a:: goto a", T),
    "d17-pcall": (f"while true do pcall({LOOP}) end", T),
    "d18-handler": (f"xpcall(error, {LOOP})", T),
    "d19-nested-handler": ("local function h() xpcall(error, h) end while true do xpcall(error, h) end", T),
    "d20-resume": (f"coroutine.resume(coroutine.create({LOOP}))", T),
    "d20-wrap": (f"coroutine.wrap({LOOP})()", T),
    "d20-wrap-pcall": (f"while true do pcall(coroutine.wrap({LOOP})) end", T),
    "d20-nested-wraps": ("local function f() coroutine.wrap(f)() end f()", D),
    "d20-many-slices": (
        "local function w() for i = 1, 9000 do local x = i end end "
        "local function v() for i = 1, 5000 do coroutine.wrap(w)() end end while true do coroutine.wrap(v)() end",
        T,
    ),
    "d20-many-resumes": (
        "local co = coroutine.create(function() while true do for i = 1, 20000 do end coroutine.yield() end end) "
        "while true do coroutine.resume(co) end",
        T,
    ),
    "d21-gc": (f"setmetatable({{}}, {{__gc = {LOOP}}})", D),
    "d21-gc-false": ("setmetatable({}, {__gc = false})", D),
    "d22-gc-later": (f"local m = {{}} local t = setmetatable({{}}, m) m.__gc = {LOOP} t = nil print('on')", "on"),
    "d23-close": (f"do local x <close> = setmetatable({{}}, {{__close = {LOOP}}}) end", T),
    "d23-close-caught": (
        f"pcall(function() local x <close> = setmetatable({{}}, {{__close = {LOOP}}}) error('x') end)",
        T,
    ),
    "d23-close-coroutine": (
        "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = "
        + LOOP
        + "}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
        T,
    ),
    "d24-tostring": (f"error(setmetatable({{}}, {{__tostring = {LOOP}}}))", T),
    "d25-index-recursion": (
        "local m = {} m.__index = function(t, k) return t[k] end return setmetatable({}, m).x",
        D,
    ),
    "d26-concat-len": (
        "table.concat(setmetatable({}, {__len = function() return 1e9 end, __index = function() return '' end}))",
        D,
    ),
    "d27-insert-len": ("table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 2)", D),
    "d27-remove-len": ("table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)", D),
    "d27-len-twice": (
        "local n = 0 table.insert(setmetatable({}, {__len = function() n = n + 1 return n << 40 end}), 1, 2)",
        D,
    ),
    "d28-move": ("table.move({}, 1, math.maxinteger - 1, 2)", D),
    "d28-move-all": ("table.move({}, math.mininteger, math.maxinteger - 1, 2)", D),
    "d29-rep-empty": ("print(#(''):rep(1 << 60))", "0"),
    "d29-rep-huge": ("('x'):rep(1 << 60)", D),
    "d30-sort": ("local t = {} for i = 1, 1e4 do t[i] = i end while true do table.sort(t) end", T),
    "d30-sort-large": ("local t = {} for i = 1, 1e5 do t[i] = -i end while true do table.sort(t) end", T),
    "d49-newindex": (
        "local t = setmetatable({}, {__newindex = error, __index = error}) print((pcall(sim.fill, sim, 'u', t)))",
        D,
    ),
    "d50-changes-while-read": (
        "local t = {} for i = 1, 100 do t['k' .. i] = i end "
        "setmetatable(t, {__index = function() t.more = 1 end, __len = function() t.most = 1 end}) "
        "FluidEngine.new(t)",
        ["plan-shape"],
    ),
    "d52-args": ("FluidEngine.new(python.args({_admin = true}))", D),
    "d52-keywords": ("FluidEngine.new{_admin = true}", ["unknown-option"]),
    "d53-exception": (
        "sim = FluidEngine.new{domain_size = {1, 1, 1}} local _, e = pcall(sim.step, sim, {}) "
        "print(type(e), e.__traceback__, e.args, getmetatable(e))",
        "string\tnil\tnil\tfalse",
    ),
    "d55-frames": (
        "local co = coroutine.wrap(function() end) print(pcall(function() return co.gi_frame or co.cr_frame end))",
        "false\tsmoke.lua:1: attempt to index a function value (upvalue 'co')",
    ),
    # What was wrong in Lua before 5.4.8, as far as a script can come near it.
    "cve-2022-28805-constant-environment": (
        "local print, load = print, load local f = load('local _ENV <const> = {} X = 5 return X') print(f())",
        "5",
    ),
    "cve-2022-33099-errors-in-handlers": (
        "local function h(e) return e .. {} end print((pcall(xpcall, error, h)), (xpcall(h, h, 'x')))",
        "true\tfalse",
    ),
    "cve-2021-43519-yields-at-depth": (
        "local function f(n) if n == 0 then coroutine.yield() end return pcall(f, n - 1) end "
        "for n = 150, 230 do local co = coroutine.wrap(f) pcall(co, n) pcall(co) end print('on')",
        "on",
    ),
    "pattern-backtracking": ("(('a'):rep(64)):find(('.-'):rep(30) .. 'b')", D),
    "pattern-hidden-in-a-set": ("(('a'):rep(64)):find('[%%]*' .. ('.-'):rep(30) .. ']')", D),
    "pattern-loop": ("local s = ('a'):rep(2000) while true do s:find('a*b') end", T),
    "pattern-plain": ("local s = ('a'):rep(1e6) s:find(('a'):rep(5e5) .. 'b', 1, true)", D),
    "strings-loop": ("local s = ('a'):rep(1e6) while true do s:upper() end", T),
    "load-loop": ("while true do load('x = 1') end", T),
    "d15-print-loop": ("while true do print('x') end", T),
    "refusal-loop": ("while true do pcall(function() FluidEngine.nwe() end) end", T),
    "property-loop": ("sim = FluidEngine.new{domain_size = {1, 1, 1}} while sim.frame < 10 do end", T),
    "failing-call-loop": (
        "sim = FluidEngine.new{domain_size = {1, 1, 1}} while true do pcall(sim.step, sim, 'x') end",
        T,
    ),
    "L08-memory-table": ("local t = {} while true do t[#t + 1] = {} end", M),
    "L08-memory-string": ("local s = 'x' while true do s = s .. s end", M),
    "L08-memory-caught": ("local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end", M),
    "L08-memory-coroutines": ("local t = {} while true do t[#t + 1] = coroutine.create(print) end", M),
    "L08-memory-in-coroutine": ("coroutine.wrap(function() local t = {} while true do t[#t + 1] = {} end end)()", M),
    "L08-memory-in-handler": ("xpcall(error, function() local t = {} while true do t[#t + 1] = {} end end)", M),
    "L08-memory-through-answers": (
        "local t = {} while true do local _, e = pcall(function() return params[('x'):rep(1e5)] end) t[#t + 1] = e"
        " t[#t + 1] = ('x'):rep(1e6) .. #t end",
        M,
    ),
    "L08-memory-stack": ("local function f() return 1 + f() end f()", M),
    "engine-metatable": (
        "print(getmetatable(FluidEngine), getmetatable(Format), getmetatable(params))",
        "false\tfalse\tfalse",
    ),
    "engine-set-metatable": ("setmetatable(FluidEngine, {})", D),
    "engine-method-on-a-table": ("sim = FluidEngine.new{domain_size = {1, 1, 1}} sim.step({}, 1)", ["bad-argument"]),
    "d54-attributes": ("print(pcall(function() return FluidEngine.new.__globals__ end))", None),
    "d58-chunk-name": (r"print(load('x x', '=a\27[31m\nb'))", None),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_an_escape_comes_to_nothing(lua, name: str) -> None:
    script, expected = ESCAPES[name]
    code = lua.code(script, seconds=0.15 if expected == T else 10, memory_mb=16)
    if isinstance(expected, list):
        assert [code] == expected
    else:
        assert code == "done"
        if expected is not None:
            assert lua.lines == [expected]
    assert not any("\x1b" in line or "\n" in line for line in lua.lines if not line.startswith("Lua Script Error"))
    lua.lines.clear()
    assert lua.printed("print(40 + 2)") == ["42"]


def test_no_file_of_the_machine_is_quoted(lua) -> None:
    for call in ("dofile", "loadfile", "require", "load"):
        lua.code(f"print(pcall({call}, '/etc/passwd'))", seconds=1)
    assert not any("root:" in line for line in lua.lines)


def test_d15_what_a_script_prints_is_bounded(lua) -> None:
    lua.run("for i = 1, 50 do print(('x'):rep(100000)) end")
    assert len(lua.lines) == 50
    assert {len(line) for line in lua.lines} == {4096 + len("…")}


def test_all_that_a_script_prints_is_bounded(lua) -> None:
    lua.run("for i = 1, 3000 do print(('x'):rep(4000)) end")
    assert sum(map(len, lua.lines)) < 4.2 * 1024 * 1024
    assert lua.lines[-1] == "(the script has printed 4 MB; the rest is dropped)"


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        (r"'a\nb\27[31m\r\0'", ["a", r"b\x1b[31m\r\x00"]),
        (r"'\u{202E}x\u{200B}'", [r"\u202ex\u200b"]),
        (r"'\xff\xfe'", [r"\udcff\udcfe"]),
        ("1, nil, true, 'ü'", ["1\tnil\ttrue\tü"]),
        ("setmetatable({}, {__tostring = function() return 'mine' end})", ["mine"]),
    ],
)
def test_printed_text_cannot_disguise_itself(lua, printed: str, lines: list[str]) -> None:
    assert lua.printed(f"print({printed})") == lines


HONEST = {
    "trim": ("print(('  a b  '):match('^%s*(.-)%s*$') .. '|')", "a b|"),
    "gsub-of-a-long-text": ("print(#(('ab '):rep(40000):gsub('%s+', '')))", "80000"),
    "split": ("local n = 0 for w in ('a,b,,c'):gmatch('([^,]*)') do n = n + 1 end print(n)", "4"),
    "format": ("print(('%05.2f %s %q'):format(1.5, {} ~= nil, 'a'))", '01.50 true "a"'),
    "arithmetic-of-strings": ("print('10' + 1, '0x10' * 2)", "11\t32"),
    "class": (
        "local A = {} A.__index = A function A.new() return setmetatable({}, A) end function A:f() return 7 end "
        "local a = A.new() table.insert(a, 5) table.insert(a, 1, 4) print(a:f(), a[1], a[2], table.remove(a), #a)",
        "7\t4\t5\t5\t1",
    ),
    "inheritance-of-strings": ("function string.twice(s) return s .. s end print(('ab'):twice())", "abab"),
    "sort-with-order": (
        "local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) print(table.concat(t, ' '))",
        "3 2 1",
    ),
    "sort-large": ("local t = {} for i = 1, 20000 do t[i] = -i end table.sort(t) print(t[1], t[20000])", "-20000\t-1"),
    "unpack": ("print(table.unpack({1, 2, 3}, 2))", "2\t3"),
    "move": ("print(table.concat(table.move({1, 2, 3}, 1, 3, 2), ','))", "1,1,2,3"),
    "coroutine": (
        "local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) print(co(1), co(5))",
        "2\t10",
    ),
    "coroutine-status": (
        "local co = coroutine.create(function() error('x', 0) end) print(coroutine.resume(co)) "
        "print(coroutine.status(co))",
        "false\tx\ndead",
    ),
    "running": ("local _, main = coroutine.running() print(main, coroutine.isyieldable())", "true\tfalse"),
    "wrap-error": ("print(pcall(coroutine.wrap(function() error('inside', 0) end)))", "false\tinside"),
    "pcall-results": ("print(pcall(function(...) return ... end, 1, nil, 3))", "true\t1\tnil\t3"),
    "xpcall-handler": ("print(xpcall(error, function(m) return m .. '!' end, 'oh'))", "false\toh!"),
    "error-values": ("print(select(2, pcall(error, {code = 5})).code)", "5"),
    "own-error-has-no-position-of-ours": (
        "print(pcall(string.rep, 'x', {}))",
        "false\tbad argument #2 to 'rep' (number expected, got table)",
    ),
    "close": ("do local x <close> = setmetatable({}, {__close = function() print('closed') end}) end", "closed"),
    "integer-division": ("print(7 // 2, 7 / 2, 2^53 | 0)", "3\t3.5\t9007199254740992"),
    "utf8": ("print(utf8.len('äö'), utf8.char(228))", "2\tä"),
    "load-with-env": ("print(load('return x', 'n', 't', {x = 3})())", "3"),
    "load-named-arguments": ("print(load('return (function(t) return t.a end)(a = 4)')())", "4"),
    "load-pieces": ("local p = {'return ', '5'} local i = 0 print(load(function() i = i + 1 return p[i] end)())", "5"),
    "next-and-pairs": ("local n = 0 for _ in pairs({1, 2, x = 3}) do n = n + 1 end print(n, next({}))", "3\tnil"),
    "goto-continue": ("local n = 0 for i = 1, 5 do if i % 2 == 0 then goto go end n = n + i ::go:: end print(n)", "9"),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_lua_works(lua, name: str) -> None:
    script, printed = HONEST[name]
    assert "\n".join(lua.printed(script)) == printed


def test_random_numbers_repeat(lua) -> None:
    script = "print(math.random(1, 1e9), math.random()) math.randomseed() print(math.random(1, 1e9))"
    first = lua.printed(script)[:]
    assert lua.printed(script) == first * 2
    assert first[0].split("\t")[0] == first[1]


def test_L19_a_script_that_overwrites_libraries_harms_no_other(lua) -> None:
    lua.run("string.format = nil math.floor = nil print = nil pcall = nil table.concat = nil string.rep = nil")
    assert lua.printed("print(math.floor(1.5), ('%d'):format(3), table.concat({1, 2}))") == ["1\t3\t12"]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ('There is no "/home/o\'brien/art/x.vdb".', 'There is no "…/x.vdb".'),
        ("Cannot write 'C:\\Users\\ann\\x.vdb': \"/tmp/a/x\".", "Cannot write '…/x.vdb': \"…/x\"."),
        ('It\'s "\\\\server\\share\\x.vdb" and "C:/a/x".', 'It\'s "…/x.vdb" and "…/x".'),
        ('There is no field "\x1b[31m\u202e".', 'There is no field "\\x1b[31m\\u202e".'),
        ('"\\d" is no "/"; known: "/a", "b/c".', '"\\d" is no "/"; known: "/a", "b/c".'),
    ],
)
def test_what_a_script_hears_is_whole_but_for_folders(said: str, heard: str) -> None:
    assert spoken(fail("disk-error", said)) == heard
