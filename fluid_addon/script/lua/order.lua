-- SPDX-License-Identifier: GPL-3.0-or-later
-- The same order in every run. Lua walks a table in the order of its hashes, which depend on addresses and on a seed
-- that is new in every process. Here `pairs` and `next` go by the keys themselves, and what has no name is numbered when
-- it is first seen, instead of being shown by its address.

local lua, border, sorting = ...
local error, next, rawget, tostring, type = lua.error, lua.next, lua.rawget, lua.tostring, lua.type
local raw_getmetatable, getinfo = lua.raw_getmetatable, border.getinfo
local format, sub = lua.string.format, lua.string.sub
local concat, sort, sort_plain = lua.table.concat, lua.table.sort, sorting.plain
local math_type = lua.math.type

local _ENV <const> = nil

local order = {}

-- ===== Numbers for what has no name

local numbers, last_number = lua.setmetatable({}, {__mode = "k"}), 0

-- The number of a table, function or coroutine: of those that were seen before, or the next one.
local function number_of(object)
  local number = numbers[object]
  if not number then
    number = last_number + 1
    numbers[object], last_number = number, number
  end
  return number
end
order.number_of = number_of

-- Numbers what a library holds, by names: a script may take it as a key, and nothing else may tell two of them apart.
function order.number_named(library)
  if numbers[library] then return end
  number_of(library)
  local names = {}
  for name in next, library do names[#names + 1] = name end
  sort(names)
  for i = 1, #names do
    local value = library[names[i]]
    if type(value) == "function" then number_of(value) end
    if type(value) == "table" then order.number_named(value) end
  end
end

-- tostring, without addresses.
function order.shown(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" or kind == "boolean" or kind == "nil" then return tostring(value) end
  local meta = raw_getmetatable(value)
  local name = kind
  if meta then
    if rawget(meta, "__tostring") ~= nil then return tostring(value) end
    local given = rawget(meta, "__name")
    if type(given) == "string" then name = given end
  end
  return format("%s: 0x%08x", sub(name, 1, 1000), number_of(value))
end

-- What a value looks like, as text, for telling apart what has no number yet.
local function looks(value, depth)
  local kind = math_type(value) or type(value)
  if kind == "integer" then return format("%d", value) end
  if kind == "float" then return format("%a", value) end
  if kind == "string" then return format("%d'%s", #value, sub(value, 1, 200)) end
  if kind == "boolean" then return tostring(value) end
  local number = numbers[value]
  if number then return "#" .. number end
  if kind == "function" then
    local info = getinfo(value, "S")
    return info.short_src .. ":" .. info.linedefined
  end
  if kind ~= "table" or depth == 0 then return kind end
  local parts, count = {}, 0
  for key, held in next, value do
    count = count + 1
    if count > 200 then return kind end
    parts[count] = looks(key, depth - 1) .. "=" .. looks(held, depth - 1)
  end
  sort(parts)
  return "{" .. concat(parts, ",") .. "}"
end

-- The objects by their texts, and the sorted texts; nil where two texts are equal.
local function by_texts(objects, text_of)
  local found, texts = {}, {}
  for i = 1, #objects do
    local text = text_of(objects[i])
    if found[text] then return nil end
    found[text], texts[i] = objects[i], text
  end
  return found, sort_plain(texts, #texts)
end

-- Numbers the keys that have none yet, in an order of their own: by what they hold in the table, or what they are.
local function number_all(t, unseen)
  if #unseen < 2 then
    if unseen[1] then number_of(unseen[1]) end
    return
  end
  local found, texts = by_texts(unseen, function(key) return looks(t[key], 0) end)
  if not found then
    found, texts = by_texts(unseen, function(key) return looks(t[key], 0) .. " " .. looks(key, 2) end)
  end
  if not found then
    error("the keys of this table have no order: two of them are tables or functions that nothing tells apart, "
      .. "so they would come differently in every run; keep them in a list", 0)
  end
  for i = 1, #texts do number_of(found[texts[i]]) end
end

-- ===== Walking a table

local function append(list, more)
  local n = #list
  for i = 1, #more do list[n + i] = more[i] end
end

-- What goes first: positions, other numbers, texts, booleans (false first), and then everything else by its number.
local function sorted(t, keys)
  local positions, other, texts, flags, objects, unseen = {}, {}, {}, {}, {}, {}
  for i = 1, #keys do
    local key = keys[i]
    local kind = type(key)
    if kind == "string" then
      texts[#texts + 1] = key
    elseif kind == "number" then
      if math_type(key) == "integer" and key > 0 then positions[#positions + 1] = key else other[#other + 1] = key end
    elseif kind == "boolean" then
      flags[#flags + 1] = key
    else
      if not numbers[key] then unseen[#unseen + 1] = key end
      objects[#objects + 1] = key
    end
  end
  local all = sort_plain(positions, #positions)
  append(all, sort_plain(other, #other))
  append(all, sort_plain(texts, #texts))
  append(all, #flags == 2 and {false, true} or flags)
  if objects[1] then
    number_all(t, unseen)
    local by_number, found = {}, {}
    for i = 1, #objects do
      found[i] = numbers[objects[i]]
      by_number[found[i]] = objects[i]
    end
    found = sort_plain(found, #found)
    for i = 1, #found do found[i] = by_number[found[i]] end
    append(all, found)
  end
  return all
end

-- The keys of a table: the n of its positions 1 to n, and the others in their order, or nil where there are none.
local function keys_of(t)
  local n, others, count, only_texts = 0, nil, 0, true
  for key in next, t do
    if key == n + 1 then
      n = key
    else
      count = count + 1
      if others then others[count] = key else others = {key} end
      if only_texts and type(key) ~= "string" then only_texts = false end
    end
  end
  if not others then return n, nil end
  return n, only_texts and sort_plain(others, count) or sorted(t, others)
end

local function no_table(what, value)
  error("bad argument #1 to '" .. what .. "' (table expected, got " .. type(value) .. ")", 3)
end

-- ----- next

-- table -> the last walk through it: how many positions, the other keys, where in them, and the key given last. `loose`
-- is one that `next(t)` began without a look at all keys, or that goes on where the last first key was taken away.
local walks = lua.setmetatable({}, {__mode = "k"})

-- Goes on in a walk to the first key that still holds something.
local function advance(t, walk)
  local n, others, at = walk.n, walk.others, walk.at
  while true do
    at = at + 1
    local key
    if at <= n then
      key = at
    elseif others then
      key = others[at - n]
    end
    if key == nil then
      walks[t] = nil
      return nil
    end
    local value = rawget(t, key)
    if value ~= nil and key ~= walk.given then
      walk.at, walk.last = at, key
      return key, value
    end
  end
end

local function begin_walk(t)
  local n, others = keys_of(t)
  local walk = {n = n, others = others, at = 0}
  walks[t] = walk
  return walk
end

-- The first key, unless it is a table or the like: whether a table is empty is asked often, and needs no sorting.
local function first_of(t)
  if rawget(t, 1) ~= nil then return 1 end
  local position, other, text, flag
  for key in next, t do
    local kind = type(key)
    if kind == "string" then
      if not text or key < text then text = key end
    elseif kind == "number" then
      if math_type(key) == "integer" and key > 0 then
        if not position or key < position then position = key end
      elseif not other or key < other then
        other = key
      end
    elseif kind == "boolean" then
      flag = key and flag ~= false -- false goes first
    end
  end
  if position or other or text then return position or other or text end
  return flag
end

local function first(t)
  if next(t) == nil then
    walks[t] = nil
    return nil
  end
  local walk = walks[t]
  if walk and walk.loose and rawget(t, walk.last) == nil then
    -- A table that is used up by taking its first key away again and again: not sorted anew each time.
    if not walk.at then walk = begin_walk(t) end
    local key, value = advance(t, walk)
    if key == nil then key, value = advance(t, begin_walk(t)) end -- what was added since
    walks[t].loose = true
    return key, value
  end
  local key = first_of(t)
  if key == nil then return advance(t, begin_walk(t)) end
  walks[t] = {loose = true, last = key}
  return key, rawget(t, key)
end

-- An order of all keys there can be, as a class and a number or text in it: for a key that is not where it was.
local function place_of(key)
  local kind = type(key)
  if kind == "number" then return math_type(key) == "integer" and key > 0 and 1 or 2, key end
  if kind == "string" then return 3, key end
  if kind == "boolean" then return 4, key and 1 or 0 end
  return 5, number_of(key)
end

-- How many of the keys do not come after a key.
local function passed(others, key)
  local class, place = place_of(key)
  local low, high = 1, #others + 1
  while low < high do
    local middle = (low + high) // 2
    local other_class, other_place = place_of(others[middle])
    if other_class > class or (other_class == class and other_place > place) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low - 1
end

function order.next(t, key)
  if type(t) ~= "table" then no_table("next", t) end
  if key == nil then return first(t) end
  local walk = walks[t]
  if walk and walk.last == key then
    if walk.loose then
      walk = begin_walk(t)
      walk.given = key
    end
    return advance(t, walk)
  end
  -- Two walks through one table at a time, or a key from elsewhere.
  walk = begin_walk(t)
  if math_type(key) == "integer" and key > 0 and key <= walk.n then
    walk.at = key
  else
    walk.at = walk.n + (walk.others and passed(walk.others, key) or 0)
  end
  return advance(t, walk)
end

-- ----- pairs

-- The walk through a list, position by position.
local function walk_list(t, n, get)
  return function(state, key)
    local i = (key or 0) + 1
    while i <= n do
      local value
      if get then value = get(state, i) else value = state[i] end
      if value ~= nil then return i, value end
      i = i + 1
    end
    return nil
  end, t, nil
end

function order.pairs(t)
  if type(t) ~= "table" then no_table("for iterator", t) end
  local meta = raw_getmetatable(t)
  if meta and rawget(meta, "__pairs") ~= nil then
    local step, state, start = rawget(meta, "__pairs")(t)
    return step, state, start
  end
  local get = meta and rawget -- a key that was taken away since must not ask __index
  local n, keys = keys_of(t)
  if not keys then return walk_list(t, n, get) end
  if n > 0 then
    local all = {}
    for i = 1, n do all[i] = i end
    append(all, keys)
    keys = all
  end
  local at, last = 0, nil
  return function(state, key)
    if key ~= last or state ~= t then return order.next(state, key) end
    while true do
      at = at + 1
      last = keys[at]
      if last == nil then
        last = walks -- no key: whoever asks again begins again
        return nil
      end
      local value
      if get then value = get(state, last) else value = state[last] end
      if value ~= nil then return last, value end
    end
  end, t, nil
end

return order
