local gas = require("fluid.no_such_module")
