local gas = require("fluid.a_module_that_nobody_wrote")
