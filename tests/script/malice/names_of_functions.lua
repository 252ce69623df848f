-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "lua-error"
-- The stack of an error goes to the host as lines of text: names of functions must not write lines of their own.
local t = {}
t["a\n7\tforged\tsmoke.lua\nb\t\27[31m"] = function() error("deep") end
t["a\n7\tforged\tsmoke.lua\nb\t\27[31m"]()
