sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("march", {
    inputs = {"density"},
    outputs = {"density_new"},
    code = [[
        double v = 1.0lf;
        int64_t n = int64_t(idx);
        WriteField("density_new", idx, float(v));
    ]]
})
