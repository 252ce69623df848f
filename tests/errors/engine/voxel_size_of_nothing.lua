sim = FluidEngine.new{domain_size = {8, 8, 8}, voxel_size = 0}
