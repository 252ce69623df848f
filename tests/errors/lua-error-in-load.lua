local f = load("return 1 + nil", "=formula")
f()
