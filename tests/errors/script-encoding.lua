local name = "Rauch"
local other = "Kälte"
