# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a script can name, against a frozen list: what a new lupa or Lua brings along is noticed here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import lupa
import pytest
from lupa import lua54

from fluid_addon.script import sandbox as sandbox_module
from fluid_addon.script.host import vocabulary
from fluid_addon.script.sandbox import Limits, Sandbox

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]

# Walks tables and what getmetatable gives, by names only; a value seen before is not walked again.
WALK = """
local seen = {}
local function walk(path, value)
  print(path .. " " .. type(value))
  if type(value) ~= "table" or seen[value] then return end
  seen[value] = true
  local names = {}
  for name in next, value do names[#names + 1] = tostring(name) end
  table.sort(names)
  for _, name in ipairs(names) do walk(path .. "." .. name, value[name]) end
  local meta = getmetatable(value)
  if meta ~= nil then walk(path .. ":meta", meta) end
end
walk("_G", _G)
for _, value in ipairs({"", 1, true, print}) do
  if getmetatable(value) ~= nil then walk(type(value) .. ":meta", getmetatable(value)) end
end
"""

# With Lua's debug library, which scripts do not have: all that hangs on the script's environment, through tables,
# metatables and, if asked, the upvalues of functions. Says which of Lua's own C functions are there (by their names
# before the sandbox emptied everything), how many objects of Python and threads, and how many tables were looked at.
LOOK_AT_ALL = """
local next, type, remove, concat, sort = next, type, table.remove, table.concat, table.sort
local getupvalue, getmetatable, getinfo = debug.getupvalue, debug.getmetatable, debug.getinfo

local native = {}
for library, value in next, _G do
  if type(value) == "function" then native[value] = library end
  if type(value) == "table" and library ~= "_G" then
    for name, f in next, value do if type(f) == "function" then native[f] = library .. "." .. name end end
  end
end
for _, searcher in next, package.searchers do native[searcher] = "package.searchers" end
for name, f in next, getmetatable("") do native[f] = "operator of strings " .. name end
for name, f in next, getmetatable(python.none) do native[f] = "operator of objects " .. name end

local function upvalues(f)
  local found = {}
  for i = 1, 255 do
    local name, value = getupvalue(f, i)
    if not name then return found end
    found[#found + 1] = {name, value}
  end
end

local function environment(f, depth)
  for _, pair in next, upvalues(f) do
    if pair[1] == "env" then return pair[2] end
    local deeper = depth > 0 and type(pair[2]) == "function" and environment(pair[2], depth - 1)
    if deeper then return deeper end
  end
end

return function(run, with_upvalues)
  local seen, names, tables = {}, {}, 0
  local waiting = {environment(run, 3), getmetatable(""), getmetatable(run), getmetatable(1), getmetatable(true)}
  if with_upvalues then waiting[#waiting + 1] = run end
  while #waiting > 0 do
    local value = remove(waiting)
    local kind = type(value)
    if value ~= nil and not seen[value] then
      seen[value] = true
      if kind == "thread" then names[#names + 1] = "thread" end
      if kind == "userdata" then
        names[#names + 1] = getmetatable(value) and "userdata with a metatable" or "userdata"
        waiting[#waiting + 1] = getmetatable(value)
      end
      if kind == "table" then
        tables = tables + 1
        waiting[#waiting + 1] = getmetatable(value)
        for k, v in next, value do
          waiting[#waiting + 1] = k
          waiting[#waiting + 1] = v
        end
      elseif kind == "function" then
        if getinfo(value, "S").what == "C" then names[#names + 1] = native[value] or "another C function" end
        if with_upvalues then
          for _, pair in next, upvalues(value) do waiting[#waiting + 1] = pair[2] end
        end
      end
    end
  end
  sort(names)
  return tables, concat(names, "\\n")
end
"""


class SilentHost:
    """Answers nothing; the sandbox is only looked at."""

    def serve(self, call: str, arguments: Any) -> tuple[()]:
        raise AssertionError((call, arguments))

    def locate(self, *_line: Any) -> None:
        return None

    def place(self) -> None:
        return None


@pytest.fixture
def looked_at(monkeypatch):
    """A sandbox whose state was given a debug library first, and what is reachable in it: (tables, names)."""
    kept: dict[str, Any] = {}
    make = lua54.LuaRuntime

    def with_debug(**options: Any) -> Any:
        runtime = make(**options)
        kept["look"] = runtime.execute(LOOK_AT_ALL)
        return runtime

    monkeypatch.setattr(sandbox_module.lua54, "LuaRuntime", with_debug)
    sandbox = Sandbox(SilentHost(), Limits(1.0, 16, None), vocabulary())

    def look(with_upvalues: bool) -> tuple[int, list[str]]:
        tables, names = kept["look"](sandbox._run, with_upvalues)
        return tables, names.decode().split("\n") if names else []

    yield look
    sandbox.close()


def frozen(name: str) -> list[str]:
    """The lines of a list, the first of which says for which versions it holds."""
    versions, *lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert versions == f"# lupa {lupa.__version__}, Lua {lua_release()}", (
        "look at each new name, then write the list anew"
    )
    return lines


def lua_release() -> str:
    """The release of the Lua in the wheel, such as 5.4.8, as its library says it."""
    (release,) = set(re.findall(rb"\$LuaVersion: Lua (\S+) ", Path(lua54.__file__).read_bytes()))
    return release.decode()


def test_L18_d62_a_script_reaches_the_frozen_names_and_no_other(lua) -> None:
    assert lua.printed(WALK) == frozen("reachable_names.txt")


def test_L18_d62_no_object_and_few_c_functions_lie_in_any_table_of_a_script(looked_at) -> None:
    tables, names = looked_at(False)
    assert tables > 10
    assert names == frozen("reachable_functions.txt")


def test_L18_d62_what_the_functions_of_the_libraries_hold(looked_at) -> None:
    """One object of Python, the border; of Lua's dangerous functions those that the sandbox itself needs."""
    _, names = looked_at(True)
    assert names == frozen("reachable_upvalues.txt")
    assert [name for name in names if name in ("userdata with a metatable", "thread")] == ["userdata with a metatable"]
    assert {name for name in names if name.startswith("debug.")} == {
        "debug.getinfo",
        "debug.getmetatable",
        "debug.sethook",
    }
    dangerous = ("io.", "os.", "package.", "python.", "dofile", "loadfile", "require", "collectgarbage", "string.dump")
    assert not [name for name in names if name.startswith(dangerous)]


def test_L18_the_lists_are_of_the_wheel_that_is_shipped() -> None:
    pins = tomllib.loads((ROOT / "scripts" / "wheels.toml").read_text(encoding="utf-8"))
    shipped = {file.split("-")[1] for files in pins["wheels"].values() for file in files if file.startswith("lupa-")}
    assert shipped == {lupa.__version__}
