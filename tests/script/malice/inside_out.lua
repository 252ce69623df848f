-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "lua-error"
-- The engine called from comparisons, replacements, iterators, closing variables and error handlers; coroutines that are
-- left hanging in the middle of all that; and the last word of a script that has failed.
sim = FluidEngine.new{domain_size = {1, 1, 1}}
local step = function(...) sim:step(1) return ... end
table.sort({5, 2, 4, 1}, function(a, b) step() return a < b end)
local text = ("abc"):gsub(".", function(c) step() return c:upper() end)
for _ in pairs(setmetatable({}, {__pairs = function() step() return step, nil, nil end})) do end
local hanging = {}
for i = 1, 100 do
  hanging[i] = coroutine.wrap(function()
    local closing <close> = setmetatable({}, {__close = function() step() error("closing " .. i) end})
    table.sort({3, 1, 2}, function(a, b) coroutine.yield(i) return a < b end)
  end)
  step(hanging[i]())
end
print(pcall(coroutine.wrap(function() ("x"):gsub(".", coroutine.yield) end)))
print(pcall(coroutine.wrap(function() load(coroutine.yield) end)))
print(xpcall(error, function(e) step() return pcall(error, e) end, "again"))
print(pcall(function() local x <close> = setmetatable({}, {__close = function(_, e) sim:step("x") end}) error("first") end))
print(pcall(string.rep, setmetatable({}, {__tostring = step}), 3), text)
print(select("#", pcall(require, setmetatable({}, {__tostring = step}))))
local ok, made = pcall(coroutine.wrap(function() return FluidEngine.new{domain_size = {1, 1, 1}} end))
made:step(1)
error(setmetatable({}, {__tostring = function() made:step(1) sim:step(1) error("no text either") end}))
