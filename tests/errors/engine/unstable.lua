sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0})
sim:add_field("count", Format.R32I, 0)
sim:add_stencil("move", {
    inputs = {},
    outputs = {"velocity"},
    code = [[
        WriteField("velocity", idx, vec3(1.0 / (time - time)));
    ]]
})
sim:run{frames = 3, substeps = "auto"}
