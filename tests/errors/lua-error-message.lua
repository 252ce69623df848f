local gas = require("modules.checks")
gas.rise("fast")
