local heat = 1
heat += 2
