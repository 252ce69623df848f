-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "done"
-- Against our own pairs, next and sort: changes in the middle, orders that are none, iterators handed around.
local t = {}
for i = 1, 50 do t["k" .. i] = i end
local step, state, key = pairs(t)
for i = 1, 200 do
  key = step(state, key)
  t["k" .. i % 60] = i % 3 == 0 and i or nil
  pcall(step, {}, i)
  pcall(step, 5, i)
  pcall(step, t, {})
  pcall(next, t, {})
  pcall(next, t, 0 / 0)
end
print(pcall(next, t, nil, nil), pcall(pairs, setmetatable({}, {__pairs = 5})))
local sorted = {}
for i = 1, 200 do sorted[i] = i % 17 end
table.sort(sorted, function(a, b) sorted[a + 1] = nil sorted[#sorted + 1] = 5 return math.random() < 0.5 end)
print(pcall(table.sort, sorted, function() error(sorted) end))
print(pcall(table.sort, setmetatable({3, 2, 1}, {__newindex = error, __index = error, __lt = error})))
print(pcall(table.sort, {{}, {}, 1, "x"}))
local nested = setmetatable({}, {__pairs = function(t) return pairs(t) end})
print(pcall(pairs, nested))
print(pcall(setmetatable, setmetatable({}, {__metatable = false}), {}), pcall(setmetatable, {}, {__mode = {}}))
print(#tostring(setmetatable({}, {__name = ("n"):rep(1e6)})), pcall(tostring, setmetatable({}, {__tostring = 5})))
