sim = FluidEngine.new{domain_size = {1000, 1000, 1000}}
sim:add_field("density", Format.R32F, 0, {resolution = 2})
