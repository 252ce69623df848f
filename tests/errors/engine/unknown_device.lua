sim = FluidEngine.new{domain_size = {8, 8, 8}, device = "GeForce 9999"}
