sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim.time = 0
