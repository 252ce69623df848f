sim = FluidEngine.new({
    domain_size = {32, 32, 32},
    voxelsize = 0.1,
})
