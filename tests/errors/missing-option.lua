sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:add_stencil("cool", {
    inputs = {"temperature"},
    code = [[ WriteField("temperature", idx, 0.0); ]],
})
