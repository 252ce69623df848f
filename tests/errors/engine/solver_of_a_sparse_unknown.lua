local sim = FluidEngine.new{domain_size = {32, 32, 32}, sparse = true}
sim:add_field("pressure", Format.R32F, 1)
sim:add_field("divergence", Format.R32F, 0)
sim:add_solver("solve", {unknown = "pressure", rhs = "divergence"})
