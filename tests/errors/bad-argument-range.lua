param("buoyancy", {default = 12, min = 0, max = 10})
