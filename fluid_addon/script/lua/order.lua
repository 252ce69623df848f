-- SPDX-License-Identifier: GPL-3.0-or-later
-- The same order in every run. Lua walks a table in the order of its hashes, which depend on addresses and on a seed that
-- is new in every process, and its sort takes the clock to choose pivots. Here `pairs` and `next` go by the keys
-- themselves, `sort` is stable, and what has no name is numbered when it is first seen instead of shown by its address.

local lua, border = ...
local error, next, rawget, tostring, type = lua.error, lua.next, lua.rawget, lua.tostring, lua.type
local raw_getmetatable, getinfo = lua.raw_getmetatable, border.getinfo
local format, sub = lua.string.format, lua.string.sub
local concat, move, sort = lua.table.concat, lua.table.move, lua.table.sort
local math_type = lua.math.type

local _ENV <const> = nil

local order = {}

-- ===== Sorting

local SMALL = 10000 -- elements that C sorts at a time, where the clock cannot interrupt it
local RUN = 8

-- Whether the elements have one sorted order only: of one kind, and equal ones cannot be told apart (0.0 and -0.0 can).
local function are_plain(a, n)
  local kind = math_type(a[1]) or type(a[1])
  if kind == "integer" then
    for i = 2, n do if math_type(a[i]) ~= "integer" then return false end end
  elseif kind == "string" then
    for i = 2, n do if type(a[i]) ~= "string" then return false end end
  elseif kind == "float" then
    for i = 1, n do
      local v = a[i]
      if math_type(v) ~= "float" or v ~= v or v == 0 then return false end
    end
  else
    return false
  end
  return true
end

local function ascending(a, b) return a < b end

-- A stable merge sort of a[1] to a[n], of which every `width` elements are sorted already; returns the list that holds
-- the answer, which may be another one.
local function merged(a, n, before, width)
  local b = {}
  while width < n do
    for low = 1, n, 2 * width do
      local i, middle, high = low, low + width, low + 2 * width
      if middle > n + 1 then middle = n + 1 end
      if high > n + 1 then high = n + 1 end
      local j = middle
      for k = low, high - 1 do
        if i < middle and (j >= high or not before(a[j], a[i])) then
          b[k] = a[i]
          i = i + 1
        else
          b[k] = a[j]
          j = j + 1
        end
      end
    end
    a, b, width = b, a, 2 * width
  end
  return a
end

local function sort_runs(a, n, before)
  for low = 1, n, RUN do
    for i = low + 1, low + RUN - 1 <= n and low + RUN - 1 or n do
      local v, j = a[i], i - 1
      while j >= low and before(v, a[j]) do
        a[j + 1] = a[j]
        j = j - 1
      end
      a[j + 1] = v
    end
  end
end

-- A list that has one sorted order only: pieces are sorted by C, which is fast, and none of them takes it long.
local function sort_plain(a, n)
  if n <= SMALL then
    sort(a)
    return a
  end
  for low = 1, n, SMALL do
    local piece = move(a, low, low + SMALL - 1 <= n and low + SMALL - 1 or n, 1, {})
    sort(piece)
    move(piece, 1, #piece, low, a)
  end
  return merged(a, n, ascending, SMALL)
end

-- Sorts t[1] to t[n] in place.
function order.sort(t, n, before)
  if n < 2 then return end
  local copy = {}
  for i = 1, n do copy[i] = t[i] end
  if before == nil and are_plain(copy, n) then
    copy = sort_plain(copy, n)
  else
    sort_runs(copy, n, before or ascending)
    copy = merged(copy, n, before or ascending, RUN)
  end
  for i = 1, n do t[i] = copy[i] end
end

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
  local only_texts = true
  for i = 1, #keys do
    if type(keys[i]) ~= "string" then only_texts = false break end
  end
  if only_texts then return sort_plain(keys, #keys) end
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
  positions = sort_plain(positions, #positions)
  append(positions, sort_plain(other, #other))
  append(positions, sort_plain(texts, #texts))
  if flags[1] ~= nil then
    if #flags == 2 then flags = {false, true} end
    append(positions, flags)
  end
  if objects[1] then
    number_all(t, unseen)
    local by_number, found = {}, {}
    for i = 1, #objects do
      found[i] = numbers[objects[i]]
      by_number[found[i]] = objects[i]
    end
    found = sort_plain(found, #found)
    for i = 1, #found do found[i] = by_number[found[i]] end
    append(positions, found)
  end
  return positions
end

-- The keys of a table: the n of its positions 1 to n, and the others in their order, or nil where there are none.
local function keys_of(t)
  local n, others = 0, nil
  for key in next, t do
    if key == n + 1 then
      n = key
    elseif others then
      others[#others + 1] = key
    else
      others = {key}
    end
  end
  return n, others and sorted(t, others)
end

local function no_table(what, value)
  error("bad argument #1 to '" .. what .. "' (table expected, got " .. type(value) .. ")", 3)
end

-- An order of all keys there can be, as two numbers or texts to compare: for a key that is not where it was.
local function place_of(key)
  local kind = type(key)
  if kind == "number" then return math_type(key) == "integer" and key > 0 and 1 or 2, key end
  if kind == "string" then return 3, key end
  if kind == "boolean" then return 4, key and 1 or 0 end
  return 5, number_of(key)
end

local function comes_after(key, class, place)
  local own_class, own_place = place_of(key)
  if own_class ~= class then return own_class > class end
  return own_place > place
end

local walks = lua.setmetatable({}, {__mode = "k"}) -- table -> where the last walk with `next` is in it

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
    if value ~= nil then
      walk.at, walk.last = at, key
      return key, value
    end
  end
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

local function begin_walk(t)
  local walk = {at = 0}
  walk.n, walk.others = keys_of(t)
  walks[t] = walk
  return walk
end

function order.next(t, key)
  if type(t) ~= "table" then no_table("next", t) end
  if key == nil then
    if next(t) == nil then return nil end
    local first = first_of(t)
    if first == nil then return advance(t, begin_walk(t)) end
    walks[t] = nil
    return first, rawget(t, first)
  end
  local walk = walks[t]
  if walk and walk.last == key then return advance(t, walk) end
  walk = begin_walk(t)
  local n, others = walk.n, walk.others
  local class, place = place_of(key)
  if class == 1 and key <= n then
    walk.at = key
  else
    local low, high = 1, others and #others + 1 or 1 -- the first of the others that comes after the key
    while low < high do
      local middle = (low + high) // 2
      if comes_after(others[middle], class, place) then high = middle else low = middle + 1 end
    end
    walk.at = n + low - 1
  end
  return advance(t, walk)
end

function order.pairs(t)
  if type(t) ~= "table" then no_table("for iterator", t) end
  local meta = raw_getmetatable(t)
  local own = meta and rawget(meta, "__pairs")
  if own ~= nil then
    local step, state, first = own(t)
    return step, state, first
  end
  local n, others = keys_of(t)
  local at, last = 0, nil
  return function(state, key)
    if key ~= last or state ~= t then return order.next(state, key) end
    while true do
      at = at + 1
      local value
      if at <= n then
        last = at
      else
        last = others and others[at - n]
        if last == nil then
          last = walks -- no key: whoever asks again begins again
          return nil
        end
      end
      if meta then value = rawget(t, last) else value = t[last] end
      if value ~= nil then return last, value end
    end
  end, t, nil
end

return order
