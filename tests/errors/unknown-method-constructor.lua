sim = FluidEngine.create({domain_size = {32, 32, 32}})
