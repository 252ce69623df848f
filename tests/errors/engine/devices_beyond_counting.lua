local sim = FluidEngine.new{
  domain_size = {16, 8, 8},
  gpu_count = 1e9,
}
