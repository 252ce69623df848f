-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "bad-argument"
-- Too many of everything that the host keeps.
sim = FluidEngine.new{domain_size = {1, 1, 1}}
for i = 1, 300 do pcall(function() sim:nothing() end) pcall(require, "m" .. i) pcall(function() return params["p" .. i] end) end
for i = 1, 50000 do _G["global_" .. i] = i end
print(select(2, pcall(function() for i = 1, 1e6 do param("p" .. i, {default = i}) end end)))
for i = 1, 1e6 do FluidEngine.new{domain_size = {1, 1, 1}} end
