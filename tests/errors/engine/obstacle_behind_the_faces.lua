local gas = require("fluid.gas")
local sim = FluidEngine.new{domain_size = {32, 32, 32}, sparse = true}
sim:add_field("density", Format.R32F, 0)
gas.obstacle(sim, {shape = gas.sphere{center = {1, 1, 1}, radius = 0.5}})
gas.faces(sim)
gas.obstacle(sim, {shape = gas.sphere{center = {2, 1, 1}, radius = 0.5}})
