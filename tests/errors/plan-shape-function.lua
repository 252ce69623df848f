sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:run(frames = 10, export = function(frame) return frame .. ".vdb" end)
