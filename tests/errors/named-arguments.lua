sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:add_field("density", Format.R32F, init = 0.0)
