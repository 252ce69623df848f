sim = FluidEngine.new{grid_file = "readme.txt"}
