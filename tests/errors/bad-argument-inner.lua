sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:read("density", {1, 2.5, 3})
