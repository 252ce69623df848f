-- SPDX-License-Identifier: GPL-3.0-or-later
-- Writes letters.nvdb, from which this preset starts: run it, and put the file from its bake folder beside script.lua.
-- Any density that another program wrote as .nvdb or .vdb does as well.
local shapes = require("fluid.shapes")

-- The strokes of each letter on a raster 4 wide and 6 high; a list of points is drawn as one line.
local letters = {
    {{0, 0, 0, 6, 4, 6}, {0, 3.2, 3, 3.2}},
    {{0, 6, 0, 0, 3.6, 0}},
    {{0, 6, 0, 1.4, 0.5, 0.5, 1.4, 0, 2.6, 0, 3.5, 0.5, 4, 1.4, 4, 6}},
    {{1, 0, 1, 6}},
    {{0, 0, 0, 6, 2, 6, 3.2, 5.4, 3.8, 4.2, 3.8, 1.8, 3.2, 0.6, 2, 0, 0, 0}},
}
local strokes, left, unit = {}, -0.8, 0.068
for place, letter in ipairs(letters) do
    for _, line in ipairs(letter) do
        for i = 1, #line - 3, 2 do
            strokes[#strokes + 1] = shapes.capsule{
                from = {left + unit * line[i], 0, 0.3 + unit * line[i + 1]},
                to = {left + unit * line[i + 2], 0, 0.3 + unit * line[i + 3]}, radius = 0.042,
            }
        end
    end
    left = left + unit * (place == 4 and 3.2 or 5.6)
end

sim = FluidEngine.new{domain_size = {112, 16, 40}, voxel_size = 1 / 60, origin = {-56 / 60, -8 / 60, 0.2}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("draw", {outputs = {"density"}, code = [[
    vec3 p = vec3(-56.0, -8.0, 12.0) / 60.0 + (vec3(coord) + 0.5) * voxel_size;
    float ink = clamp(0.5 - ]] .. shapes.union(table.unpack(strokes)).distance .. [[ / voxel_size, 0.0, 1.0);
    WriteField("density", idx, ink);
]]})
sim:run_stencil("draw")
sim:export_nvdb("letters.nvdb")
sim:export_vdb("letters.vdb")
