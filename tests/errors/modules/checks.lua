local M = {}

function M.rise(speed)
    if type(speed) ~= "number" then
        error("rise needs a number, not a " .. type(speed), 2)
    end
end

return M
