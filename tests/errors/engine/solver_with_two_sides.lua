sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("pressure", Format.R32F, 0)
sim:add_field("divergence", Format.R32F, 0)
sim:add_field("faces", Format.R32UI, 0)
sim:add_solver("project", {unknown = "pressure", rhs = "divergence", sides = {"open", "closed"}})
