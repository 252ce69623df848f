sim = FluidEngine.new{domain_size = {1024, 1024, 800}}
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0})
