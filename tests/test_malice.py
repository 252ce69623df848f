# SPDX-License-Identifier: GPL-3.0-or-later
"""Malice from end to end: hostile scripts through a real worker, as an artist would run them. What they may leave
behind is a bake that its manifest describes, and a message that a terminal can show.

`tests/script/test_malice.py` does the same to the sandbox alone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine
from fluid_addon.run import RunRequest, WorkerRun
from fluid_addon.run.events import error_event
from fluid_addon.run.run_log import last_log
from fluid_addon.script.context import LuaContext
from fluid_addon.volumes.bake import Bake

SIM = """
local sim = FluidEngine.new{domain_size = {16, 16, 16}}
sim:add_field("density", Format.R32F, 0)
"""

#: Each with what it wants, and the exit codes that are right for it: 0 where it does no harm.
SCRIPTS = {
    "writes where it should not": (
        SIM
        + """
        local tries = {"manifest.json", ".lock", "frame_000001-00000000.checkpoint", "../x.vdb", "/tmp/x.vdb",
            "C:\\\\x.vdb",
            "a/../../x.vdb", "CON.vdb", "x.vdb\\0.txt", ".x.vdb", "x.vdb ",
            "a//b.vdb", "~/x.vdb", "$HOME/x.vdb",
            "smoke\\u{202e}bdv.vdb", ("y"):rep(5000) .. ".vdb", "", ".", "..", "x\\n.vdb", "\\u{ff0e}\\u{ff0e}/x.vdb"}
        local written = 0
        for _, path in ipairs(tries) do
            if pcall(sim.export_vdb, sim, path) then written = written + 1 end
        end
        print("written", written)
        sim:step(1)
        sim:export_vdb("good.vdb")
        """,
        {0},
    ),
    "reads what it should not": (
        SIM
        + """
        local paths = {"/etc/passwd", "../../../../etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin", "."}
        for _, path in ipairs(paths) do
            local ok, said = pcall(sim.load, sim, "density", path)
            assert(not ok, path)
            assert(not said:find("root:") and not said:find("PATH="), said)
            assert(not pcall(FluidEngine.new, {grid_file = path}), path)
            assert(not pcall(require, path), path)
        end
        """,
        {0},
    ),
    "speaks to the terminal": (
        """
        print("\\27[2J\\27]0;owned\\7\\27[31m red \\r over \\b\\b \\u{202e}backwards\\u{9b}2J")
        warn("\\27]52;c;aGFjaw==\\7 clipboard")
        error("\\27[8m hidden \\27]8;;file:///etc/passwd\\27\\\\click\\27]8;;\\27\\\\")
        """,
        {3},
    ),
    "has a name that is not UTF-8": (
        SIM
        + """
        sim:step(1)
        sim:export_vdb("good.vdb")
        warn("\\xff\\xed\\xa0\\x80")
        local t = {["\\xff\\u{9b}31m\\u{202e}"] = function() error("\\xff deep") end}
        t["\\xff\\u{9b}31m\\u{202e}"]()
        """,
        {3},
    ),
    "cannot be stopped": (
        SIM
        + """
        local function again() while true do pcall(error) end end
        setmetatable(_G, {__index = again})
        while true do
            pcall(coroutine.wrap(function() pcall(again) end))
            xpcall(again, again)
        end
        """,
        {3},
    ),
    "eats the host by small calls": (
        SIM
        + """
        for i = 1, 1e9 do pcall(sim.read, sim, ("f"):rep(200) .. i, {1, 2, 3}) end
        """,
        {3, 6, 130},
    ),
    "eats the device": (
        """
        local kept = {}
        for i = 1, 1e6 do
            local sim = FluidEngine.new{domain_size = {64, 64, 64}}
            for j = 1, 1e6 do
                sim:add_field("f" .. j, Format.R32G32B32A32F, 0)
                if j % 50 == 0 then sim:fill("f" .. j, 1) end
            end
            kept[i] = sim
        end
        """,
        {3, 4, 6, 130},
    ),
    "hangs the device": (
        SIM
        + """
        sim:add_stencil("spin", {inputs = {"density"}, outputs = {"density_new"}, code = [[
            float d = ReadField("density", idx);
            int i = 0;
            while (d >= 0.0) { d = abs(sin(d + float(i++))); }
            WriteField("density_new", idx, d);
        ]]})
        sim:step(1)
        sim:export_vdb("never.vdb")
        """,
        {3},
    ),
    "leaves the stencil": (
        SIM
        + """
        local bodies = {
            "} void main() { ", "#include \\"/etc/passwd\\"", "#version 450", "%:define x", "??=define x", "/*",
            "//\\\\\\n#define x",
            "layout(binding = 0) buffer B { uint x[]; };", "fs_status.words[0] = 0u;",
            "gl_WorkGroupSize;", "barrier();",
            "for (;;) {}", "while (true) {}", "do {} while (1 == 1);", "shared float s;", "discard;",
            "int f() { return 1; }",
            "uint64_t a = 1ul;", "float a[1 << 30]; a[idx] = 1.0; WriteField('density_new', idx, a[frame]);",
            ("("):rep(1e5), ("a"):rep(1e6),
            "WriteField(\\"other\\", idx, 1.0);",
            "atomicAdd(fs_at_density, 1)", "debugPrintfEXT(\\"x\\");", "subgroupBarrier();", "float \\u{430} = 1.0;",
            "ReadField(\\"density\\", idx);" .. "\\0" .. "}", "stencil(0, ivec3(0));", "struct S { int a; }; S s;",
        }
        for number, body in ipairs(bodies) do
            local code = body .. "\\nWriteField('density_new', idx, 1.0);"
            local stencil = {inputs = {"density"}, outputs = {"density_new"}, code = code}
            assert(not pcall(sim.add_stencil, sim, "s" .. number, stencil), body)
        end
        """,
        {0},
    ),
    "takes places that are none": (
        SIM
        + """
        sim:add_stencil("far", {inputs = {"density"}, outputs = {"density_new"}, code = [[
            float d = ReadField("density", 0x7fffffff) + ReadField("density", -0x7fffffff - 1);
            d += ReadField("density", idx * 65537);
            d += ReadField("density", ivec3(0x7fffffff)) + ReadField("density", coord * 0x10001);
            d += SampleField("density", vec3(1e38)) + SampleField("density", vec3(0.0 / float(frame - 1)));
            float local[4]; local[int(time * 1e9) & 0x7fffffff] = 1.0; d += local[-frame];
            WriteField("density_new", idx, isnan(d) ? 0.0 : d);
        ]]})
        for i = 1, 3 do sim:step(0.1) end
        """,
        {0},
    ),
    "lies about what it is": (
        """
        local fake = setmetatable({}, {__index = function() return function() return fake end end, __name = "engine"})
        local real = FluidEngine.new{domain_size = {16, 16, 16}}
        for name in pairs(getmetatable("").__index) do string[name] = nil end
        table.concat = error; math.floor = nil; pairs = nil; tostring = nil; print = nil; error = nil
        assert(not pcall(real.add_field, fake, "density", Format.R32F, 0))
        assert(not pcall(real.add_field, real, fake, fake, fake))
        real:add_field("density", Format.R32F, setmetatable({0}, {__len = function() return 1 << 60 end}))
        """,
        {3},
    ),
}


def run(script: Path, folder: Path) -> tuple[int, list[dict[str, Any]], float]:
    worker = WorkerRun(RunRequest(str(script), str(folder), lua_seconds=2.0, memory_mb=2500, checkpoint_seconds=1e-9))
    begun, events, asked = time.monotonic(), [], False
    try:
        for event in worker.events():
            events.append(event)
            if not asked and time.monotonic() - begun > 100.0:
                asked = True
                worker.cancel()
    finally:
        worker.close()
    return events[-1]["exit_code"], events, time.monotonic() - begun


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of these tests alone: the last log in it is that of their own last run."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at folders of Linux")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name == "eats the device" else name for name in SCRIPTS]
)
def test_malice_finds_nothing(tmp_path: Path, name: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, codes = SCRIPTS[name]
    script = tmp_path / "script" / "evil.lua"
    script.parent.mkdir()
    script.write_text(text, "utf-8")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache))
    monkeypatch.setenv("FLUID_TEST_TOKEN", "a secret")
    code, events, seconds = run(script, tmp_path / "bakes")
    said = [item["text"] for event in events if event["event"] == "error" for item in event["diagnostics"]]
    assert code in codes, (code, said)
    assert "Internal error" not in "".join(said)
    assert seconds < 200
    told = said + [str(event["text"]) for event in events if event["event"] in ("log", "note")]
    told += last_log().read_text("utf-8").splitlines()
    assert not [text for text in told if any(not c.isprintable() and c not in "\n\t" for c in text)]
    assert not [text for text in told if "a secret" in text]
    assert {path.name for path in tmp_path.iterdir()} <= {"script", "bakes", "home"}
    assert {path.name for path in script.parent.iterdir()} == {"evil.lua"}
    assert not list(home.iterdir())
    for folder in (tmp_path / "bakes").iterdir() if (tmp_path / "bakes").exists() else ():
        bake = Bake.open(folder)
        assert bake.damaged(checksums=True) == []
        assert bake.free() == []
    assert not Path("/tmp/x.vdb").exists()


#: What a script may say of a text, `E`, to an engine `sim` that has a field "density": each ends with an error.
SAYINGS = """\
sim:fill(E, 1)
sim:fill({[E] = {print}})
sim:fill("density", {x = E})
sim:fill(setmetatable({}, {__name = E}), 1)
sim.fill(E)
sim:run_stencil(E, 1)
sim:step(E)
sim:solved(E)
sim:reduce(E, "sum")
sim:reduce("density", E)
sim:read(E, {0, 0, 0})
sim:enable(E)
sim:activate{field = E}
sim:add_field(E, Format.R32F, 0)
sim:add_stencil(E, {outputs = {"density_new"}, code = ""})
sim:add_stencil("s", {outputs = {E}, code = ""})
sim:add_stencil("s", {inputs = {E}, outputs = {"density_new"}, code = ""})
sim:add_stencil("s", {inputs = E, outputs = {"density_new"}, code = ""})
sim:add_stencil("s", {outputs = {"density_new"}, code = E})
sim:add_stencil("s", {outputs = {"density_new"}, code = 'WriteField("' .. E .. '", idx, 1.0);'})
sim:add_stencil("s", {outputs = {"density_new"}, code = 'WriteField("density", idx, params.' .. E .. ');'})
sim:add_solver("s", {unknown = E, rhs = E})
sim:add_solver(E, {unknown = "density", rhs = "density", faces = E})
sim:add_object(E, E)
sim:load("density", E)
sim:load("density", E .. ".vdb")
sim:load(E, "x.vdb")
sim:export_vdb(E .. ".vdb")
sim:export_vdb("x." .. E)
sim:export_vdb("x.vdb", {fields = E})
sim:export_vdb("x.vdb", {fields = {E}})
sim:run{frames = 1, export = E}
sim:run{frames = 1, substeps = E}
sim:run{[E] = 1}
sim[E] = 1
return sim[E], scene[E], Format[E], params[E], FluidEngine[E]
return Format[E]
return params[E]
return FluidEngine[E]
scene.object(E)
return scene[E]
FluidEngine.new{grid_file = E}
FluidEngine.new{grid_file = "\\\\\\\\" .. E .. "\\\\x.vdb"}
FluidEngine.new{domain_size = E}
FluidEngine.new{domain_size = {8, 8, 8}, boundary = E}
param(E, {default = 1})
param("a", {default = E})
require(E)
error(E)
error({message = E})
error(setmetatable({}, {__tostring = function() return E end}))
load("error('x')", E)()
error(select(2, load("x x", E)))
_G[E]()
local t = {} t.x[E] = 1
local t = {[E] = function() error("deep") end} t[E]()
return 1 + E
string.format(E .. "%y", 1)
setmetatable({}, {__name = E})()
"""


@pytest.mark.parametrize("said", ["\\27[31mX\\u{202e}\\7", "\\27]52;c;aGFjaw==\\7", "\\xff\\u{9b}\\u{d800}"])
def test_no_message_speaks_to_the_terminal(said: str, tmp_path: Path) -> None:
    def make(**options: Any) -> FluidEngine:
        return FluidEngine(**options, environment=EngineEnvironment(folder=tmp_path, check=True))

    begin = f'local E = "{said}"\nsim:add_field("density", Format.R32F, 0)\n'
    for call in SAYINGS.splitlines():
        logged: list[str] = []
        with LuaContext(log=logged.append) as context:
            context.bind_engine(make)
            with pytest.raises(FluidError) as caught:
                context.run_source(
                    f"sim = FluidEngine.new{{domain_size = {{8, 8, 8}}}} {begin}{call}", f"{chr(27)}.lua"
                )
        told = [*logged, str(caught.value)]
        for item in error_event(caught.value)["diagnostics"]:
            told += [str(value) for value in item.values()]
        raw = [text for text in told if any(not c.isprintable() and c not in "\n\t" for c in text)]
        assert not raw, (call, raw)
