local ball = scene.objects("Ball")
