local helpers = require("modules.cheks")
