local function heat(source)
    return source.temperature * 2
end

local function burn(sources)
    for _, source in ipairs(sources) do
        heat(source)
    end
    heat(nil)
end

burn({{temperature = 300}})
