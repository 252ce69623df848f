require("../secrets")
