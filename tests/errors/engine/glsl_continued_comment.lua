sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("march", {
    inputs = {"density"},
    outputs = {"density_new"},
    code = [[
        // a comment that goes on \
        #define density_new density
        WriteField("density_new", idx, 1.0);
    ]]
})
