sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:run(frames = 10, fps = 24,
        frames = 20)
