-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a pattern costs at worst, before it is tried: matching is one call of C, which the clock cannot interrupt.

local lua, spend = ...
local error, type = lua.error, lua.type
local sub, exp, log = lua.string.sub, lua.math.exp, lua.math.log

local _ENV <const> = nil

local MAX_STEPS = log(2e8) -- of one match at the very worst: some seconds, for a pattern made to take them

-- How a pattern's work grows with the length of its subject: how many of its pieces repeat, so that their ends divide
-- the subject in every way there is, and how many are optional. What repeats at the very end never has to be tried
-- again, and an anchored pattern starts only once.
local function growth_of(pattern)
  local exponent, optional, trailing = 0, 0, false
  local anchored = sub(pattern, 1, 1) == "^"
  local at, last = anchored and 2 or 1, #pattern
  while at <= last do
    local c = sub(pattern, at, at)
    local single = true
    if c == "%" then
      local class = sub(pattern, at + 1, at + 1)
      at = at + 2
      if class == "b" then
        at, exponent, single = at + 2, exponent + 1, false
      end
    elseif c == "[" then
      at = sub(pattern, at + 1, at + 1) == "^" and at + 2 or at + 1
      repeat -- the first character of a set may be a ]
        at = at + (sub(pattern, at, at) == "%" and 2 or 1)
      until at > last or sub(pattern, at, at) == "]"
      at = at + 1
    elseif c == "(" or c == ")" then
      at, single = at + 1, false
    else
      at = at + 1
    end
    local suffix = single and sub(pattern, at, at) or ""
    if suffix == "*" or suffix == "+" or suffix == "-" then
      at, exponent, trailing = at + 1, exponent + 1, true
    elseif suffix == "?" then
      at, optional, trailing = at + 1, optional + 1, false
    elseif c ~= ")" and c ~= "(" then
      trailing = false
    end
  end
  if trailing then exponent = exponent - 1 end
  return exponent + (anchored and 0 or 1), optional
end

local growths, growths_known = {}, 0

-- Refuses a match that could run for long, and counts the work of any other.
return function(s, pattern)
  if type(s) ~= "string" or type(pattern) ~= "string" then return end
  local growth = growths[pattern]
  if not growth then
    if #pattern > 2000 then error("pattern too long", 3) end
    if growths_known > 500 then growths, growths_known = {}, 0 end
    local exponent, optional = growth_of(pattern)
    growth = {exponent, optional * log(2) + log(#pattern + 1)} -- each try may go through all of the pattern
    growths[pattern], growths_known = growth, growths_known + 1
  end
  local steps = growth[2]
  for i = 1, growth[1] do steps = steps + log((#s + i) / i) end -- the number of ways to set that many ends in order
  if steps > MAX_STEPS then error("pattern too expensive for a text of " .. #s .. " characters", 3) end
  spend(exp(steps))
end
