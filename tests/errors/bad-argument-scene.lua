scene.object = nil
