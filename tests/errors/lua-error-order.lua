-- Two particles that nothing tells apart, as keys.
local alive = {}
for _ = 1, 2 do alive[{mass = 1}] = true end
for particle in pairs(alive) do
  print(particle.mass)
end
