# SPDX-License-Identifier: GPL-3.0-or-later
"""Locals that the code does not set are zero, and an index beyond an array reaches its last element."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import FluidEngine, Format, StencilDefinition
from fluid_addon.gpu.compiler_process import shared_compiler
from fluid_addon.gpu.local_memory import guarded_locals
from tests.gpu.spirv_tool import assert_valid

SOURCE = """#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict buffer R { float v[]; };
layout(set = 0, binding = 1, scalar) uniform A { R r; };
struct Pair { vec3 a[2]; bool b; };
float spread;
R elsewhere;
void main() {
    int i = int(gl_GlobalInvocationID.x);
    R here = r;
    float a[4];
    Pair pair;
    mat3 m;
    const float w[3] = float[](1.0, 2.0, 3.0);
    vec3 q = vec3(here.v[i]);
    a[i * 7 - 3] = w[i] + q[i];
    q[i + 1] = 2.0;
    pair.a[i][i + 1] = m[i][uint(i)];
    here.v[i] = a[i] + q.x + pair.a[1].y + (pair.b ? 1.0 : spread);
    here.v[i] += normalize(q)[i] + (q * 2.0)[i + 1] + mat2(a[0])[i][i];
}
"""


def test_guards_are_valid_and_stay_where_they_are_needed() -> None:
    plain = shared_compiler().compile(SOURCE, {})
    guarded = guarded_locals(plain)
    assert len(guarded) > len(plain)
    without = SOURCE[: SOURCE.index("struct")] + "void main() { r.v[gl_GlobalInvocationID.x] = 1.0; }\n"
    plain = shared_compiler().compile(without, {})
    assert guarded_locals(plain) == plain
    assert_valid(guarded)


def test_an_instruction_set_that_is_not_there_is_imported() -> None:
    body = "void main() { float a[3]; uint i = gl_GlobalInvocationID.x; a[i] = 1.0; r.v[i] = a[i + 1u]; }\n"
    spirv = (
        shared_compiler().compile(SOURCE[: SOURCE.index("struct")] + body, {}).replace(b"GLSL.std.450", b"NoSemantic.1")
    )
    guarded = guarded_locals(spirv)
    assert guarded.count(b"GLSL.std.450") == 1


@pytest.fixture
def computed() -> Iterator[Callable[[str], list[float]]]:
    """The first eight values of a field along z that a stencil computes."""
    engines: list[FluidEngine] = []

    def compute(code: str) -> list[float]:
        engine = FluidEngine(domain_size=(4, 4, 16))
        engines.append(engine)
        engine.add_field("a", Format.R32F, 1)
        engine.add_stencil(StencilDefinition("s", code, ("a",), ("a_new",)))
        engine.step(0.1)
        return [float(value) for value in np.asarray(engine.array("a"))[1, 2, :8]]

    yield compute
    for engine in engines:
        engine.close()


def test_G12_a_local_that_was_never_set_is_zero(computed: Callable[[str], list[float]]) -> None:
    code = """
        float v; vec3 p; float kept[8]; bool on; int n; mat2 m;
        if (coord.z > 3) v = 2.0;
        kept[2] = 1.0;
        WriteField("a_new", idx, v + p.x + kept[coord.z] + (on ? 100.0 : 0.0) + float(n) + m[1][0]);
    """
    assert computed(code) == [0, 0, 1, 0, 2, 2, 2, 2]


def test_an_index_beyond_an_array_reaches_its_last_element(computed: Callable[[str], list[float]]) -> None:
    code = """
        float kept[4]; vec4 p = vec4(0.0);
        for (int i = 0; i < 4; i++) kept[i] = float(i);
        p[coord.z] = 8.0;
        kept[coord.z + 1000000 * (coord.z / 6)] += 16.0;
        WriteField("a_new", idx, kept[coord.z - 1] + p.w);
    """
    # coord.z = 0 reads kept[-1], as large a number as any; 4 to 7 write and read beyond the end
    assert computed(code) == [3, 0, 1, 10, 27, 27, 27, 27]


def test_whole_numbers_divided_by_zero_hurt_nobody(computed: Callable[[str], list[float]]) -> None:
    code = (
        "int n = 7 / (coord.z / 100) + 7 % (coord.z / 100); n = (-2147483647 - 1) / (n == 5 ? 1 : -1 - coord.z / 100);"
    )
    assert len(computed(code + ' WriteField("a_new", idx, float(n));')) == 8


def test_arrays_that_no_device_has_room_for_are_refused() -> None:
    engine = FluidEngine(domain_size=(4, 4, 16))
    try:
        engine.add_field("a", Format.R32F, 1)
        code = 'float big[1025]; big[idx] = 1.0; WriteField("a_new", idx, big[idx / 2]);'
        with pytest.raises(FluidError) as caught:
            engine.add_stencil(StencilDefinition("s", code, ("a",), ("a_new",)))
        assert caught.value.code == "glsl-limit"
    finally:
        engine.close()
