sim = FluidEngine.new{voxel_size = 0.1}
