velocty = {1, 2, 3}
print(velocity[1])
