FluidEngine.new{domain_size = {24, 64, 64}, gpu_count = 4}
