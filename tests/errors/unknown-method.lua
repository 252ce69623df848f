sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:add_feild("density", Format.R32F, 0.0)
