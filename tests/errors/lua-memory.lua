--! memory_mb = 8
local cells = {}
for i = 1, 1e9 do
    cells[i] = {density = 0}
end
