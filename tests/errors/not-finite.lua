sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:add_field("velocity", Format.R32G32B32F, {
    0,
    0 / 0,
    0,
})
