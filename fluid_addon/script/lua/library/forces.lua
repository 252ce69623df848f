-- SPDX-License-Identifier: GPL-3.0-or-later
-- Forces: what speeds the flow up.
--
-- They act on a staggered velocity, each component at its own face, where the force is worked out: GLSL that an option
-- takes sees `p`, the position of the face, and what it reads of another field at idx or coord is the mean of the two
-- voxels beside the face. A force may point anywhere: what walls and incompressibility leave of it is the projection's
-- affair, so forces come before gas.project. All of them take
--   velocity        the field that they change ("velocity"); for wind it is velocity_field
-- Halo 0, or 1 where GLSL reads fields; in place.
local values = require("fluid.values")
local faces = require("fluid.faces")
local vortices = require("fluid.vortices")

-- Small vortices stand in a module of their own.
local forces = {turbulence = vortices.turbulence, confinement = vortices.confinement}

local AXES = faces.AXES

-- GLSL of one component of a vector that may be a table or a text; nil where it is 0.
local function component(vector, axis, what)
    if type(vector) == "table" and vector[axis] == 0 then return nil end
    if type(vector) == "table" then return values.float(vector[axis], what) end
    return values.vec3(vector, what) .. "." .. AXES[axis]
end

-- GLSL of an optional factor.
local function factor(where)
    return where == nil and "" or " * " .. values.float(where, "where")
end

-- Adds an acceleration by a function(axis) that gives its GLSL, or nil for none.
local function accelerate(sim, name, velocity, acceleration)
    faces.change(sim, name, velocity or "velocity", function(axis)
        local push = acceleration(axis)
        return push and "flow." .. AXES[axis] .. " += dt * " .. push .. ";\n"
    end)
end

-- ===== Forces with a direction

-- A force of your own.
--   acceleration    {x, y, z} or GLSL of a vec3 over p, scene units per second²
--   where           GLSL of a factor, such as 'ReadField("density", idx)' (1)
-- v += dt · where · acceleration.
function forces.force(sim, given)
    local o = values.options(given, "gas.force", {"acceleration", "where", "velocity"})
    values.vec3(o.acceleration, "acceleration")
    accelerate(sim, "force", o.velocity, function(axis)
        local push = component(o.acceleration, axis, "acceleration")
        return push and push .. factor(o.where)
    end)
end

-- Gravity on everything: gas.gravity(sim, {0, 0, -9.81}), scene units per second². In a domain that gas fills to its
-- walls, pressure bears a constant pull whole; smoke that sinks or rises has gas.buoyancy, or `where` here.
--   where           GLSL of a factor (1); in a second table: gas.gravity(sim, {0, 0, -1}, {where = …})
function forces.gravity(sim, acceleration, given)
    local o = values.options(given, "gas.gravity", {"where", "velocity"})
    if acceleration == nil then acceleration = {0, 0, -9.81} end
    values.vec3(acceleration, "acceleration")
    accelerate(sim, "gravity", o.velocity, function(axis)
        local push = component(acceleration, axis, "acceleration")
        return push and push .. factor(o.where)
    end)
end

-- Warm gas rises, heavy smoke sinks.
--   temperature     acceleration of a unit of temperature, scene units per second² (1)
--   density         acceleration downwards of a unit of density (0)
--   direction       which way is up ({0, 0, 1}); its length counts
--   temperature_field, density_field  ("temperature", "density")
-- v += dt · direction · (temperature · T − density · ρ), T and ρ means over the two voxels beside the face (Boussinesq's
-- approximation, as in R. Fedkiw, J. Stam, H. W. Jensen, "Visual Simulation of Smoke", SIGGRAPH 2001, eq. 8). Halo 1.
function forces.buoyancy(sim, given)
    local o = values.options(given, "gas.buoyancy", {
        "temperature", "density", "direction", "temperature_field", "density_field", "velocity",
    })
    local direction = o.direction == nil and {0, 0, 1} or o.direction
    local heat, weight = o.temperature == nil and 1 or o.temperature, o.density or 0
    local lift = ""
    if heat ~= 0 then
        lift = values.float(heat, "temperature") .. ' * ReadField("' .. (o.temperature_field or "temperature") .. '", idx)'
    end
    if weight ~= 0 then
        lift = lift .. " - " .. values.float(weight, "density") .. ' * ReadField("' .. (o.density_field or "density")
            .. '", idx)'
    end
    if lift == "" then error('gas.buoyancy does nothing: "temperature" and "density" are both 0.', 0) end
    values.vec3(direction, "direction")
    accelerate(sim, "buoyancy", o.velocity, function(axis)
        local up = component(direction, axis, "direction")
        return up and up .. " * (" .. lift .. ")"
    end)
end

-- Wind: the flow is drawn to a velocity.
--   velocity        of the wind, {x, y, z} or GLSL over p, scene units per second
--   strength        how fast the flow takes it on, per second (1)
--   where           GLSL of a factor on the strength (1)
-- dv/dt = strength · where · (wind − v), solved exactly, whatever the length of the steps:
-- v = wind + (v − wind) · exp(−strength · where · dt).
function forces.wind(sim, given)
    local o = values.options(given, "gas.wind", {"velocity", "strength", "where", "velocity_field"})
    local wind = values.vec3(o.velocity, "velocity")
    local strength = values.float(o.strength == nil and 1 or o.strength, "strength")
    faces.change(sim, "wind", o.velocity_field or "velocity", function(axis)
        local part = "flow." .. AXES[axis]
        return part .. " = mix(" .. wind .. "." .. AXES[axis] .. ", " .. part .. ", exp(-dt * " .. strength
            .. factor(o.where) .. "));\n"
    end)
end

-- ===== Forces around a place

local FALLOFF = {
    smooth = "(s < 1.0 ? (1.0 - s * s) * (1.0 - s * s) : 0.0)",
    linear = "max(1.0 - s, 0.0)",
    constant = "(s < 1.0 ? 1.0 : 0.0)",
    ["inverse square"] = "1.0 / max(s * s, 1.0)",
}

-- Draws the flow to a point, or drives it away.
--   center          {x, y, z} or GLSL
--   strength        acceleration towards the centre, scene units per second² (1); below 0 away from it
--   radius          how far it reaches, scene units (1)
--   falloff         of s = distance / radius: "smooth" (default) (1 − s²)² inside the radius; "linear" 1 − s;
--                   "constant" 1 inside; "inverse square" 1 inside and 1 / s² outside, without an end
--   where           GLSL of a factor (1)
function forces.point(sim, given)
    local o = values.options(given, "gas.point", {"center", "strength", "radius", "falloff", "where", "velocity"})
    local falloff = FALLOFF[values.choice(o.falloff, "smooth", "falloff", values.sorted(FALLOFF))]
    local before = "vec3 way = " .. values.vec3(o.center, "center") .. " - p;\nfloat away = length(way);\n"
        .. "float s = away / " .. values.float(o.radius == nil and 1 or o.radius, "radius") .. ";\n"
    local strength = values.float(o.strength == nil and 1 or o.strength, "strength")
    faces.change(sim, "point", o.velocity or "velocity", function(axis)
        return before .. "flow." .. AXES[axis] .. " += dt * " .. strength .. " * " .. falloff .. " * way." .. AXES[axis]
            .. " / max(away, 1e-9)" .. factor(o.where) .. ";\n"
    end)
end

-- Turns the flow around an axis.
--   center          a point of the axis, {x, y, z} or GLSL
--   axis            its direction ({0, 0, 1}); seen against it, the flow turns anticlockwise
--   strength        acceleration at `radius`, where it is greatest, scene units per second² (1)
--   radius          scene units (1)
--   where           GLSL of a factor (1), for one that does not run along the whole axis
-- acceleration = strength · s · exp((1 − s²) / 2) along axis × (p − center), s = distance from the axis / radius: the
-- velocity profile of a vortex whose vorticity is spread like a Gaussian's derivative (G. I. Taylor, 1918).
function forces.vortex(sim, given)
    local o = values.options(given, "gas.vortex", {"center", "axis", "strength", "radius", "where", "velocity"})
    local axis_of = "normalize(" .. values.vec3(o.axis == nil and {0, 0, 1} or o.axis, "axis") .. ")"
    local before = "vec3 arm = cross(" .. axis_of .. ", p - " .. values.vec3(o.center, "center") .. ") / "
        .. values.float(o.radius == nil and 1 or o.radius, "radius") .. ";\n"
    local strength = values.float(o.strength == nil and 1 or o.strength, "strength")
    faces.change(sim, "vortex", o.velocity or "velocity", function(axis)
        return before .. "flow." .. AXES[axis] .. " += dt * " .. strength .. " * arm." .. AXES[axis]
            .. " * exp(0.5 - 0.5 * dot(arm, arm))" .. factor(o.where) .. ";\n"
    end)
end

return forces
