sim = FluidEngine.new({domain_size = {32, 32, 32}})
sim:export_vdb("a.vdb", "b.vdb")
