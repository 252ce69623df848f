-- SPDX-License-Identifier: GPL-3.0-or-later
-- Looks for whatever could differ from run to run, and prints it: addresses, orders of hashes, clocks, seeds, the moment
-- at which memory is freed. Run in several processes it must print the same.

local function show(what, ...) print(what .. ":", ...) end

-- Keys of every kind, put in and taken out in different orders.
local class = {}
class.__index = class
local function made(name) return setmetatable({name = name}, class) end
local mixed = {10, 20, 30, [-1] = "a", [0] = "b", [2.5] = "c", [1e300] = "d", [true] = "e", [false] = "f", [99] = "g"}
for i = 1, 60 do mixed["key" .. i * 7919 % 101] = i end
for i = 1, 30 do mixed["key" .. i * 7919 % 101] = nil end
mixed[made("x")] = "object x"
mixed[made("y")] = "object y"
mixed[print] = "print"
mixed[show] = "show"
mixed[coroutine.create(print)] = "coroutine"
for key, value in pairs(mixed) do show("pairs", key, value) end
for key, value in next, mixed do show("next", key, value) end
show("first", (next({z = 1, y = 2, x = 3})), (next({[{}] = 1})))
for name, value in pairs(_G) do show("global", name, value) end

-- Two walks at a time, a table that is used up, keys that go while it is walked.
local names = {}
for i = 1, 12 do names["n" .. i] = i end
for a in next, names do
  local line = {}
  for b in next, names do line[#line + 1] = b end
  show("nested", a, table.concat(line, " "))
  names[a] = nil
end
for i = 1, 12 do names["n" .. i] = i end
while next(names) do
  local name = next(names)
  show("used up", name)
  names[name] = nil
  if name == "n3" then names.late = 1 end
end
for i = 1, 20 do names["n" .. i] = i end
for name in pairs(names) do
  for i = 1, 20, 3 do names["n" .. i] = nil end
  show("taken away", name)
end

-- Names of what has none.
for _, value in ipairs({{}, print, show, coroutine.create(print), class, made("z"), math, string.format}) do
  show("shown", value, tostring(value), ("%s|%10s|%-20s|%q"):format(value, "a", value, 0.1))
end
show("named", setmetatable({}, {__name = "mine"}), tostring(setmetatable({}, {__tostring = function() return "own" end})))
show("no addresses", pcall(string.format, "%p", {}))
show("no addresses", pcall(string.format, "%20p", "text"))
show("running", coroutine.running())
show("wrapped", coroutine.wrap(function() return coroutine.running() end)())

-- Equal elements, and pivots made so badly that Lua's own sort would ask the clock.
local rows = {}
for i = 1, 1000 do rows[i] = {k = 100 + i % 3, i = i} end
rows[1].k, rows[250].k, rows[1000].k = 0, 1, 2
table.sort(rows, function(a, b) return a.k < b.k end)
local sum = 0
for _, row in ipairs(rows) do sum = (sum * 31 + row.i) % 1000000007 end
show("sort", sum)
table.sort(rows, function() return true end)
show("sort without an order", rows[1].i, rows[500].i, rows[1000].i)
local numbers = {}
for i = 1, 700 do numbers[i] = i % 5 == 0 and i // 5 % 4 + 0.0 or i % 4 end
table.sort(numbers)
for i, number in ipairs(numbers) do numbers[i] = tostring(number) end
show("sort of both kinds of numbers", table.concat(numbers, " "))

-- Lengths of lists with holes, of numbers only.
local lengths = {}
for seed = 1, 100 do
  local t = {}
  math.randomseed(seed)
  for _ = 1, 40 do t[math.random(1, 40)] = math.random() < 0.7 or nil end
  lengths[seed] = #t
end
show("lengths", table.concat(lengths, " "))

-- Random numbers.
math.randomseed()
show("random", math.random(0), math.random(), math.random(100), math.randomseed(5), math.random(100))

-- What is freed is not seen.
local weak = setmetatable({}, {__mode = "kv"})
for i = 1, 20000 do
  weak[i] = {}
  weak["k" .. i % 97] = nil
  weak["k" .. i * 31 % 97] = {i}
end
local left = 0
for _ in pairs(weak) do left = left + 1 end
show("left in a weak table", left)

-- Errors.
local wrong = {
  function() return {} < {} end, function() return {} .. "x" end, function() return #print end, function() local t t.x = 1 end,
  function() return mixed.no.way end, function() error({}) end, function() error(setmetatable({}, {__name = "thing"})) end,
  function() error(print) end, function() string.rep(show, 2) end, function() return table.concat({{}}) end,
  function() return ("x"):bad() end, function() return setmetatable({}, {__index = error}).x end,
  function() return math.floor({}) end, function() return tostring() end, function() return pairs() end,
  function() return next(5) end, function() return table.sort({1, {}, "x"}) end, function() return 1 & 1.5 end,
  function() return ipairs() end, function() require("nothing") end, function() require("../x") end,
  function() FluidEngine.old() end, function() return Format.R99 end, function() return params[{}] end,
  function() return scene[print] end, function() param("x", {default = {}}) end, function() param({[true] = 1, [print] = 2, [{}] = 3}) end,
  function() FluidEngine.new({[print] = 1, domain_size = {1, 1, 1}, [-1] = 2}) end, function() sim = FluidEngine.new(weak) end,
  function() local function f() return 1 + f() end f() end, function() local function f() coroutine.wrap(f)() end f() end,
  function() for _ in pairs({[{}] = 1, [{}] = 1}) do end end, function() load("x x x", "=name")() end,
  function() load(("x"):rep(2e6)) error((load(("x"):rep(2e6)))) end, function() warn({}) end,
}
for i, f in ipairs(wrong) do show("wrong " .. i, pcall(f)) end
for i, f in ipairs(wrong) do show("handled " .. i, xpcall(f, function(e) return type(e), tostring(e) end)) end
show("load", load("return io or os or debug"), load("x x"), load(print))

-- What reaches the engine.
sim = FluidEngine.new{domain_size = {4, 4, 4}}
local options = {frames = 2}
for key, value in pairs({fps = 24, cfl = 2, substeps = 3, export = "a_##.vdb", fields = {"u"}}) do options[key] = value end
sim:run(options)
for name in pairs({wind = 1, smoke = 1, heat = 1, fuel = 1, soot = 1, salt = 1}) do sim:add_field(name, Format.R32F) end
for name, value in pairs({a = 1, b = 2, c = 3, d = 4, e = 5}) do param(name, {default = value}) end
for key in pairs(_G) do
  if type(key) == "string" and #key < 20 then sim:fill(key, #key) end
end

-- Sets of what has no name but where it comes from.
local sets = {[sim] = 1, [FluidEngine.new{domain_size = {4, 4, 4}}] = 1, [FluidEngine] = 1, [Format] = 1, [sim.step] = 1}
for i = 1, 8 do sets[coroutine.create(print)] = 1 end
for i = 1, 8 do sets[coroutine.wrap(print)] = 1 end
for _, library in pairs({math, string, table, utf8, coroutine}) do
  for _, f in pairs(library) do sets[f] = 1 end
end
for key in pairs(sets) do show("set", key) end
