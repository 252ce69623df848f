local sim = FluidEngine.new{domain_size = {32, 32, 32}, sparse = true}
sim:add_field("density", Format.R32F, 0)
sim:activate{margin = 2}
