sim = FluidEngine.new{
    grid_file = "\\\\host\\share\\smoke.vdb"
}
