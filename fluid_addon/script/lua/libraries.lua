-- SPDX-License-Identifier: GPL-3.0-or-later
-- The standard libraries as a script sees them. What Lua's own functions lack is a limit on the work that they do in
-- C, where the clock cannot interrupt them: here each is refused where it could run for long, and counted otherwise.
-- Operators on long texts ("..", "<", "==") cannot be counted: where they take too long, the supervisor ends the worker.

local lua, border, patterns, texts = ...
local ask, where, settle, settled = border.ask, border.where, border.settle, border.settled
local error, next, pcall, rawget, rawlen, rawset = lua.error, lua.next, lua.pcall, lua.rawget, lua.rawlen, lua.rawset
local select = lua.select
local setmetatable, tonumber, tostring, type, xpcall =
  lua.setmetatable, lua.tonumber, lua.tostring, lua.type, lua.xpcall
local raw_getmetatable, load = lua.raw_getmetatable, lua.load
local order, shown, sorting = border.order, border.order.shown, border.sorting
local coroutine, math, table = lua.coroutine, lua.math, lua.table
local byte, find, gsub, sub = lua.string.byte, lua.string.find, lua.string.gsub, lua.string.sub
local concat, insert, move, remove, sort, unpack = table.concat, table.insert, table.move, table.remove, table.sort, table.unpack
local co_close, co_resume, co_running, co_status = coroutine.close, coroutine.resume, coroutine.running, coroutine.status

local _ENV <const> = nil

local MAX_ELEMENTS = 1e7 -- of a table that one function walks in C
local MAX_CHUNK = 1024 * 1024 -- bytes of one text to load: the host reads it too
local MAX_PRINTED = 65536 -- bytes of one value; the host cuts lines far shorter

-- Every million steps of work in C, look at the clock.
local work = 0
local function spend(steps)
  if steps > 0 then work = work + steps end -- never back, and not to what is no number (NaN)
  if work > 1e6 then
    work = 0
    border.check_limits()
  end
end

-- A call through this is no tail call, so that Lua can name the function in "bad argument #1 to 'find'".
local function pass(...) return ... end

local function copy(library)
  local t = {}
  for name, value in next, library do t[name] = value end
  return t
end

local strings, codes, counted = texts(lua, border, spend, patterns(lua, spend), copy)

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

-- Counts the elements from one place to another, which C walks whatever the table holds.
local function spend_range(what, from, to)
  if tonumber(from) and tonumber(to) then
    local count = tonumber(to) + 1.0 - tonumber(from) -- a float cannot wrap around
    if count > MAX_ELEMENTS then error("too many elements to " .. what, 3) end
    spend(count)
  end
end

function tables.concat(t, separator, i, j)
  local length = length_of(t)
  spend_range("concat", i or 1, j or length)
  return counted(concat(t, separator, i, j))
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
  spend_range("move", from, to)
  return (move(a, from, to, at, ...))
end

function tables.sort(t, before)
  if type(t) ~= "table" or (before ~= nil and type(before) ~= "function") then return pass(sort(t, before)) end
  sorting.sort(t, length_of(t), before)
end

function tables.unpack(t, i, j)
  local length = length_of(t)
  spend_range("unpack", i or 1, j or length)
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

-- They are numbered as they come, so that a set of them has an order.
local function new_coroutine(body)
  local co = border.hooked_coroutine(body)
  order.number_of(co)
  return co
end

function coroutines.create(body)
  return new_coroutine(body)
end

-- Each coroutine counts its own instructions, so work in many small slices would never meet the hook.
local SLICE = 2e4

local without_clock = setmetatable({}, {__mode = "k"}) -- coroutines that ended for want of stack: what they hold never runs

local function resumed(co, ok, ...)
  if not ok and border.is_out_of_stack((...)) then without_clock[co] = true end
  return ok, ...
end

function coroutines.resume(co, ...)
  spend(SLICE)
  return settled(resumed(co, co_resume(co, ...)))
end

function coroutines.close(co)
  if without_clock[co] then error("a coroutine that ran out of stack cannot be closed", 2) end
  return settled(co_close(co))
end

local function continue(co, ok, ...)
  if border.is_stopped() then border.raise_stop() end
  if ok then return ... end
  local message = settle((...))
  if co_status(co) == "dead" and not without_clock[co] then
    local closed, other = settled(co_close(co))
    if not closed then message = other end
  end
  error(message, 0)
end

function coroutines.wrap(body)
  local co = new_coroutine(body)
  local function go_on(...)
    spend(SLICE)
    return continue(co, resumed(co, co_resume(co, ...)))
  end
  order.number_of(go_on)
  return go_on
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
  type = type, _VERSION = lua.version,
  coroutine = coroutines, math = maths, string = strings, table = tables, utf8 = codes,
}
base._G = base

function base.tonumber(...)
  if type((...)) == "string" then spend(#(...)) end
  return pass(tonumber(...))
end

function base.tostring(...)
  if select("#", ...) == 0 then return pass(tostring()) end
  return (shown((...)))
end

function base.pcall(...)
  return settled(pcall(...))
end

function base.xpcall(body, handler, ...)
  -- An error that the clock raised, or had, reaches handlers with the clock switched off: they must not run then.
  local function guarded(message)
    if border.is_stopped() or border.is_out_of_stack(message) then return message end
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
  order.number_of(co)
end

return base
