--! close_in = "step"
sim = FluidEngine.new({domain_size = {32, 32, 32}})
for frame = 1, 10 do
    sim:step(0.04)
end
