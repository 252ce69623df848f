# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist's code may not say is refused by its tokens, before any compiler sees it, with its line and caret."""

from __future__ import annotations

import time

import pytest

from fluid_addon.diagnostics import Diagnostic, FluidError, render
from fluid_addon.engine import CodeOrigin, StencilDefinition
from fluid_addon.engine.block import Block
from fluid_addon.engine.body import MOST_COMPLAINTS, Body, rewrite_body
from fluid_addon.engine.field import Field, check_value, parse_format
from fluid_addon.engine.formats import Format
from fluid_addon.engine.glsl_loops import DEEPEST_BRANCH
from fluid_addon.engine.glsl_rules import DEEPEST, MOST_BRANCHES, MOST_CHARACTERS, MOST_TOKENS
from fluid_addon.engine.kernel_source import Constants, KernelSource, generate
from fluid_addon.engine.places import Storage

WRITE = 'WriteField("a_new", idx, 1.0);'


def rewrite(code: str) -> Body:
    return rewrite_body(StencilDefinition("s", code, ("a",), ("a_new",), origin=CodeOrigin("x.lua", 11)))


def refusals(code: str) -> list[Diagnostic]:
    with pytest.raises(FluidError) as caught:
        rewrite(code)
    return list(caught.value.diagnostics)


def refusal(code: str) -> tuple[str, int, int | None]:
    """The first refusal's code, and its line and column in the code, from 1."""
    first = refusals(code)[0]
    assert first.place is not None
    return first.code, first.place.line - 10, first.place.column


DIRECTIVES = {
    "include": '#include "/etc/passwd"',
    "extension": "#extension GL_EXT_ray_query : require",
    "version": "#version 100",
    "pragma": "#pragma optimize(off)",
    "line": '#line 1 "other.lua"',
    "define": "#define coord ivec3(0)",
    "undef": "#undef FS_SLABS",
    "if": "#if 1\n#endif",
    "after space": "   #define x",
    "after a comment": "/* x */ #define x",
    "after a comment of lines": "/* x\n\n*/#define x",
    "behind a statement": "float v; #define x",
    "in a string of hashes": "##",
    "continued": "\\\n#define x",
    "a continued line": "float v = 1.0 \\\n + 2.0;",
    "a backslash": "float v = 1.0 \\ 2.0;",
    "a digraph": "%:define x",
    "digraphs of brackets": "float v<:4:>; <% %>",
    "a macro's paste": "float a ## b;",
}


@pytest.mark.parametrize("what", DIRECTIVES)
def test_G02_directives_are_refused_wherever_they_hide(what: str) -> None:
    code, line, _ = refusal(f"{WRITE}\n{DIRECTIVES[what]}\n")
    assert code == "glsl-directive"
    assert line >= 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_G02_a_comment_cannot_go_on_in_the_next_line(end: str) -> None:
    """There the compiler would take for a comment what counts as code here, or the other way round."""
    for comment in ("// all \\", "/* *\\"):
        closes = "*/" if comment.startswith("/*") else ""
        assert refusal(f"{comment}{end}/ {closes}\n{WRITE}")[0] == "glsl-directive"


def test_G02_a_carriage_return_ends_a_line_comment_here_as_it_does_for_the_compiler() -> None:
    assert refusal(f"// all \r }} void evil() {{\n{WRITE}")[0] == "glsl-structure"


ESCAPES = {
    "a function closed": "} void evil() {",
    "a function closed twice": "} }",
    "a comment without an end": "/* there is more",
    "brackets that cross": "float v = (1.0]; )",
    "an open bracket": "if (idx > 3) {",
    "a function of its own": "float f(float x) { return x; }",
    "a function that gives an array": "float[2] f(float x) { return float[2](x, x); }",
    "a character of no use": "float v = 1.0 @ 2.0;",
    "a character like another": "float v = 1.0\u037e",
    "a zero byte in a comment": "// all is well \0 }",
    "a bell in the code": "\a",
    "a text": 'float v = "1";',
    "a text with marks": "'} void evil() {'",
    "an open text": '"',
    "a condition that declares": "while (bool on = true) {}",
}


@pytest.mark.parametrize("what", ESCAPES)
def test_G03_code_stays_inside_its_function(what: str) -> None:
    assert refusal(f"{WRITE}\n{ESCAPES[what]}")[:2] == ("glsl-structure", 2)


NAMES = [
    "_fe_idx__",
    "main",
    "gl_GlobalInvocationID",
    "__x",
    "a__b",
    "fs_status",
    "fs_at_a",
    "FS_SIZE_X",
    "GL_core_profile",
]


@pytest.mark.parametrize("name", NAMES)
def test_G04_names_of_the_engine_are_refused(name: str) -> None:
    for code in (f"int {name} = 3;", f"float v = float({name});", f"v = {name}(1);"):
        assert refusal(code)[0] == "glsl-reserved"


@pytest.mark.parametrize(
    "code",
    [
        *("int idx = 3;", "int n = 1, idx = 2;", "ivec3 coord;", "float[2] idx;", "int n, coord;"),
        *("layout(local_size_x = 1) in;", "buffer B { float v[]; };", "uniform float u;", "shared float s;"),
        *("struct S { float v; };", "subroutine void f();", "inout float v;", "volatile float v;"),
        *("barrier();", "memoryBarrier();", "memoryBarrierBuffer();", "groupMemoryBarrier();", "controlBarrier(1);"),
        *("atomicAdd(v, 1);", "imageLoad(i, p);", "imageStore(i, p, v);", "texture(t, p);", "texelFetch(t, p, 0);"),
        *("image3D i;", "usampler2D s;", "sampler s;", "subgroupAdd(v);", "subgroupElect();", "discard;"),
        *("precise float v;", "invariant v;", "highp float v;", "precision mediump float;"),
        *("debugPrintfEXT(v);", "clockARB();", "nonuniformEXT(3);", "spirv_instruction(id = 1);"),
        *("stencil(idx, coord);", "locate(coord, n);", "voxel_index(coord, true);"),
    ],
)
def test_G04_what_the_engine_owns_is_refused(code: str) -> None:
    assert refusal(f"{WRITE}\n{code}")[:2] == ("glsl-reserved", 2)


@pytest.mark.parametrize(
    "kind", ["double", "dvec3", "dmat2", "int64_t", "uint64_t", "float16_t", "f16vec3", "i64vec2", "uint8_t"]
)
def test_G10_types_that_not_every_device_has_are_refused(kind: str) -> None:
    assert refusal(f"{kind} v;")[0] == "glsl-type"


def test_G10_numbers_of_64_bits_are_refused() -> None:
    assert refusal("float v = float(1.0lf);")[0] == "glsl-type"
    assert refusal("float v = float(1.LF);")[0] == "glsl-type"


def test_G01_a_refusal_has_the_line_and_the_column_of_the_script() -> None:
    found = refusals("float v = 1.0;\n  v += fs_at_a;\n\tfor (;;) v++;")
    assert [(d.code, d.place.line, d.place.column, d.place.width) for d in found if d.place] == [
        ("glsl-reserved", 12, 8, 7)
    ]
    assert refusal("float v = 1.0;\n\n  for (;;) v++;") == ("glsl-unbounded", 3, 3)


def test_G01_what_the_compiler_finds_has_the_line_and_the_column_of_the_script(refused) -> None:
    script = """sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("a", Format.R32F, 0)
sim:add_stencil("s", {outputs = {"a"}, code = [[
    float v = 1.0;
    int n = 0;
    // the fourth line
    v += 2.0 * nothing;
    WriteField("a", idx, v);
]]})"""
    (only,) = refused(script).diagnostics
    assert only.code == "glsl-error"
    assert only.message == '"nothing" is not declared.'
    assert (only.place.file, only.place.line, only.place.column, only.place.width) == ("test.lua", 7, 16, 7)


PLAIN = [
    "float texture = 1.0; float image = texture; int sampler_count = 2; float atomic = image;",
    "float main_part = 1.0; float stencil = main_part; vec3 locate = vec3(stencil);",
    "vec3 p = vec3(1.0); float v = p.x; v = params.main.x;",
    "// Größe in Metern: ½ m, 5 % \\ 3",
    "int n = 7; n %= 3; bool b = n % 2 == 0 ? true : false; n <<= 2; n >>= 1;",
    "float v = (1.0, 2.0); if (v > 1.0) { v = -(-v); } else if (v<.5) { v = 1e-3; } else { return; }",
    "switch (idx % 3) { case 0: break; case 1: { break; } default: break; }",
    "float v[3] = float[](1.0, 2.0, 3.0); v[1] = v[0];",
    "/* a comment\n of lines */ float v; // and one\r\n",
]


@pytest.mark.parametrize("code", PLAIN)
def test_ordinary_code_is_left_alone(code: str) -> None:
    assert rewrite(code).code == code


LIMITS = {
    "characters": "/* " + "x" * MOST_CHARACTERS + " */",
    "characters of no kind": "\u00e4" * (1 << 20),
    "words": "float v;" * (MOST_TOKENS // 3 + 1),
    "brackets": "float v = " + "(" * 100_000 + "1.0" + ")" * 100_000 + ";",
    "few brackets too many": "float v = " + "(" * (DEEPEST + 1) + "1.0" + ")" * (DEEPEST + 1) + ";",
    "brackets of all kinds": "{([" * DEEPEST,
    "branches": "if (idx > 1) " * (MOST_BRANCHES + 1) + ";",
    "else": "if (idx > 1) ; " + "else if (idx > 2) ; " * MOST_BRANCHES,
    "choices": "float v = " + "idx > 1 ? 1.0 : " * (MOST_BRANCHES + 1) + "1.0;",
    "loops": "for (int i = 0; i < 2; i++) " * (MOST_BRANCHES + 1) + ";",
    "switches": "switch(1) " * 3000,
}


@pytest.mark.parametrize("what", LIMITS)
def test_G06_too_much_of_anything_is_refused_before_it_is_read_any_further(what: str) -> None:
    (only,) = refusals(f"{WRITE}\n{LIMITS[what]}")
    assert only.code == "glsl-limit"


#: Wrong from end to end: as many complaints as there are words, each about a line that may be all of the code.
FLOODS = {
    "names on one line": "gl_ " * 2000,
    "names on lines": "gl_\n" * (MOST_CHARACTERS // 5),
    "accesses": "ReadField " * 2000,
    "characters": "@" * 4000,
    "loops": "for (;;) ; " * (MOST_BRANCHES - 1),
    "a long name": "gl_" + "x" * (MOST_CHARACTERS - 50),
}


@pytest.mark.parametrize("what", FLOODS)
def test_G06_what_is_wrong_from_end_to_end_is_told_in_short(what: str) -> None:
    code = FLOODS[what]
    begun = time.thread_time()  # of this thread alone, on a machine that does other things as well
    rewrite("velocity += 12345.0;\n" * (len(code) // 21))
    plain = time.thread_time() - begun
    begun = time.thread_time()
    found = refusals(code)
    assert time.thread_time() - begun < 10 * plain + 1.0
    assert len(found) <= MOST_COMPLAINTS
    assert len("".join(map(render, found))) < 2 * MOST_CHARACTERS


def nested(what: str, deep: int) -> str:
    """Code whose branches lie so deep in one another as a driver takes them."""
    parts = {
        "else if": ("if (v < 0.0) v = 1.0;", " else if (v < {}.0) v = {}.5;", ""),
        "return": ("", "if (v < {}.0) return; v = sin(v + {}.0); ", ""),
        "continue": ("for (int i = 0; i < 3; i++) { ", "if (v < {}.0) continue; v = sin(v + {}.0); ", "}"),
        "?": ("v = ", "v < {}.0 ? {}.5 : ", "v;"),
        "if": ("", "if (v < {}.5 * {}.0) ", "v = sin(v);"),
    }
    first, each, last = parts[what]
    return 'float v = ReadField("a", idx);\n' + first + "".join(each.format(k, k) for k in range(deep)) + last


@pytest.mark.parametrize("what", ["else if", "return", "continue", "?", "if"])
def test_G06_branches_that_lie_deeper_than_a_driver_has_room_for_are_refused(what: str, make_engine) -> None:
    """lavapipe has room for 80, does not look, and takes the process with it."""
    (only,) = refusals(nested(what, DEEPEST_BRANCH + 2))
    assert only.code == "glsl-limit"
    engine = make_engine((4, 4, 16))
    engine.add_field("a", Format.R32F, 1.5)
    code = f"{nested(what, DEEPEST_BRANCH - 4)}\n{WRITE}"
    engine.add_stencil(StencilDefinition("deep", code, ("a",), ("a_new",)))
    engine.step(0.1)
    engine.finish()


def test_G06_as_much_as_the_limits_allow_is_read_to_its_end() -> None:
    deep = "{" * (DEEPEST - 1) + WRITE + "}" * (DEEPEST - 1)
    assert rewrite(deep).writes == {"a_new"}
    assert rewrite(("if (idx > 1) ; " * (MOST_BRANCHES - 1)) + WRITE).writes == {"a_new"}
    assert len(rewrite("for (int i = 0; i < 2; i++) " * (DEEPEST_BRANCH - 1) + WRITE).loops) > 0


def source_of(code: str, constants: Constants) -> KernelSource:
    kind = parse_format(Format.R32F)
    fields = {"a": Field("a", kind, check_value("a", kind, 0))}
    definition = StencilDefinition("s", code, ("a",), ("a_new",))
    return generate(definition, rewrite_body(definition), fields, constants, Block(), Storage())


def test_G14_the_same_code_with_parameters_of_other_types_is_another_kernel() -> None:
    code = 'WriteField("a_new", idx, float(params.gain));'
    texts = [source_of(code, Constants((("gain", is_bool),))).includes() for is_bool in (False, True)]
    assert texts[0]["body"] == texts[1]["body"]
    assert texts[0]["fields"] != texts[1]["fields"], "what the cache is keyed by"


def test_G11_a_field_that_is_read_elsewhere_is_never_written_under_the_readers_eyes() -> None:
    """In place only the own voxel is read; a slab that may have to run again writes to the back buffer by itself."""
    definition = StencilDefinition("s", 'WriteField("a", idx, ReadField("a", coord + 1));', ("a",), ("a",))
    with pytest.raises(FluidError) as caught:
        rewrite_body(definition)
    assert caught.value.code == "in-place-read"
