# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a script can name, against a frozen list: what a new lupa or Lua brings along is noticed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lupa import lua54

from fluid_addon.script import sandbox as sandbox_module
from fluid_addon.script.host import vocabulary
from fluid_addon.script.sandbox import Limits, Sandbox

FROZEN = Path(__file__).with_name("reachable_names.txt")

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

# With Lua's debug library, which scripts do not have: the objects with methods, that is userdata with a metatable and
# threads, in everything that hangs on the script's environment; and how many tables were looked at.
COUNT_OBJECTS = """
local next, type, remove = next, type, table.remove
local getupvalue, getmetatable = debug.getupvalue, debug.getmetatable

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
  local seen, objects, tables, waiting = {}, 0, 0, {environment(run, 3), getmetatable("")}
  while #waiting > 0 do
    local value = remove(waiting)
    local kind = type(value)
    if value ~= nil and not seen[value] then
      seen[value] = true
      if kind == "thread" or (kind == "userdata" and getmetatable(value)) then objects = objects + 1 end
      if kind == "table" then
        tables = tables + 1
        waiting[#waiting + 1] = getmetatable(value)
        for k, v in next, value do
          waiting[#waiting + 1] = k
          waiting[#waiting + 1] = v
        end
      elseif kind == "function" and with_upvalues then
        for _, pair in next, upvalues(value) do waiting[#waiting + 1] = pair[2] end
      end
    end
  end
  return objects, tables
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


def test_l18_a_script_reaches_the_frozen_names_and_no_other(lua) -> None:
    assert lua.printed(WALK) == FROZEN.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def counted(monkeypatch):
    """A sandbox whose state was given a debug library first, and the count of objects reachable in it."""
    kept: dict[str, Any] = {}
    make = lua54.LuaRuntime

    def with_debug(**options: Any) -> Any:
        runtime = make(**options)
        kept["count"] = runtime.execute(COUNT_OBJECTS)
        return runtime

    monkeypatch.setattr(sandbox_module.lua54, "LuaRuntime", with_debug)
    sandbox = Sandbox(SilentHost(), Limits(1.0, 16, None), vocabulary())
    yield lambda with_upvalues: kept["count"](sandbox._run, with_upvalues)
    sandbox.close()


def test_d62_no_object_lies_in_any_table_of_a_script(counted) -> None:
    objects, tables = counted(False)
    assert objects == 0
    assert tables > 10


def test_d62_functions_of_the_libraries_hold_one_object_the_border(counted) -> None:
    objects, _ = counted(True)
    assert objects == 1
