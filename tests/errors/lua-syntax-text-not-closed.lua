local name = "smoke
