local sim = FluidEngine.new{domain_size = {32, 32, 32}}
sim:add_field("density", Format.R32F, 0)
sim:activate{field = "density", margin = -1} -- it changes nothing in a dense domain, and is checked all the same
