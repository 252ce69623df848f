sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("march", {
    inputs = {"density"},
    outputs = {"density_new"},
    code = [[
        layout(set = 0, binding = 2) buffer Other { float v[]; };
        shared float sum;
        precise float exact = 1.0;
        barrier();
        memoryBarrierShared();
        atomicAdd(sum, 1.0);
        uniform sampler3D volume;
        imageStore(volume, coord, vec4(0.0));
        float v = texture(volume, vec3(0.5)).x + subgroupAdd(1.0);
        if (v < 0.0) discard;
        WriteField("density_new", idx, v);
    ]]
})
