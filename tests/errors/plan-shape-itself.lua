sim = FluidEngine.new({domain_size = {32, 32, 32}})
local options = {frames = 10}
options.export = options
sim:run(options)
