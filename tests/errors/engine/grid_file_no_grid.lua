sim = FluidEngine.new{grid_file = "words.nvdb"}
