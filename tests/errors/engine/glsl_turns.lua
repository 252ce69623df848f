sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("march", {
    inputs = {"density"},
    outputs = {"density_new"},
    code = [[
        float v = ReadField("density", idx);
        // the voxel's own value never grows
        while (v < 1.0 && frame > 1 && coord.z > 4) { v *= 2.0; }
        WriteField("density_new", idx, v);
    ]]
})
for _ = 1, 4 do sim:step(0.1) end
