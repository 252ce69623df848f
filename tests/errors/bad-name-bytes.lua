sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:add_field("temp\xe9rature", Format.R32F, 0.0)
