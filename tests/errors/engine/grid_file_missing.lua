sim = FluidEngine.new{
    domain_size = {8, 8, 8},
    grid_file = "data/smoke.nvdb"
}
