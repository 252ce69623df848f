sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("heat", Format.R32F, 0)
sim:load("heat", "smoke.nvdb", {grid = "densty"})
