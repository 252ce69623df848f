local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {32, 32, 64}}
gas.fields(sim, {"density", "heat"})
gas.emit(sim, {shape = gas.sphere{center = {1, 1, 1}, radius = 0.5}, fields = {density = 1, heat = 1}})
gas.buoyancy(sim, {temperature = 2})
