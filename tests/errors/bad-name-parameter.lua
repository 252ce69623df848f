param("my parameter", {default = 1})
