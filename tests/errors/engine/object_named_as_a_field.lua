sim = FluidEngine.new{domain_size = {16, 16, 16}}
sim:add_field("ball_velocity", Format.R32F, 0)
sim:add_object("ball", scene.object("ball"))
