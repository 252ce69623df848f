sim = FluidEngine.new{domain_size = {2048, 2048, 1024}}
