sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:add_field("velocity", 107, {0, 0, 0})
