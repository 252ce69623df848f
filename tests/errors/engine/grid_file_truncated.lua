sim = FluidEngine.new{grid_file = "truncated.nvdb"}
