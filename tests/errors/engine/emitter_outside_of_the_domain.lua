local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {32, 32, 64}, voxel_size = 0.05, origin = {-0.8, -0.8, 0}}
gas.fields(sim, {"density"})
gas.emit(sim, {
    fields = {density = 1},
    shape = gas.sphere{center = {0, 0, -0.5}, radius = 0.25},
})
