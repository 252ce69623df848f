local ball = scene.object("Ball")
