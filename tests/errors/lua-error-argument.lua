print(("smoke"):rep("often"))
