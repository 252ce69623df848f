sim = FluidEngine.new{domain_size = {8, 8, 8}, boundary = {"open", "clamp"}}
