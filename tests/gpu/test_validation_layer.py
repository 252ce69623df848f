# SPDX-License-Identifier: GPL-3.0-or-later
"""The validation layer sees what it is there for: silence over the whole suite says something only if it can speak.

Synchronisation validation follows copies; what kernels reach by addresses it cannot see, so that barriers between
kernels are held by the tests of recordings. GPU-assisted validation checks every address that a kernel uses; layers of
2023 wait 10 s for each submission then.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GPU_ASSISTED = "VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT"
#: Said by layers of 2023 of any timeline semaphore where they wait for the device by themselves; "most likely a
#: validation bug", in their own words.
KNOWN = "VkSemaphore-state-timeout"

pytestmark = pytest.mark.skipif(
    os.environ.get("FLUID_SCRIPT_VALIDATION", "0") in ("", "0"), reason="the validation layer is off or not installed"
)

BENCH = """
from fluid_addon.gpu.compiler import Compiler
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.execution import Execution
from fluid_addon.gpu.kernel import KernelLibrary
from fluid_addon.gpu.memory import Buffer
from fluid_addon.gpu.recording import Barrier, Copy, Dispatch, Recording
from fluid_addon.gpu.instance import validation_messages
device = Device()
library = KernelLibrary(device)
execution = Execution(device, library, 16)
a, b, c = (Buffer(device, name, 1024) for name in "abc")
"""
COPIES = """
execution.run(Recording("copies", [Copy(a, b, 1024), {between}Copy(b, c, 1024)]))
"""
BEYOND = '''
SOURCE = """#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Floats {{ float v[]; }};
layout(binding = 0, scalar) uniform Constants {{ float seed; }};
layout(binding = 1, scalar) uniform Addresses {{ Floats values; }};
void main() {{ values.v[gl_GlobalInvocationID.x + {beyond}u] = 1.0; }}
"""
kernel = library.make("writer", Compiler({{}}).compile(SOURCE), (64, 1, 1))
execution.run(Recording("write", [Dispatch(kernel, (("values", a),), (1, 1, 1))]))
'''
CLOSE = """
for each in (a, b, c, execution, library, device):
    each.close()
"""
SCRIPTED = """
from fluid_addon.engine import FluidEngine, Format, StencilDefinition
from fluid_addon.gpu.instance import validation_messages
CODE = '''
    float v = ReadField("a", coord + ivec3(1000, -1000, 2000000000)) + ReadField("a", coord - ivec3(3, 2, 1));
    v += SampleField("a", vec3(coord) * 1e30) + SampleField("a", vec3(0.0 / (v - v)));
    WriteField("a_new", coord, v + 1.0);
'''
engine = FluidEngine(domain_size=(20, 13, 11))
engine.add_field("a", Format.R32F, 0)
engine.add_stencil(StencilDefinition("beyond", CODE, ("a",), ("a_new",)))
engine.step(0.5)
engine.close()
"""


def said(code: str, *features: str) -> list[str]:
    """The layer's messages about a program."""
    environment = {**os.environ, "FLUID_SCRIPT_VALIDATION": "1", "VK_LAYER_ENABLES": ",".join(features)}
    environment.pop("FLUID_SCRIPT_VALIDATION_LOG", None)
    code += "\nprint(*[' '.join(message.split()) for message in validation_messages()], sep='\\n')\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("Validation") and KNOWN not in line]


def test_V11_a_missing_barrier_is_caught_and_names_the_buffer():
    assert said(BENCH + COPIES.format(between="Barrier(), ") + CLOSE) == []
    (message,) = said(BENCH + COPIES.format(between="") + CLOSE)
    assert "SYNC-HAZARD-READ-AFTER-WRITE" in message
    assert "name = b" in message


@pytest.mark.long
def test_V12_an_access_beyond_a_buffer_is_caught_and_names_the_kernel():
    assert said(BENCH + BEYOND.format(beyond=192) + CLOSE, GPU_ASSISTED) == []
    messages = said(BENCH + BEYOND.format(beyond=300) + CLOSE, GPU_ASSISTED)
    assert messages
    assert all("access out of bounds" in message and "(writer)" in message for message in messages)


@pytest.mark.long
def test_V12_what_a_script_reads_beyond_its_domain_touches_no_memory_outside():
    assert said(SCRIPTED, GPU_ASSISTED) == []
