-- SPDX-License-Identifier: GPL-3.0-or-later
-- The Lua interface: FluidEngine, Format, param, params and scene. Every call becomes one string for the host, which checks
-- it; engines are numbers there, and empty tables with a locked metatable here.

local lua, border, env = ...
local ask, encode, where = border.ask, border.encode, border.where
local setmetatable, tonumber, type = lua.setmetatable, lua.tonumber, lua.type
local gmatch, sub = lua.string.gmatch, lua.string.sub
local rawequal, select, move = lua.rawequal, lua.select, lua.table.move
local shown_value, objects = border.order.shown, border.objects
local number_of = border.order.number_of -- of what scripts may take as keys, in the order in which they are made

local _ENV <const> = nil

-- ----- What the host says there is: lines of "format NAME NUMBER", "property NAME", "method NAME ARGUMENT…"

local formats, properties, methods, argument_names = {}, {}, {}, {}

local handles = setmetatable({}, {__mode = "k"}) -- engine as scripts see it -> its number at the host

-- The host's answer: nothing, a single value after a 0, a vector after its length, or names and values, each after the
-- other, after their number below 0.
local function result(count, ...)
  if count == nil then return end
  if count == 0 then return (...) end
  if count < 0 then
    local given, named = {...}, {}
    for i = 1, -2 * count, 2 do named[given[i]] = given[i + 1] end
    return named
  end
  return {...}
end

local function method(name, names)
  return function(self, ...)
    local handle = handles[self]
    if not handle then ask("no engine", name, where()) end
    return result(ask("call", handle, name, encode(names, ...), where()))
  end
end

for line in gmatch(border.vocabulary, "[^\n]+") do
  local words = {}
  for word in gmatch(line, "%S+") do words[#words + 1] = word end
  local kind, name = words[1], words[2]
  if kind == "format" then
    formats[name] = tonumber(words[3])
  elseif kind == "property" then
    properties[name] = true
  else
    local names = move(words, 3, #words, 1, {})
    argument_names[name] = names
    if kind == "method" then
      methods[name] = method(name, names)
      number_of(methods[name])
    end
  end
end

-- ----- Read-only things

local function read_only(what, index)
  return {
    __index = index,
    __newindex = function() ask("refuse", "bad-argument", what .. " cannot be changed by a script.", where()) end,
    __metatable = false,
    __name = what,
  }
end

-- A key that a script asked for, as text for the host; longer than any that there is, it need not be whole.
local function shown(name)
  return sub(shown_value(name), 1, 200)
end

local engine_metatable = read_only("An engine", function(self, name)
  if methods[name] then return methods[name] end
  if properties[name] then return result(ask("get", handles[self], name, where())) end
  ask("unknown method", shown(name), where())
end)

local function engine_of(handle)
  local engine = setmetatable({}, engine_metatable)
  handles[engine] = handle
  number_of(engine)
  return engine
end

-- ----- The names that a script finds

local constructors = {}

function constructors.new(...)
  -- FluidEngine:new{…} is meant in the same way
  if (...) ~= nil and rawequal((...), env.FluidEngine) then return constructors.new(select(2, ...)) end
  return engine_of(ask("new", encode(argument_names.new, ...), where()))
end

env.FluidEngine = setmetatable({}, read_only("FluidEngine", function(_, name)
  if constructors[name] then return constructors[name] end
  ask("unknown constructor", shown(name), where())
end))

env.Format = setmetatable({}, read_only("Format", function(_, name)
  if formats[name] then return formats[name] end
  ask("unknown format", shown(name), where())
end))

function env.param(...)
  return (ask("param", encode(argument_names.param, ...), where()))
end

env.params = setmetatable({}, read_only("params", function(_, name)
  return (ask("parameter", shown(name), where()))
end))

local function object_of(name)
  local object = setmetatable({}, read_only("An object", function(_, member)
    if member == "name" then return name end
    ask("unknown member of an object", shown(member), where())
  end))
  objects[object] = name
  number_of(object)
  return object
end

local function find_object(...)
  return object_of((ask("object", encode(argument_names.object, ...), where())))
end

env.scene = setmetatable({}, read_only("scene", function(_, member)
  if member == "object" then return find_object end
  ask("unknown member of scene", shown(member), where())
end))

-- An engine that the host made itself.
function border.adopt(handle)
  env.sim = engine_of(handle)
end
