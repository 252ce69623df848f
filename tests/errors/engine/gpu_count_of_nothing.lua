sim = FluidEngine.new{domain_size = {8, 8, 8}, gpu_count = 0}
