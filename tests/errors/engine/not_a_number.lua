sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 1)
sim:add_stencil("blow", {inputs = {"density"}, outputs = {"density_new"}, code = [[
    float d = ReadField("density", idx) - float(coord.z);
    if (frame > 2) {
        d = sqrt(d);
    }
    WriteField("density_new", idx, d);
]]})
for frame = 1, 10 do
    sim:step(1 / 24)
end
