-- SPDX-License-Identifier: GPL-3.0-or-later
-- Lookups between voxels that keep far finer detail than the engine's linear ones, at the price of 64 reads for 8.
local values = require("fluid.values")

local cubic = {}

-- Lagrange's polynomial through the four nearest values along each axis: exact for cubics, so its error is of fourth
-- order in the voxel size where a linear lookup's is of second. It may overshoot; clamp what comes out of it.
local LOOKUP = [[
    $kind $into = $kind(0.0);
    {
        vec3 base = floor($at), t = $at - base;
        vec3 weight[4] = vec3[4](
            t * (t - 1.0) * (2.0 - t) / 6.0, (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
            (t + 1.0) * t * (2.0 - t) / 2.0, (t + 1.0) * t * (t - 1.0) / 6.0);
        for (int k = 0; k < 64; k++) {
            ivec3 o = ivec3(k >> 4, (k >> 2) & 3, k & 3);
            float share = weight[o.x].x * weight[o.y].y * weight[o.z].z;
            if (share != 0.0) $into += share * ReadField($field, ivec3(base) + o - 1);
        }
    }
]]

-- GLSL that declares `into`, a `kind` ("float", "vec2"…), the value of `field` at the vec3 `at`, in voxels. Halo: 2 around
-- `at`. Formula: R. Keys, IEEE Trans. Acoust. Speech Signal Process. 29, 1981, compares such kernels.
function cubic.lookup(kind, field, at, into)
    return (values.filled(LOOKUP, {kind = kind, field = field, at = at, into = into}))
end

return cubic
