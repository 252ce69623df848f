sim = FluidEngine.new{domain_size = {64, 0, 64}}
