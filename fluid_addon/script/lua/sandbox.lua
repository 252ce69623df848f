-- SPDX-License-Identifier: GPL-3.0-or-later
-- The border between a script and the add-on, run once in a fresh Lua state before anything else.
--
-- `host` is the only thing of Python in this state, and only closures of these files hold it. Strings, numbers and
-- booleans cross it; no table and no Python object does. The other chunks are trusted files, compiled here.

local host, vocabulary, sorting_source, order_source, patterns_source, texts_source, libraries_source, encoder_source,
  engine_source = ...

local lua = {
  assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, load = load, next = next,
  pairs = pairs, pcall = pcall, rawequal = rawequal, rawget = rawget, rawlen = rawlen, rawset = rawset,
  select = select, setmetatable = setmetatable, tonumber = tonumber, tostring = tostring, type = type,
  xpcall = xpcall, coroutine = coroutine, math = math, string = string, table = table, utf8 = utf8,
  version = _VERSION, raw_getmetatable = debug.getmetatable,
}
local error, load, next, pcall, rawget, tostring, type = error, load, next, pcall, rawget, tostring, type
local getinfo, sethook = debug.getinfo, debug.sethook
local co_create, co_resume, co_status = coroutine.create, coroutine.resume, coroutine.status
local concat, find, gsub, sub = table.concat, string.find, string.gsub, string.sub

string.dump = nil

-- Whatever luaL_openlibs and lupa left behind: two tables hold it, and nothing else leads there.
local loaded, globals = package.loaded, _G
for name in next, loaded do loaded[name] = nil end
for name in next, globals do globals[name] = nil end

local _ENV <const> = nil -- from here on a forgotten local is an error, not a global that a script could set

local OK, RAISE = 0, 1 -- the host's answers; anything else stops the script for good
local STOPPED = "the script was stopped"
local OUT_OF_MEMORY = "not enough memory" -- Lua's own text (lstate.c)
local OWN_POSITION = "^%[fluid%]:%d+: " -- what Lua puts before an error that a function of these files caused
local MAX_TEXT = 1024 * 1024 -- of an error, also of those that the host raises
local INSTRUCTIONS = 10000 -- between two looks at the clock: a tenth of a millisecond or so

local stopped = false -- for good: pcall, coroutines, handlers and __close cannot bring the script back
local user_chunks = {} -- chunk name -> "script" or "library"
local hook

local function raise_stop()
  stopped = true
  sethook(hook, "", 1)
  error(STOPPED, 0)
end

local function answer(called, status, ...)
  if called then
    if status == OK then return ... end
    if status == RAISE then error((...), 0) end
  elseif type(status) == "string" then
    error(status, 0) -- Lua's own: no memory or no stack left for the call
  end
  raise_stop()
end

-- The one way out. Never lets an exception object of Python through.
local function ask(...)
  return answer(pcall(host, ...))
end

-- File and line of the innermost frame that the artist wrote, or else of a library module: two values for the host.
local function where()
  local library_file, library_line
  for level = 2, 250 do
    local info = getinfo(level, "Sl")
    if not info then break end
    local kind = user_chunks[info.source]
    if kind == "script" then return sub(info.source, 2), info.currentline end
    if kind and not library_file then library_file, library_line = sub(info.source, 2), info.currentline end
  end
  return library_file or "", library_line or 0
end

local function check_limits()
  if ask("poll", where()) then ask("stop", where()) end
end

function hook()
  if stopped then error(STOPPED, 0) end
  check_limits()
end

-- Where no stack is left the hook itself fails, and the clock is not looked at. Its error ends a coroutine with the hook
-- switched off, and so it is in message handlers: nothing of a script may run there.
local function is_out_of_stack(message)
  if type(message) ~= "string" then return false end
  return find(sub(message, 1, 300), "stack overflow", 1, true) ~= nil or message == "error in error handling"
end

-- What a protected call hands to the script: a stopped script does not get it at all.
local function settle(message)
  if stopped then raise_stop() end
  if is_out_of_stack(message) then check_limits() end
  if message == OUT_OF_MEMORY then ask("out of memory", where()) end
  if type(message) == "string" then return (gsub(message, OWN_POSITION, "")) end
  return message
end

local function settled(ok, ...)
  if stopped then raise_stop() end
  if ok then return true, ... end
  return false, settle((...))
end

local function hooked_coroutine(body)
  local co = co_create(body)
  sethook(co, hook, "", INSTRUCTIONS)
  return co
end

local border = {
  ask = ask, where = where, check_limits = check_limits, settle = settle, settled = settled, raise_stop = raise_stop,
  hooked_coroutine = hooked_coroutine, vocabulary = vocabulary, getinfo = getinfo,
  is_stopped = function() return stopped end, is_out_of_stack = is_out_of_stack,
}

local env

-- Compiles a text that the host read, for the script's environment.
function border.compile(source, chunk, kind)
  local body, message = load(source, "@" .. chunk, "t", env)
  if body then user_chunks["@" .. chunk] = kind end
  return body, message
end

local trusted = "=[fluid]"
border.sorting = load(sorting_source, trusted, "t", {})(lua)
border.order = load(order_source, trusted, "t", {})(lua, border, border.sorting)
border.encode = load(encoder_source, trusted, "t", {})(lua, border)
env = load(libraries_source, trusted, "t", {})(
  lua, border, load(patterns_source, trusted, "t", {}), load(texts_source, trusted, "t", {})
)
load(engine_source, trusted, "t", {})(lua, border, env)
border.order.number_named(env)

-- ----- The outcome of a run, as text for the host

local function name_of_frame(info)
  if info.what == "main" then return "" end
  return (gsub(sub(info.name or "?", 1, 60), "%c", "?")) -- t["a\nb"]() has such a name
end

local function depth_of(co)
  local inside, outside = 0, 1
  while getinfo(co, outside, "l") do inside, outside = outside, outside * 2 end
  while outside - inside > 1 do
    local middle = (inside + outside) // 2
    if getinfo(co, middle, "l") then inside = middle else outside = middle end
  end
  return inside
end

-- The frames of a failed coroutine that users wrote, innermost first: one line each of "line name file". Of a deep
-- recursion the two ends, and of one line that calls itself only some.
local function frames_of(co)
  local lines, repeats = {}, 0
  local deepest = depth_of(co)
  for level = 0, deepest do
    if level < 200 or level > deepest - 12 then
      local info = getinfo(co, level, "Sln")
      if info and user_chunks[info.source] then
        local line = concat({info.currentline, name_of_frame(info), sub(info.source, 2)}, "\t")
        repeats = line == lines[#lines] and repeats + 1 or 1
        if repeats <= 4 and #lines < 30 then lines[#lines + 1] = line end
      end
    end
  end
  return concat(lines, "\n")
end

local function names_of_globals()
  local names = {}
  for name in next, env do
    if type(name) == "string" and #name <= 60 and find(name, "^[%a_][%w_]*$") then
      if #names == 2000 then return "" end -- of so many, which ones come first is different in every run
      names[#names + 1] = name
    end
  end
  return concat(names, "\n")
end

-- An error object in words. A script's own __tostring runs under the same limits as the script.
local function text_of(object)
  local kind = type(object)
  if kind == "string" or kind == "number" then return sub(tostring(object), 1, MAX_TEXT) end
  if kind == "nil" then return "The script called error without a message." end
  local meta = lua.raw_getmetatable(object)
  if kind == "table" and meta and rawget(meta, "__tostring") ~= nil then
    local ok, text = co_resume(hooked_coroutine(tostring), object)
    if ok and type(text) == "string" then return sub(text, 1, MAX_TEXT) end
    return 'The script raised a table whose "__tostring" fails.'
  end
  if kind == "table" then
    for _, key in next, {"message", "msg", 1} do
      local text = rawget(object, key)
      if type(text) == "string" then return sub(text, 1, MAX_TEXT) end
    end
  end
  return "The script raised a " .. kind .. " as its error, which has no text."
end

-- Runs a script. Returns how it ended ("done", "syntax", "error", "memory" or "stopped"), a text, and its frames.
-- `engine` is the number of one that the script shall find as `sim`, or nil.
return function(source, chunk, engine)
  ask("start")
  if engine then border.adopt(engine) end
  local main, message = border.compile(source, chunk, "script")
  if not main then return message == OUT_OF_MEMORY and "memory" or "syntax", message, "", "" end
  local co = hooked_coroutine(main)
  border.set_main(co)
  local ok, object = co_resume(co)
  if ok and co_status(co) == "dead" then
    pcall(host, "end")
    return "done", "", "", ""
  end
  local how, text = "error", nil
  if stopped then
    how, text = "stopped", ""
  elseif object == OUT_OF_MEMORY and not ok then
    how, text = "memory", ""
  else
    text = ok and "attempt to yield from outside a coroutine" or text_of(object)
    if stopped then how = "stopped" end
  end
  stopped = true
  pcall(host, "end") -- lifts the memory limit, so that the report below cannot fail
  return how, text, frames_of(co), names_of_globals()
end
