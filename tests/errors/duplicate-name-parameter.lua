param("buoyancy", {default = 1.5})
param("buoyancy", {default = 2})
