sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_field("fine", Format.R32F, 0, {resolution = 2})
sim:add_stencil("both", {outputs = {"density", "fine"}, code = [[
    WriteField("density", idx, 1.0);
    WriteField("fine", idx, 1.0);
]]})
