--! parameters.buoyancy = 12
param("buoyancy", {default = 1.5, min = 0, max = 10})
