-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "lua-timeout"
--! seconds = 0.4
-- Patterns on which matching takes long, one after the other: each is refused, or short enough for the clock between.
local subject = ("a"):rep(900)
local pieces = {"a*", "a-", ".-", "%w+", "[a-z]*", "(a*)", "%f[b]", "a?", "%b()", "(.-)", "[%a]-", "()"}
local count = 0
while true do
  local pattern = {}
  for i = 1, math.random(1, 12) do pattern[i] = pieces[math.random(#pieces)] end
  local text = table.concat(pattern) .. "b"
  pcall(string.find, subject, text)
  pcall(string.gsub, subject, text, "%0%0")
  pcall(string.match, subject, "^" .. text)
  pcall(function() for _ in string.gmatch(subject, text) do end end)
  count = count + 1
end
