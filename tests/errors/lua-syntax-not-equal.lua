if heat != 3 then print("warm") end
