sim = FluidEngine.new{domain_size = {16, 16, 16}}
local torn = scene.object("torn")
sim:add_object("torn", torn)
