sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:fill("velocity", {1, nil, 3})
