param("buoyancy", {default = 1.5})
print(params.bouyancy)
