-- SPDX-License-Identifier: GPL-3.0-or-later
-- What fades by itself: smoke that thins out, heat that is radiated away. Both are exact in dt: one step of 0.1 s and ten
-- of 0.01 s leave the same, to rounding.
local values = require("fluid.values")

local decay = {}

local function fade(sim, name, fields, code)
    sim:add_stencil(values.name(sim, name), {inputs = values.reads(code), outputs = fields, code = code})
end

-- Lets fields fade.
--   fields   table: field = how much per second, a number or GLSL, 0 or more
--   mode     "exponential" (default): df/dt = -rate f, what is left after t is f exp(-rate t)
--            "linear": df/dt = -rate, down to 0 and not beyond; a vector keeps its direction
--   to       the value to which they fade, a number or GLSL (default 0)
-- Halo 0. Solutions in closed form. The two modes are Mantaflow's dissolveSmoke, logarithmic and linear, there per step
-- and here per second.
function decay.dissipate(sim, given)
    local o = values.options(given, "gas.dissipate", {"fields", "mode", "to"})
    local mode = values.choice(o.mode, "exponential", "mode", {"exponential", "linear"})
    if type(o.fields) ~= "table" or next(o.fields) == nil then
        error('"fields" of gas.dissipate must be a table such as {density = 0.2}.', 0)
    end
    local to = values.float(o.to or 0, "to")
    local names, code = values.sorted(o.fields), {}
    for _, field in ipairs(names) do
        local rate = values.float(o.fields[field], "fields." .. field)
        local value = 'ReadField("' .. field .. '", idx)'
        local left = mode == "exponential" and "exp(-" .. rate .. " * dt)"
            or "max(1.0 - " .. rate .. " * dt / max(length(" .. value .. " - " .. to .. "), 1e-30), 0.0)"
        code[#code + 1] = string.format('WriteField("%s", idx, %s + (%s - %s) * %s);', field, to, value, to, left)
    end
    fade(sim, "dissipate", names, table.concat(code, "\n"))
end

-- Cools a field down to the air around.
--   field      default "temperature"
--   rate       per second, a number or GLSL: k below
--   mode       "exponential" (default): dT/dt = -k T
--              "radiative": dT/dt = -k R (T/R)^4, so that hot gas cools fast and warm gas slowly
--   reference  R, the temperature above the air at which both modes cool alike (default 1)
--   ambient    the temperature of the air (default 0: the field counts from there)
-- Halo 0. The radiative law is that of D. Nguyen, R. Fedkiw, H. W. Jensen, "Physically Based Modeling and Animation of
-- Fire", SIGGRAPH 2002, eq. 16, with its exact solution T(t) = T / (1 + 3 k t (T/R)^3)^(1/3). Air that is colder than
-- ambient warms up in the same way.
function decay.cool(sim, given)
    local o = values.options(given, "gas.cool", {"field", "rate", "mode", "reference", "ambient"})
    local mode = values.choice(o.mode, "exponential", "mode", {"exponential", "radiative"})
    local field = o.field or "temperature"
    local left = "exp(-k * dt)"
    if mode == "radiative" then
        left = "pow(1.0 + 3.0 * k * dt * pow(abs(above) / " .. values.float(o.reference or 1, "reference")
            .. ", 3.0), -1.0 / 3.0)"
    end
    fade(sim, "cool", {field}, "float ambient = " .. values.float(o.ambient or 0, "ambient") .. ";\n"
            .. "float k = " .. values.float(o.rate, "rate") .. ";\n"
            .. 'float above = ReadField("' .. field .. '", idx) - ambient;\n'
            .. 'WriteField("' .. field .. '", idx, ambient + above * ' .. left .. ");")
end

return decay
