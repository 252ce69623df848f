sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("march", {
    inputs = {"density"},
    outputs = {"density_new"},
    code = [[
        float v = 0.0;
        for (;;) { v += 1.0; }
        while (true) v += 1.0;
        do { v += 1.0; } while (1 == 1);
        WriteField("density_new", idx, v);
    ]]
})
