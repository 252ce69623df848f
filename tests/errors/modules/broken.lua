local M = {}
function M.half(x) return x / end
return M
