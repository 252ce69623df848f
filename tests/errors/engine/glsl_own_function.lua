sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("march", {
    inputs = {"density"},
    outputs = {"density_new"},
    code = [[
        float twice(float v) { return 2.0 * v; }
        if (idx > 3) { stencil(idx, coord); }
        WriteField("density_new", idx, twice(1.0));
    ]]
})
