local smoke = {}
smoke.rise(3)
