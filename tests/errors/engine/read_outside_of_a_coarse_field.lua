sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("coarse", Format.R32F, 0, {resolution = 1/4})
sim:read("coarse", {1, 2, 1})
