sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:fill("density", sim)
