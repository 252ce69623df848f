--! seconds = 0.1
sim = FluidEngine.new({domain_size = {32, 32, 32}})
while sim.time < 1 do
    -- no step
end
