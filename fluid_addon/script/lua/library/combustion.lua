-- SPDX-License-Identifier: GPL-3.0-or-later
-- Fire: fuel that burns gives flame, heat, smoke and room.
--
-- The model is that of Mantaflow (source/plugin/fire.cpp): fuel burns away at a constant rate, and a reaction coordinate
-- that runs from 1 (just lit) to 0 (burnt out) says how hot the flame is. Mantaflow keeps the coordinate in a field of its
-- own, which its emitters set to 1 and which shrinks as the fuel does: that is the share of the fuel that is left, so here
-- it is taken from the fuel. In Mantaflow a unit of time is 0.4 s; all rates here are per second.
-- For what the model leaves out see D. Nguyen, R. Fedkiw, H. W. Jensen, "Physically Based Modeling and Animation of Fire",
-- SIGGRAPH 2002, and M. B. Nielsen, M. Bojsen-Hansen, K. Stamatelos, R. Bridson, "Physics-Based Combustion Simulation",
-- ACM Transactions on Graphics 41(5), 2022.
local values = require("fluid.values")

local combustion = {}

local function compute(sim, name, fields, code)
    sim:add_stencil(values.name(sim, name), {inputs = values.reads(code), outputs = fields, code = code})
end

-- Declares the fields of fire: `fuel` (what can burn, 1 = as rich as an emitter makes it), `flame` (0 … 1, for pictures) and
-- `expansion` (divergence per second that the hot gas asks for). `density` and `temperature` belong to the smoke.
--   expansion   false leaves that field out
function combustion.fields(sim, given)
    local o = values.options(given, "gas.combustion.fields", {"expansion"})
    sim:add_field("fuel", Format.R32F, 0)
    sim:add_field("flame", Format.R32F, 0)
    if o.expansion ~= false then sim:add_field("expansion", Format.R32F, 0) end
end

-- GLSL of the flame over some fuel: the square root of the reaction coordinate.
local function flame_of(fuel, full)
    return "sqrt(clamp(" .. fuel .. " / " .. full .. ", 0.0, 1.0))"
end

-- Burns fuel.
--   rate           fuel per second that burns in a voxel that burns (default 0.75: fuel of 1 lasts 1.33 s)
--   full           fuel at which the flame is whole (default 1)
--   smoke          density that a unit of fuel becomes (default 1)
--   ignition, maximum   temperature above the air of a flame that goes out and of a whole one (defaults 1.25 and 1.75)
--   expansion      volumes of gas that a unit of fuel adds to its voxel (default 0); the divergence that is asked for is
--                  expansion x fuel burnt per second. Give it to the projection:
--                  gas.project(sim, {divergence = 'ReadField("expansion", idx)'})
--   when           GLSL condition under which a voxel burns (default "true"); it sees the floats `fuel` and
--                  `temperature` before the step: "temperature > 0.8" lights fuel by heat alone
--   fuel, density, temperature, flame, expansion_field   other names of the fields; false for density, temperature or flame
--                  leaves that product out
-- With r the fuel burnt, r = min(fuel, rate dt): fuel -= r, density += smoke r, flame = sqrt(fuel / full) and, where it
-- burns, temperature = mix(ignition, maximum, flame): as Mantaflow does, but that the smoke of a unit of fuel does not depend on
-- the length of the steps (Mantaflow's smoke is 0.1 r dt at most, and never above 1). So what burns is exact in dt, and the
-- sum of fuel and density / smoke stays. In a sparse domain leaves with fuel are awake. Expansion as a divergence: B. E. Feldman, J. F. O'Brien, O. Arikan, "Animating
-- Suspended Particle Explosions", SIGGRAPH 2003. Halo 0.
function combustion.burn(sim, given)
    local o = values.options(given, "gas.burn", {
        "rate", "full", "smoke", "ignition", "maximum", "expansion", "when", "fuel", "density", "temperature", "flame",
        "expansion_field",
    })
    local fuel = o.fuel or "fuel"
    local function product(name, default)
        if name == false then return nil end
        return name or default
    end
    local density = product(o.density, "density")
    local temperature = product(o.temperature, "temperature")
    local flame = product(o.flame, "flame")
    local expansion = o.expansion and o.expansion ~= 0 and (o.expansion_field or "expansion")
    local code, outputs = {}, {fuel}
    local function line(text, ...)
        code[#code + 1] = string.format(text, ...)
    end
    line('float fuel = ReadField("%s", idx);', fuel)
    line("float temperature = %s;", temperature and 'ReadField("' .. temperature .. '", idx)' or "0.0")
    line("bool burns = fuel > 1e-6 && (%s);", o.when or "true")
    line("float burnt = burns ? min(fuel, %s * dt) : 0.0;", values.float(o.rate or 0.75, "rate"))
    line('WriteField("%s", idx, fuel - burnt);', fuel)
    line("float bright = burns ? %s : 0.0;", flame_of("(fuel - burnt)", values.float(o.full or 1, "full")))
    if density then
        line('WriteField("%s", idx, ReadField("%s", idx) + %s * burnt);', density, density,
            values.float(o.smoke or 1, "smoke"))
        outputs[#outputs + 1] = density
    end
    if temperature then
        line('WriteField("%s", idx, bright > 0.0 ? mix(%s, %s, bright) : temperature);', temperature,
            values.float(o.ignition or 1.25, "ignition"), values.float(o.maximum or 1.75, "maximum"))
        outputs[#outputs + 1] = temperature
    end
    if flame then
        line('WriteField("%s", idx, bright);', flame)
        outputs[#outputs + 1] = flame
    end
    if expansion then
        line('WriteField("%s", idx, dt > 0.0 ? %s * burnt / dt : 0.0);', expansion, values.float(o.expansion, "expansion"))
        outputs[#outputs + 1] = expansion
    end
    values.follow(sim, {fuel})
    compute(sim, "burn", outputs, table.concat(code, "\n"))
end

-- Takes the flame anew from the fuel, as sqrt(fuel / full): for the end of a step, when the fuel has moved on since it
-- burnt. Mantaflow's updateFlame.
--   fuel, flame   names of the fields; full as in gas.burn
-- Halo 0.
function combustion.flame(sim, given)
    local o = values.options(given, "gas.flame", {"fuel", "flame", "full"})
    local fuel, flame = o.fuel or "fuel", o.flame or "flame"
    compute(sim, "flame", {flame}, string.format('WriteField("%s", idx, %s);', flame,
            flame_of('ReadField("' .. fuel .. '", idx)', values.float(o.full or 1, "full"))))
end

-- Writes the temperature in kelvin, by which a renderer finds the colour of a black body. Declares the field `to`.
--   from       default "temperature", above the air
--   to         default "kelvin"
--   ambient    kelvin of the air (default 293)
--   per_unit   kelvin per unit of `from` (default 750: the flame of combustion.burn lies between 1230 K and 1605 K)
-- Export it in place of the flame, and the material of an imported bake glows by it; in a material of your own let
-- Temperature Attribute of the Principled Volume be "kelvin". Halo 0.
function combustion.kelvin(sim, given)
    local o = values.options(given, "gas.kelvin", {"from", "to", "ambient", "per_unit"})
    local from, to = o.from or "temperature", o.to or "kelvin"
    sim:add_field(to, Format.R32F, type(o.ambient or 293) == "number" and (o.ambient or 293) or 293)
    compute(sim, "kelvin", {to}, string.format('WriteField("%s", idx, %s + %s * ReadField("%s", idx));', to,
            values.float(o.ambient or 293, "ambient"), values.float(o.per_unit or 750, "per_unit"), from))
end

return combustion
