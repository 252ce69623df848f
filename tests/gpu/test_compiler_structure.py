# SPDX-License-Identifier: GPL-3.0-or-later
"""What kernels declare is looked at after they were compiled: nothing else than what we generate comes through.

`python tests/gpu/test_compiler_structure.py` writes `kernels.txt` anew; read the difference before you commit it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from fluid_addon.engine.declarations import shader_includes  # noqa: E402
from fluid_addon.gpu.compiler import Compiler  # noqa: E402
from fluid_addon.gpu.compiler_process import shared_compiler  # noqa: E402
from fluid_addon.gpu.spirv import Op, instructions, module_bytes, module_words  # noqa: E402
from fluid_addon.gpu.structure import (  # noqa: E402
    LOCAL_BYTES,
    StructureError,
    check_kernel,
    check_stencil,
    counts_workgroups,
    structure_of,
    validate,
)
from tests.gpu.shipped_kernels import SHIPPED  # noqa: E402
from tests.gpu.spirv_tool import assert_valid  # noqa: E402

SNAPSHOT = Path(__file__).with_name("kernels.txt")


def described(name: str) -> str:
    source, includes = SHIPPED[name]
    return structure_of(Compiler(shader_includes()).compile(source, includes)).text()


@pytest.mark.parametrize("name", SHIPPED)
def test_G15_every_shipped_kernel_is_valid_and_declares_what_is_written_down(name: str) -> None:
    source, includes = SHIPPED[name]
    spirv = Compiler(shader_includes()).compile(source, includes)
    expected = dict(line.split(" | ") for line in SNAPSHOT.read_text("utf-8").splitlines())
    assert structure_of(spirv).text() == expected[name]
    assert counts_workgroups(spirv) == ("NumWorkgroups" in structure_of(spirv).builtins)
    if name.startswith("stencil"):
        check_stencil(spirv)
    assert_valid(spirv)


def test_G15_the_snapshot_has_no_other_kernels() -> None:
    assert [line.split(" | ")[0] for line in SNAPSHOT.read_text("utf-8").splitlines()] == list(SHIPPED)


def test_what_is_no_spirv_is_not_valid() -> None:
    spirv = shared_compiler().compile(kernel("r.v[0] = 1.0;"), {})
    assert_valid(spirv)
    words = bytearray(spirv)
    words[-4:] = (252).to_bytes(1, "little") + b"\0\1\0"  # OpKill where the function ends
    assert validate(bytes(words)) is not None


def kernel(body: str, more: str = "", binding: str = "set = 0, binding = 1") -> str:
    return f"""#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types : require
#extension GL_KHR_shader_subgroup_basic : require
layout(local_size_x_id = 0) in;
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict buffer R {{ float v[]; }};
layout({binding}, scalar) uniform A {{ R r; }};
{more}
void main() {{ int i = int(gl_GlobalInvocationID.x); {body} }}
"""


WRONG = {
    "a storage buffer": (kernel("o[0] = r.v[0];", "layout(set = 0, binding = 2) buffer O { float o[]; };"), "class 12"),
    "another binding": (kernel("r.v[0] = 1.0;", binding="set = 0, binding = 3"), "set 0, binding 3"),
    "another set": (kernel("r.v[0] = 1.0;", binding="set = 1, binding = 0"), "set 1, binding 0"),
    "one binding twice": (kernel("r.v[0] = s;", "layout(set = 0, binding = 1) uniform S { float s; };"), "twice"),
    "push constants": (kernel("r.v[0] = s;", "layout(push_constant) uniform S { float s; };"), "class 9"),
    "an image": (
        kernel("imageStore(im, ivec3(i), vec4(r.v[0]));", "layout(r32f, binding = 0) uniform image3D im;"),
        "has an image",
    ),
    "64-bit floats": (kernel("double d = double(r.v[i]); r.v[i] = float(d * d);"), "capability 10"),
    "16-bit floats": (kernel("float16_t d = float16_t(r.v[i]); r.v[i] = float(d * d);"), "capability 9"),
    "subgroups": (kernel("if (subgroupElect()) r.v[i] = 0.0;"), "capability 61"),
    "an array without a length": (
        kernel("float a[N]; a[i] = r.v[i]; r.v[0] = a[i + 1];", "layout(constant_id = 7) const int N = 4;"),
        "length",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_kernel_that_declares_more_is_refused(what: str) -> None:
    source, complaint = WRONG[what]
    spirv = shared_compiler().compile(source, {})
    with pytest.raises(StructureError, match=complaint):
        check_kernel(spirv)


def test_another_builtin_is_refused() -> None:
    """By itself: each that GLSL would give needs a capability as well, which is refused before."""
    words = module_words(shared_compiler().compile(kernel("r.v[i] = 1.0;"), {}))
    (at,) = (place for _, operands, place in instructions(words, [Op.DECORATE]) if operands[1:] == [11, 28])
    words[at + 3] = 41
    with pytest.raises(StructureError, match="has builtin 41, which"):
        check_kernel(module_bytes(words))


def test_bytes_that_are_no_module_are_refused() -> None:
    spirv = shared_compiler().compile(kernel("r.v[i] = 1.0;"), {})
    for damaged in (spirv[:-6], spirv[:40], spirv[:20] + bytes(8) + spirv[28:]):
        with pytest.raises(StructureError):
            check_kernel(damaged)


def test_a_stencil_shares_nothing_and_has_small_arrays() -> None:
    shared = shared_compiler().compile(kernel("s = r.v[i]; barrier(); r.v[i] = s;", "shared float s;"), {})
    check_kernel(shared)
    with pytest.raises(StructureError, match="share"):
        check_stencil(shared)
    for bytes_, fits in ((LOCAL_BYTES, True), (LOCAL_BYTES + 16, False)):
        spirv = shared_compiler().compile(kernel(f"vec4 a[{bytes_ // 16}]; a[i].x = r.v[i]; r.v[0] = a[i / 2].x;"), {})
        if fits:
            check_stencil(spirv)
        else:
            with pytest.raises(StructureError) as caught:
                check_stencil(spirv)
            assert caught.value.local_bytes == bytes_


if __name__ == "__main__":
    SNAPSHOT.write_text("".join(f"{name} | {described(name)}\n" for name in SHIPPED), "utf-8")
