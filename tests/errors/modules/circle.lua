return require("modules.circle")
