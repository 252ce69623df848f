-- SPDX-License-Identifier: GPL-3.0-or-later
-- Turns the arguments of a call into one string: JSON in ASCII, where each character of a text is one byte of it.
-- Keys are sorted, so equal arguments give equal strings. What JSON cannot carry is refused with its path.

local lua, border = ...
local ask, where = border.ask, border.where
local next, rawget, select, type = lua.next, lua.rawget, lua.select, lua.type
local raw_getmetatable = lua.raw_getmetatable
local byte, find, format, gsub, sub = lua.string.byte, lua.string.find, lua.string.format, lua.string.gsub, lua.string.sub
local concat, sort_plain = lua.table.concat, border.sorting.plain
local math_type, huge = lua.math.type, lua.math.huge

local _ENV <const> = nil

border.objects = lua.setmetatable({}, {__mode = "k"}) -- object of the scene as scripts see it -> its name

local MAX_DEPTH = 32
local MAX_BYTES = 1024 * 1024
local MAX_KEYS = 100000
local MAX_ARGUMENTS = 32

-- `fields.rho.init[3]` from the keys on the way there. A table of options adds no name of its own.
local function path_of(keys, depth)
  local path = ""
  for i = 1, depth do
    local key = keys[i]
    if type(key) == "number" then
      path = path .. "[" .. key .. "]"
    elseif key ~= "" then
      path = path .. (path == "" and "" or ".") .. (#key > 60 and sub(key, 1, 60) .. "…" or key)
    end
  end
  return path == "" and "the table" or path
end

local function refuse(code, state, what)
  ask("refuse", code, '"' .. path_of(state.keys, state.depth) .. '" ' .. what, where())
end

local function put(state, text)
  state.bytes = state.bytes + #text
  if state.bytes > MAX_BYTES then
    ask("refuse", "plan-shape", "The arguments of this call are larger than 1 MiB.", where())
  end
  state[#state + 1] = text
end

local escapes = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n"}

local function escape(character)
  local text = format("\\u%04x", byte(character))
  escapes[character] = text
  return text
end

local function put_text(state, text)
  if #text > MAX_BYTES then put(state, text) end -- refused before any work
  put(state, '"')
  put(state, (gsub(text, '[%c"\\\127-\255]', function(c) return escapes[c] or escape(c) end)))
  put(state, '"')
end

local function put_number(state, number)
  if math_type(number) == "integer" then return put(state, format("%d", number)) end
  if number ~= number then refuse("not-finite", state, "is not a number (NaN).") end
  if number == huge or number == -huge then refuse("not-finite", state, "is infinite.") end
  local text = gsub(format("%.17g", number), ",", ".") -- some locales write a comma
  put(state, find(text, "[.e]") and text or text .. ".0")
end

-- The names of a table, sorted; or its length, if it is a list.
local function keys_of(state, t)
  local names, count, highest, odd = {}, 0, 0, nil
  for key in next, t do
    count = count + 1
    if count > MAX_KEYS then refuse("plan-shape", state, "has more than " .. MAX_KEYS .. " entries.") end
    local kind = type(key)
    if kind == "string" then
      names[#names + 1] = key
    elseif math_type(key) == "integer" and key >= 1 then
      if key > highest then highest = key end
    elseif not odd or kind < odd then
      odd = kind -- of several the first by name: which one comes first here is different in every run
    end
  end
  if odd then refuse("plan-shape", state, "has a " .. odd .. " as a key; use names, or positions from 1.") end
  if #names > 0 and #names < count then refuse("plan-shape", state, "mixes names and positions.") end
  if #names == 0 and highest ~= count then
    local hole = 1
    while rawget(t, hole) ~= nil do hole = hole + 1 end
    refuse("plan-shape", state, "has a hole: its entry " .. hole .. " is nil.")
  end
  sort_plain(names, #names)
  return names, highest
end

local put_value

local function put_table(state, t)
  if raw_getmetatable(t) ~= nil then refuse("plan-shape", state, "is a table with a metatable; give a plain one.") end
  if state.open[t] then refuse("plan-shape", state, "contains itself.") end
  if state.depth >= MAX_DEPTH then
    ask("refuse", "plan-shape", "A table of this call is nested more than " .. MAX_DEPTH .. " deep.", where())
  end
  local names, length = keys_of(state, t)
  state.open[t] = true
  state.depth = state.depth + 1
  local depth = state.depth
  if #names == 0 then
    put(state, "[")
    for i = 1, length do
      if i > 1 then put(state, ",") end
      state.keys[depth] = i
      put_value(state, rawget(t, i))
    end
    put(state, "]")
  else
    put(state, "{")
    for i = 1, #names do
      if i > 1 then put(state, ",") end
      put_text(state, names[i])
      put(state, ":")
      state.keys[depth] = names[i]
      put_value(state, rawget(t, names[i]))
    end
    put(state, "}")
  end
  state.depth = depth - 1
  state.open[t] = nil
end

function put_value(state, value)
  local kind = type(value)
  if kind == "nil" then return put(state, "null") end
  if kind == "boolean" then return put(state, value and "true" or "false") end
  if kind == "number" then return put_number(state, value) end
  if kind == "string" then return put_text(state, value) end
  if kind == "table" then
    local object = border.objects[value]
    if object then return put_table(state, {object = object}) end
    return put_table(state, value)
  end
  refuse("plan-shape", state, "is a " .. kind .. "; a call takes numbers, text, booleans and tables of them.")
end

local function has_names(t)
  if rawget(t, 1) ~= nil then return false end
  for key in next, t do
    if type(key) == "string" then return true end
  end
  return false
end

-- encode(names, ...): the values after the list of their names, as one string.
return function(names, ...)
  local state = {bytes = 0, depth = 1, keys = {}, open = {}}
  local count = select("#", ...)
  if count > MAX_ARGUMENTS then ask("refuse", "bad-argument", "This call has " .. count .. " arguments.", where()) end
  put(state, "[")
  for i = 1, count do
    if i > 1 then put(state, ",") end
    local value = (select(i, ...))
    state.keys[1] = type(value) == "table" and has_names(value) and "" or names[i] or "argument " .. i
    put_value(state, value)
  end
  put(state, "]")
  return concat(state)
end
