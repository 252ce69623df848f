-- SPDX-License-Identifier: GPL-3.0-or-later
-- The standard libraries as a script sees them. What Lua's own functions lack is a limit on the work that they do in
-- C, where the clock cannot interrupt them: here each is refused where it could run for long, and counted otherwise.

local lua, border, patterns = ...
local ask, where, settle, settled = border.ask, border.where, border.settle, border.settled
local error, next, pcall, rawget, rawlen, rawset = lua.error, lua.next, lua.pcall, lua.rawget, lua.rawlen, lua.rawset
local select = lua.select
local setmetatable, tonumber, tostring, type, xpcall =
  lua.setmetatable, lua.tonumber, lua.tostring, lua.type, lua.xpcall
local raw_getmetatable, load = lua.raw_getmetatable, lua.load
local order, shown, sorting = border.order, border.order.shown, border.sorting
local coroutine, math, string, table, utf8 = lua.coroutine, lua.math, lua.string, lua.table, lua.utf8
local find, match, gmatch, gsub, rep, format = string.find, string.match, string.gmatch, string.gsub, string.rep, string.format
local byte, lower, reverse, sub, upper = string.byte, string.lower, string.reverse, string.sub, string.upper
local concat, insert, move, remove, sort, unpack = table.concat, table.insert, table.move, table.remove, table.sort, table.unpack
local co_close, co_resume, co_running, co_status = coroutine.close, coroutine.resume, coroutine.running, coroutine.status

local _ENV <const> = nil

local MAX_STRING = 256 * 1024 * 1024 -- bytes of one string.rep
local MAX_ELEMENTS = 1e7 -- of a table that one function walks in C
local MAX_CHUNK = 1024 * 1024 -- bytes of one text to load: the host reads it too
local MAX_PRINTED = 65536 -- bytes of one value; the host cuts lines far shorter

-- Every million steps of work in C, look at the clock.
local work = 0
local function spend(steps)
  work = work + steps
  if work > 1e6 then
    work = 0
    border.check_limits()
  end
end

local check_pattern = patterns(lua, spend)

-- A call through this is no tail call, so that Lua can name the function in "bad argument #1 to 'find'".
local function pass(...) return ... end

local function copy(library)
  local t = {}
  for name, value in next, library do t[name] = value end
  return t
end

-- ===== string

local strings = copy(string)

function strings.rep(s, n, separator)
  if (type(s) == "string" or type(s) == "number") and tonumber(n) then
    local one = #tostring(s) + (separator and #tostring(separator) or 0)
    if one == 0 then return "" end -- Lua 5.4 counts all the way to n even so
    if one * tonumber(n) > MAX_STRING then error("resulting string too large", 2) end
    spend(one * tonumber(n))
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
  check_pattern(s, pattern)
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
    if #pattern > MAX_CHUNK then error("format too long", 2) end
    if patterns_known > 500 then kinds_of, patterns_known = {}, 0 end
    kinds = conversions(pattern)
    kinds_of[pattern], patterns_known = kinds, patterns_known + 1
  end
  if kinds and (find(kinds, "p", 1, true) or any_object(...)) then
    return counted(format(named(kinds, pattern, ...)))
  end
  return counted(format(pattern, ...))
end

function strings.lower(s) return counted(lower(s)) end
function strings.reverse(s) return counted(reverse(s)) end
function strings.sub(s, i, j) return counted(sub(s, i, j)) end
function strings.upper(s) return counted(upper(s)) end

local of_strings = raw_getmetatable("")
of_strings.__index = strings
of_strings.__metatable = false

-- ===== table

local tables = copy(table)

-- The number of elements that a function may walk.
local function length_of(t)
  if type(t) ~= "table" then return 0 end
  local meta = raw_getmetatable(t)
  if meta and rawget(meta, "__len") ~= nil then error('a table with "__len" cannot be changed or joined here', 3) end
  local length = rawlen(t)
  if length > MAX_ELEMENTS then error("table too large", 3) end
  spend(length)
  return length
end

function tables.concat(t, ...)
  length_of(t)
  return (concat(t, ...))
end

function tables.insert(t, ...)
  if select("#", ...) > 1 then
    length_of(t) -- the elements behind it move
  elseif type(t) == "table" and raw_getmetatable(t) then
    length_of(t)
  end
  return pass(insert(t, ...))
end

function tables.remove(t, ...)
  if select("#", ...) > 0 or (type(t) == "table" and raw_getmetatable(t)) then length_of(t) end
  return pass(remove(t, ...))
end

function tables.move(a, from, to, at, ...)
  if tonumber(from) and tonumber(to) then
    local count = tonumber(to) + 0.0 - tonumber(from) -- a float cannot wrap around
    if count > MAX_ELEMENTS then error("too many elements to move", 2) end
    if count > 0 then spend(count) end
  end
  return (move(a, from, to, at, ...))
end

function tables.sort(t, before)
  if type(t) ~= "table" or (before ~= nil and type(before) ~= "function") then return pass(sort(t, before)) end
  sorting.sort(t, length_of(t), before)
end

function tables.unpack(t, i, j)
  length_of(t)
  return pass(unpack(t, i, j))
end

-- ===== math

local maths = copy(math)
local SEED = 20240229 -- any number, so long as every run begins with the same

function maths.randomseed(...)
  if select("#", ...) == 0 then return math.randomseed(SEED) end
  return math.randomseed(...)
end

math.randomseed(SEED)

-- ===== coroutine

local coroutines = copy(coroutine)

function coroutines.create(body)
  return border.hooked_coroutine(body)
end

-- Each coroutine counts its own instructions, so work in many small slices would never meet the hook.
local SLICE = 2e4

function coroutines.resume(co, ...)
  spend(SLICE)
  return settled(co_resume(co, ...))
end

function coroutines.close(co)
  return settled(co_close(co))
end

local function continue(co, ok, ...)
  if border.is_stopped() then border.raise_stop() end
  if ok then return ... end
  local message = settle((...))
  if co_status(co) == "dead" then
    local closed, other = settled(co_close(co))
    if not closed then message = other end
  end
  error(message, 0)
end

function coroutines.wrap(body)
  local co = border.hooked_coroutine(body)
  return function(...)
    spend(SLICE)
    return continue(co, co_resume(co, ...))
  end
end

-- To a script the coroutine that runs it is the main one.
local main

function coroutines.running()
  local co = co_running()
  return co, co == main
end

function coroutines.isyieldable(...)
  if select("#", ...) > 0 then return coroutine.isyieldable(...) end
  return co_running() ~= main
end

-- ===== base

local base = {
  assert = lua.assert, error = error, getmetatable = lua.getmetatable, ipairs = lua.ipairs, next = order.next,
  pairs = order.pairs, rawequal = lua.rawequal, rawget = rawget, rawlen = rawlen, rawset = rawset, select = select,
  tonumber = tonumber, type = type, _VERSION = lua.version,
  coroutine = coroutines, math = maths, string = strings, table = tables, utf8 = copy(utf8),
}
base._G = base

function base.tostring(...)
  if select("#", ...) == 0 then return pass(tostring()) end
  return (shown((...)))
end

function base.pcall(...)
  return settled(pcall(...))
end

function base.xpcall(body, handler, ...)
  -- An error that the clock raised reaches handlers with the clock switched off: they must not run then.
  local function guarded(message)
    if border.is_stopped() then return message end
    return handler(settle(message))
  end
  return settled(xpcall(body, guarded, ...))
end

function base.setmetatable(t, meta)
  if type(meta) == "table" and rawget(meta, "__gc") ~= nil then
    error('scripts have no "__gc"; use a <close> variable', 2)
  end
  setmetatable(t, meta)
  -- When memory is freed is different in every run, so a script must not see it: weak tables keep what they hold.
  if meta and rawget(meta, "__mode") ~= nil then rawset(meta, "__mode", nil) end
  return t
end

local function read_pieces(reader)
  local pieces, size = {}, 0
  while true do
    local piece = reader()
    if piece == nil or piece == "" then return concat(pieces) end
    if type(piece) ~= "string" then error("reader function must return a string", 0) end
    size = size + #piece
    if size > MAX_CHUNK then error("chunk too large", 0) end
    pieces[#pieces + 1] = piece
  end
end

function base.load(chunk, name, mode, ...)
  if type(chunk) == "function" then
    local ok, text = settled(pcall(read_pieces, chunk))
    if not ok then return nil, text end
    chunk, name = text, name or "=(load)"
  end
  if type(chunk) ~= "string" then error("bad argument #1 to 'load' (string or function expected)", 2) end
  if #chunk > MAX_CHUNK then return nil, "chunk too large" end
  if byte(chunk, 1) == 27 then return nil, "attempt to load a binary chunk, which scripts cannot" end
  if type(mode) == "string" and not find(mode, "t", 1, true) then
    return nil, "attempt to load a text chunk (mode is '" .. sub(mode, 1, 10) .. "')"
  end
  spend(5e4 + #chunk) -- the host reads it too
  local ok, text = settled(pcall(ask, "rewrite", chunk))
  if not ok then return nil, text end
  -- A name that begins with @ would pass for a file.
  name = type(name) == "string" and "=" .. gsub(sub(name, 1, 200), "^[@=]", "") or chunk
  local environment = base
  if select("#", ...) > 0 then environment = (...) end
  local body, message = load(text, name, "t", environment)
  if body then return body end
  return nil, settle(message)
end

function base.print(...)
  local parts = {}
  for i = 1, select("#", ...) do
    if i > 200 then break end
    parts[i] = sub(shown((select(i, ...))), 1, MAX_PRINTED)
  end
  ask("print", concat(parts, "\t"))
end

function base.warn(...)
  local parts = {}
  if select("#", ...) == 0 then error("bad argument #1 to 'warn' (string expected, got no value)", 2) end
  for i = 1, select("#", ...) do
    if i > 200 then break end
    local part = (select(i, ...))
    if type(part) ~= "string" and type(part) ~= "number" then
      error("bad argument #" .. i .. " to 'warn' (string expected, got " .. type(part) .. ")", 2)
    end
    parts[i] = sub(part, 1, MAX_PRINTED)
  end
  local text = concat(parts)
  if text == "@on" or text == "@off" then return end -- Lua's own switches; here warnings are always on
  ask("warn", text, where())
end

local modules, loading = {}, {}

function base.require(name)
  if type(name) ~= "string" then error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2) end
  if modules[name] ~= nil then return modules[name] end
  if loading[name] then
    ask("refuse", "module-missing", 'The module "' .. name .. '" requires itself, so it is never complete.', where())
  end
  local source, chunk, kind = ask("require", sub(name, 1, 300), where()) -- a name that long is refused
  local body, message = border.compile(source, chunk, kind)
  if not body then ask("syntax", settle(message)) end
  loading[name] = true
  local done <close> = setmetatable({}, {__close = function() loading[name] = nil end})
  local value = body(name, chunk)
  modules[name] = value == nil and true or value
  return modules[name]
end

function border.set_main(co)
  main = co
end

return base
