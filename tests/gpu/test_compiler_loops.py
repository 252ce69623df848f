# SPDX-License-Identifier: GPL-3.0-or-later
"""What drivers do with long loops, by kernels without the engine's bound: why there is one, and that it comes first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from fluid_addon.engine.glsl_loops import MOST_TURNS, SHADER_TURNS
from fluid_addon.gpu.compiler import Compiler
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.execution import Execution
from fluid_addon.gpu.kernel import KernelLibrary
from fluid_addon.gpu.memory import Buffer, Residence
from fluid_addon.gpu.recording import Barrier, Copy, Dispatch, Recording

LANES = 64
CUT = 65_535  # lavapipe's LP_MAX_TGSI_LOOP_ITERATIONS, of all loops of an invocation and those beside it
SOURCE = """#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict buffer Values { uint v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses { Values values; };
void main() {
    uint i = gl_GlobalInvocationID.x, n = values.v[i], sum = 0u;
    BODY
    values.v[i] = sum;
}
"""


class Bench:
    """Runs a body for 64 invocations, each with its own `n`; what it leaves in `sum`."""

    def __init__(self) -> None:
        self.device = Device()
        self.kernels = KernelLibrary(self.device)
        self.execution = Execution(self.device, self.kernels, 16)

    def run(self, body: str, n: npt.NDArray[np.uint32]) -> list[int]:
        spirv = Compiler({}).compile(SOURCE.replace("BODY", body))
        kernel = self.kernels.make("loop", spirv, (LANES, 1, 1))
        values = Buffer(self.device, "values", n.nbytes)
        result = Buffer(self.device, "result", n.nbytes, Residence.READBACK)
        self.execution.upload(values, n)
        dispatch = Dispatch(kernel, (("values", values),), (1, 1, 1))
        self.execution.run(Recording("loop", [dispatch, Barrier(("values",)), Copy(values, result, n.nbytes)]))
        result.invalidate()
        found: list[int] = result.host.view(np.uint32).tolist()
        values.close()
        result.close()
        return found

    def close(self) -> None:
        self.execution.close()
        self.kernels.close()
        self.device.close()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


COUNT = "for (uint k = 0u; k < {n}; k++) {{ sum += 1u + (sum >> 31); }}"


def test_V10_a_loop_of_70000_turns_is_whole_or_cut_where_it_is_known_to_be(bench: Bench) -> None:
    """The canary: Mesa 25.0 gives all turns, versions before it 65,535 without a word. Another number is news."""
    found = set(bench.run(COUNT.format(n="n"), np.full(LANES, 70_000, np.uint32)))
    assert found <= ({70_000, CUT} if bench.device.info.kind == "software" else {70_000})


def test_V10_the_bound_of_a_voxel_comes_before_any_cut(bench: Bench) -> None:
    """Eight loops of which each turns in another lane: a cut would count the turns of all eight."""
    assert 8 * MOST_TURNS < SHADER_TURNS < CUT
    parts = "".join(f"if (i % 8u == {lane}u) {COUNT.format(n='n')}\n" for lane in range(8))
    assert set(bench.run(parts, np.full(LANES, MOST_TURNS, np.uint32))) == {MOST_TURNS}
