sim = FluidEngine.new(domain_size = {32, 32})
