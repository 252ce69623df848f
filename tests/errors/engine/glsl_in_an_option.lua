local gas = require("fluid.gas")
param("heat", {default = 1, min = 0, max = 2})
sim = FluidEngine.new{domain_size = {32, 32, 64}}
gas.fields(sim, {"density", "temperature"})
local warm = "params.heat * smoothstep(0.0, 1.0, p.z) + velocity"
gas.buoyancy(sim, {
    temperature = warm,
    density = "0.1 * params.haet",
})
