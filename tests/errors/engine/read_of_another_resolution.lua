sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_field("fine", Format.R32F, 0, {resolution = 2})
sim:add_stencil("refine", {
    inputs = {"density", "fine"},
    outputs = {"fine_new"},
    code = [[
        float old = ReadField("fine", idx);
        WriteField("fine_new", idx, old + ReadField("density", coord / 2));
    ]]
})
