-- SPDX-License-Identifier: GPL-3.0-or-later
-- The libraries of texts, string and utf8, as a script sees them: each function counts the work that it does in C.

local lua, border, spend, check_pattern, copy = ...
local error, select, tonumber, tostring, type = lua.error, lua.select, lua.tonumber, lua.tostring, lua.type
local raw_getmetatable, shown = lua.raw_getmetatable, border.order.shown
local string, utf8 = lua.string, lua.utf8
local find, match, gmatch, gsub, rep, format = string.find, string.match, string.gmatch, string.gsub, string.rep, string.format
local byte, char, lower, reverse, sub, upper = string.byte, string.char, string.lower, string.reverse, string.sub, string.upper
local concat, unpack = lua.table.concat, lua.table.unpack

local _ENV <const> = nil

local MAX_STRING = 256 * 1024 * 1024 -- bytes of one string.rep
local MAX_FORMAT = 1024 * 1024

-- A call through this is no tail call, so that Lua can name the function in "bad argument #1 to 'find'".
local function pass(...) return ... end

-- ===== string

local strings = copy(string)

function strings.rep(s, n, separator)
  if (type(s) == "string" or type(s) == "number") and tonumber(n) then
    local one = #tostring(s) + (separator and #tostring(separator) or 0)
    if one == 0 then return "" end -- Lua 5.4 counts all the way to n even so
    local size = one * (tonumber(n) + 0.0) -- a float cannot wrap around
    if size > MAX_STRING then error("resulting string too large", 2) end
    spend(size)
  end
  return (rep(s, n, separator))
end

function strings.find(s, pattern, init, plain)
  if plain then
    if type(s) == "string" and type(pattern) == "string" then
      if #s * #pattern > 1e10 then error("text too long for this search", 2) end
      spend(#s)
    end
  else
    check_pattern(s, pattern)
  end
  return pass(find(s, pattern, init, plain))
end

function strings.match(s, pattern, init)
  check_pattern(s, pattern)
  return pass(match(s, pattern, init))
end

function strings.gmatch(s, pattern, init)
  local literal = type(pattern) == "string" and sub(pattern, 1, 1) == "^" -- it is no anchor here
  check_pattern(s, literal and "%" .. pattern or pattern)
  return pass(gmatch(s, pattern, init))
end

function strings.gsub(s, pattern, replacement, n)
  check_pattern(s, pattern)
  return pass(gsub(s, pattern, replacement, n))
end

-- These are linear, and only counted.
local function counted(s)
  if type(s) == "string" then spend(#s) end
  return s
end

local function counted_values(...)
  spend(select("#", ...))
  return ...
end

-- Addresses are no text: what has no name is shown by its number (order.lua), and "%p" is refused.
local kinds_of, patterns_known = {}, 0 -- pattern -> its conversions, one letter each, if there is an s or p among them

local function conversions(pattern)
  local kinds = {}
  for kind in gmatch(pattern, "%%[-+ #0-9.]*(.)") do
    if kind ~= "%" then kinds[#kinds + 1] = kind end
  end
  local found = concat(kinds)
  return find(found, "[sp]") and found or false
end

local function named(kinds, pattern, ...)
  local values = {...}
  for at = 1, #kinds do
    local kind = sub(kinds, at, at)
    if kind == "p" then error("invalid conversion '%p' to 'format': scripts see no addresses", 3) end
    if kind == "s" and at <= select("#", ...) then values[at] = shown(values[at]) end
  end
  return pattern, unpack(values, 1, select("#", ...))
end

local function any_object(...)
  for i = 1, select("#", ...) do
    local kind = type((select(i, ...)))
    if kind == "table" or kind == "function" or kind == "thread" then return true end
  end
  return false
end

function strings.format(pattern, ...)
  local kinds = kinds_of[pattern]
  if kinds == nil and type(pattern) == "string" then
    if #pattern > MAX_FORMAT then error("format too long", 2) end
    if patterns_known > 500 then kinds_of, patterns_known = {}, 0 end
    kinds = conversions(pattern)
    kinds_of[pattern], patterns_known = kinds, patterns_known + 1
  end
  if kinds and (find(kinds, "p", 1, true) or any_object(...)) then
    return counted(format(named(kinds, pattern, ...)))
  end
  return counted(format(pattern, ...))
end

function strings.byte(s, i, j) return counted_values(byte(s, i, j)) end
function strings.char(...) return counted(char(...)) end
function strings.lower(s) return counted(lower(s)) end
function strings.reverse(s) return counted(reverse(s)) end
function strings.sub(s, i, j) return counted(sub(s, i, j)) end
function strings.upper(s) return counted(upper(s)) end

do
  local pack, packsize, unpack = string.pack, string.packsize, string.unpack

  local function read_from(first, ...)
    spend((tonumber((select(-1, ...))) or 0) - (tonumber(first) or 1)) -- the last value is where the reading ended
    return ...
  end

  function strings.pack(pattern, ...)
    counted(pattern)
    return counted(pack(pattern, ...))
  end

  function strings.packsize(pattern)
    return pass(packsize(counted(pattern)))
  end

  function strings.unpack(pattern, s, from)
    counted(pattern)
    return read_from(from, unpack(pattern, s, from))
  end
end

local of_strings = raw_getmetatable("")
of_strings.__index = strings
of_strings.__metatable = false

-- ===== utf8

local codes_library = copy(utf8)

do
  local char, codepoint, codes, len, offset = utf8.char, utf8.codepoint, utf8.codes, utf8.len, utf8.offset

  function codes_library.char(...) return counted(char(...)) end
  function codes_library.codepoint(...) return counted_values(codepoint(...)) end
  function codes_library.codes(s, ...) return pass(codes(counted(s), ...)) end
  function codes_library.len(s, ...) return pass(len(counted(s), ...)) end
  function codes_library.offset(s, ...) return pass(offset(counted(s), ...)) end
end

return strings, codes_library, counted
