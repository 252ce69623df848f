local gas = require("fluid.gas")
local sim = FluidEngine.new{domain_size = {32, 32, 32}, sparse = true}
sim:add_field("density", Format.R32F, 0)
gas.emit(sim, {shape = gas.sphere{center = {"time", 1, 1}, radius = 0.5}, fields = {density = 1}, within = {0, 0, 0}})
