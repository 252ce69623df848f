# SPDX-License-Identifier: GPL-3.0-or-later
"""Taichi's Vulkan backend on the seven-point stencil, in its own environment: for each line on stdin a round is run.

Answers with one line of JSON a round, wall and CPU seconds; the first line says what runs.
"""
# No `from __future__ import annotations` here: Taichi reads the annotations of its kernels as objects.

import json
import sys
import time

import taichi as ti

SIZE, STEPS = int(sys.argv[1]), int(sys.argv[2])

ti.init(arch=ti.vulkan, offline_cache=False, log_level=ti.WARN)
if ti.lang.impl.current_cfg().arch != ti.vulkan:
    raise SystemExit("Taichi found no Vulkan device")
first = ti.field(ti.f32, shape=(SIZE, SIZE, SIZE))
second = ti.field(ti.f32, shape=(SIZE, SIZE, SIZE))


@ti.func  # type: ignore[untyped-decorator]
def read(source: ti.template(), x: int, y: int, z: int):  # type: ignore[no-untyped-def, valid-type]
    last = SIZE - 1
    return source[ti.max(0, ti.min(last, x)), ti.max(0, ti.min(last, y)), ti.max(0, ti.min(last, z))]


@ti.kernel  # type: ignore[untyped-decorator]
def diffuse(source: ti.template(), target: ti.template()):  # type: ignore[no-untyped-def, valid-type]
    for x, y, z in source:
        neighbours = read(source, x + 1, y, z) + read(source, x - 1, y, z)
        neighbours += read(source, x, y + 1, z) + read(source, x, y - 1, z)
        neighbours += read(source, x, y, z + 1) + read(source, x, y, z - 1)
        target[x, y, z] = source[x, y, z] + 0.1 * (neighbours - 6.0 * source[x, y, z])


@ti.kernel  # type: ignore[untyped-decorator]
def fill(target: ti.template()):  # type: ignore[no-untyped-def, valid-type]
    for x, y, z in target:
        target[x, y, z] = ti.sin(0.1 * x) * ti.cos(0.2 * y) + 0.01 * z


def one_round() -> None:
    for _ in range(STEPS // 2):
        diffuse(first, second)
        diffuse(second, first)
    ti.sync()


fill(first)
one_round()
print(json.dumps(f"Taichi {'.'.join(map(str, ti.__version__))}, Vulkan"), flush=True)
for _line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    one_round()
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
