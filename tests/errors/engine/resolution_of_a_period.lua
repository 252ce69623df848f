sim = FluidEngine.new{domain_size = {8, 8, 9}, boundary = {"open", "clamp", "periodic"}}
sim:add_field("density", Format.R32F, 0, {resolution = 1/2})
