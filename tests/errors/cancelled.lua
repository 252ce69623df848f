--! cancelled = true
sim = FluidEngine.new({domain_size = {32, 32, 32}})
while true do
    sim:step(0.04)
end
