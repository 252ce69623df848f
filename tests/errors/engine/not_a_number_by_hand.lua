sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("velocity", Format.R32G32B32F, {1, 2, 3})
sim:add_stencil("turn", {inputs = {"velocity"}, outputs = {"velocity"}, enabled = false, code = [[
    WriteField("velocity", idx, sqrt(1.5 - ReadField("velocity", idx)));
]]})
sim:run_stencil("turn")
