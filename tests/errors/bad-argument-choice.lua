sim = FluidEngine.new({domain_size = {32, 32, 32}})
local most = sim:reduce("density", "maximum")
