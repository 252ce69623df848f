-- SPDX-License-Identifier: GPL-3.0-or-later
-- A stable sort. Lua's own takes the clock to choose its pivots, so elements that are equal may come out in another
-- order in another run; and while it works in C no limit of time is met.

local lua = ...
local type = lua.type
local move, sort = lua.table.move, lua.table.sort
local math_type = lua.math.type

local _ENV <const> = nil

local sorting = {}

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
function sorting.plain(a, n)
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
function sorting.sort(t, n, before)
  if n < 2 then return end
  local copy = {}
  for i = 1, n do copy[i] = t[i] end
  if before == nil and are_plain(copy, n) then
    copy = sorting.plain(copy, n)
  else
    sort_runs(copy, n, before or ascending)
    copy = merged(copy, n, before or ascending, RUN)
  end
  for i = 1, n do t[i] = copy[i] end
end

return sorting
