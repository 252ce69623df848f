sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:run(frames = 10, substep = 2)
