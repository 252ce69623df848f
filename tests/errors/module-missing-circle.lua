require("modules.circle")
