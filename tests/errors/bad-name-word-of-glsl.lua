param("mat3", {default = 1})
