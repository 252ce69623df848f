sim = FluidEngine.new{grid_file = "smoke.nvdb"}
sim:add_field("density", Format.R32G32B32F, {0, 0, 0})
