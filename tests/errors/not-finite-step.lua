sim = FluidEngine.new({domain_size = {32, 32, 32}})
local speed = 0
sim:step(dt = 1 / speed)
