sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0})
sim:add_field("count", Format.R32I, 0)
print(sim:reduce("densty", "sum"))
