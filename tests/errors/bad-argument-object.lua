sim = FluidEngine.new{domain_size = {16, 16, 16}}
sim:add_object("ball", "Ball")
