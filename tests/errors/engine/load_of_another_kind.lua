sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("velocity", Format.R32G32B32F, 0)
sim:load("velocity", "smoke.nvdb", {grid = "density"})
