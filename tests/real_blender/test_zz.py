import time
from tests.real_blender.simulations import *
def test_zz(blender):
    add(blender, smoke(64, ENDLESS, cube=True))
    run(blender)
    blender.tell("watch = StopWatch(bpy.data.objects['Smoke']); None")
    for i in range(4):
        time.sleep(2)
        print(blender.tell("[watch.took, watch.stage, [str(w) for w in watch._workers], state(bpy.data.objects['Smoke']).stage.name, part('blender.live').RUNS.is_busy, bpy.app.timers.is_registered(part('blender.live')._drain), bpy.app.timers.is_registered(watch._turn)]"), blender.workers)
    print(blender.log.read_text()[-3000:])
