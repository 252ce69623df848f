# SPDX-License-Identifier: GPL-3.0-or-later
"""NaN stops a run and is named: stencil, step, field and first voxel, whatever was under way."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import CodeOrigin, EngineEnvironment, Format, status
from fluid_addon.run import RunRequest
from fluid_addon.run.session import run_script
from fluid_addon.volumes.bake import Bake

SIZE = (6, 5, 8)
#: NaN from that frame on, in the voxels beyond a corner.
SPOIL = """
    bool bad = frame >= 3 && coord.x >= 2 && coord.y >= 1 && coord.z >= 5;
    WriteField("{output}", idx, bad ? {nan} : {fine});
"""


def spoil(output: str, nan: str = "sqrt(-1.0 - time)", fine: str = "1.0") -> str:
    return SPOIL.format(output=output, nan=nan, fine=fine)


def run_to_its_end(engine, steps: int = 12) -> FluidError:
    with pytest.raises(FluidError) as caught:
        for _ in range(steps):
            engine.step(0.1)
        engine.finish()
    return caught.value


@pytest.fixture
def spoilt(make_engine, define):
    """An engine with a field "a" that gets NaN in frame 3."""

    def make(size=SIZE, output="a_new", **options):
        engine = make_engine(size, **options)
        engine.add_field("a", Format.R32F, 1)
        engine.add_stencil(define("burn", spoil(output), outputs=output))
        return engine

    return make


@pytest.mark.parametrize("steps", [3, 4, 5, 12])
def test_G09_however_many_steps_are_under_way_the_first_bad_one_is_named(spoilt, steps):
    error = run_to_its_end(spoilt(), steps)
    assert error.code == "not-a-number"
    assert str(error) == '"burn" wrote NaN into "a" in frame 3 (step 3), first at voxel {2, 1, 5}.'


def test_a_step_that_is_two_behind_is_looked_at_before_the_next_is_computed(spoilt):
    engine = spoilt()
    for _ in range(4):
        engine.step(0.1)
    with pytest.raises(FluidError) as caught:
        engine.step(0.1)
    assert caught.value.code == "not-a-number"
    assert engine.frame == 4
    with pytest.raises(FluidError) as again:
        engine.step(0.1)
    assert str(again.value) == str(caught.value)


FORMATS = [
    (Format.R32F, "sqrt(-1.0)", "1.0"),
    (Format.R16F, "log(-2.0)", "1.0"),
    (Format.R32G32F, "vec2(1.0, sqrt(-1.0))", "vec2(1.0)"),
    (Format.R32G32B32F, "vec3(1.0, 2.0, sqrt(-1.0))", "vec3(1.0)"),
    (Format.R16G16B16F, "vec3(sqrt(-1.0), 2.0, 3.0)", "vec3(1.0)"),
    (Format.R32G32B32A32F, "vec4(0.0, 0.0, 0.0, sqrt(-1.0))", "vec4(1.0)"),
]


@pytest.mark.parametrize(("format_", "nan", "fine"), FORMATS, ids=lambda v: getattr(v, "name", ""))
def test_each_format_is_looked_at(make_engine, define, format_, nan, fine):
    engine = make_engine((4, 3, 64))
    engine.add_field("a", format_, 1)
    code = f'bool bad = coord.y == 2 && coord.z >= 61; WriteField("a", idx, bad ? {nan} : {fine});'
    engine.add_stencil(define("burn", code, outputs="a"))
    assert str(run_to_its_end(engine, 1)).endswith("first at voxel {0, 2, 61}.")


@pytest.mark.parametrize("size", [(5, 7, 9), (1, 2, 32), (8, 1, 16)], ids=str)
def test_each_block_is_looked_at(make_engine, define, size):
    engine = make_engine(size)
    engine.add_field("a", Format.R32F, 1)
    x, y, z = (n - 1 for n in size)
    code = f'WriteField("a", idx, coord == ivec3({x}, {y}, {z}) ? sqrt(-1.0) : 1.0);'
    engine.add_stencil(define("burn", code, outputs="a"))
    assert str(run_to_its_end(engine, 1)).endswith(f"first at voxel {{{x}, {y}, {z}}}.")


@pytest.mark.parametrize("resolution", [2, 0.5])
def test_a_field_in_other_voxels_counts_its_own(make_engine, define, resolution):
    engine = make_engine((8, 6, 8))
    engine.add_field("coarse", Format.R32F, 1)
    engine.add_field("other", Format.R32F, 1, resolution=resolution)
    x, y, z = (int(n * resolution) - 1 for n in (8, 6, 8))
    code = f'WriteField("other", idx, coord == ivec3({x}, {y}, {z}) ? sqrt(-1.0) : 1.0);'
    engine.add_stencil(define("burn", code, outputs="other"))
    assert str(run_to_its_end(engine, 1)).endswith(f"first at voxel {{{x}, {y}, {z}}}.")


def test_the_first_stencil_in_the_order_of_the_schedule_is_named_and_its_first_output(make_engine, define):
    engine = make_engine(SIZE)
    for name in ("a", "b", "c"):
        engine.add_field(name, Format.R32F, 1)
    engine.add_stencil(define("count", 'WriteField("c", idx, 2.0);', "c", "c"))
    both = 'float v = frame == 2 ? sqrt(-1.0) : 1.0; WriteField("b", idx, v); WriteField("a", idx, v);'
    engine.add_stencil(define("both", both, outputs="a b"))
    engine.add_stencil(define("spread", 'WriteField("c", idx, ReadField("a", idx));', "a", "c"))
    assert str(run_to_its_end(engine)).startswith('"both" wrote NaN into "a" in frame 2 (step 2)')


def test_substeps_are_counted(spoilt):
    engine = spoilt()
    with pytest.raises(FluidError) as caught:
        engine.run(frames=6, substeps=4)
    assert "in frame 3 (step 9)" in str(caught.value)


def test_a_stencil_that_is_run_by_hand_is_looked_at_too(spoilt, define):
    engine = spoilt()
    engine.add_stencil(define("now", 'WriteField("a", idx, sqrt(-1.0 - dt));', outputs="a", enabled=False))
    engine.step(0.1)
    engine.run_stencil("now")
    with pytest.raises(FluidError) as caught:
        engine.finish()
    assert str(caught.value) == '"now" wrote NaN into "a" when run by hand after frame 1, first at voxel {0, 0, 0}.'


@pytest.mark.parametrize("look", ["reduce", "read", "array"])
def test_values_that_a_script_asks_for_are_not_nan(spoilt, look):
    engine = spoilt()
    for _ in range(3):
        engine.step(0.1)
    with pytest.raises(FluidError) as caught:
        {
            "reduce": lambda: engine.reduce("a", "max"),
            "read": lambda: engine.read("a", (0, 0, 0)),
            "array": lambda: engine.array("a"),
        }[look]()
    assert caught.value.code == "not-a-number"


def test_numbers_that_are_large_or_infinite_are_none_of_this(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 3e38)
    engine.add_field("flags", Format.R32UI, 0xFFFFFFFF)
    engine.add_stencil(define("more", 'WriteField("a", idx, -10.0 * ReadField("a", idx));', "a", "a"))
    engine.add_stencil(define("mark", 'WriteField("flags", idx, 0x7fc00000u);', "flags", "flags"))
    for _ in range(6):
        engine.step(0.1)
    engine.finish()
    assert np.isinf(engine.array("a")).all()
    assert (engine.array("flags") == 0x7FC00000).all()


def test_stencils_beyond_the_first_words_have_one_too_and_exports_go_on(make_engine, define, monkeypatch, tmp_path):
    monkeypatch.setattr(status, "WORDS", 2)
    bake = Bake.create(tmp_path, "burn", script_hash="", device="")
    engine = make_engine(SIZE, environment=EngineEnvironment(open_bake=lambda _device: bake))
    engine.add_field("a", Format.R32F, 1)
    for number in range(5):
        engine.add_stencil(define(f"s{number}", 'WriteField("a", idx, 1.0);', outputs="a"))
        engine.step(0.1)
        engine.export_vdb(f"a_{number}.vdb")
    engine.add_stencil(define("burn", spoil("a"), outputs="a"))
    assert str(run_to_its_end(engine)).startswith('"burn" wrote NaN into "a" in frame 6 (step 6)')
    assert len(bake.frames) == 5


def test_the_place_is_the_line_that_writes_the_field(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 1)
    code = '\n    float v = sqrt(-1.0 - time);\n    WriteField("a_new", idx, v);\n'
    engine.add_stencil(define("burn", code, outputs="a_new", origin=CodeOrigin("smoke.lua", 20)))
    place = run_to_its_end(engine, 1).diagnostics[0].place
    assert place is not None
    assert (place.file, place.line, place.column) == ("smoke.lua", 22, 5)


def test_no_frame_with_nan_is_written(spoilt, tmp_path: Path):
    bakes: list[Bake] = []
    told = []

    def open_bake(device: str) -> Bake:
        bakes.append(Bake.create(tmp_path, "burn", script_hash="", device=device))
        return bakes[-1]

    environment = EngineEnvironment(open_bake=open_bake, observe=lambda kind, details: told.append((kind, details)))
    engine = spoilt(environment=environment)
    with pytest.raises(FluidError) as caught:
        engine.run(frames=8, export="smoke_####.vdb")
        engine.finish()
    assert caught.value.code == "not-a-number"
    with pytest.raises(FluidError) as caught:
        engine.finish()
    assert caught.value.code == "not-a-number"
    assert [frame.path for frame in bakes[0].frames] == ["smoke_0001.vdb", "smoke_0002.vdb"]
    assert [details["path"] for kind, details in told if kind == "export"] == ["smoke_0001.vdb", "smoke_0002.vdb"]
    assert sorted(path.name for path in bakes[0].folder.glob("*.vdb")) == ["smoke_0001.vdb", "smoke_0002.vdb"]


def test_a_velocity_that_becomes_nan_is_named_before_its_length_is_missed(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("velocity", Format.R32G32B32F, 1)
    engine.add_stencil(define("push", 'WriteField("velocity", idx, vec3(sqrt(-1.0 - time)));', outputs="velocity"))
    with pytest.raises(FluidError) as caught:
        engine.run(frames=3, substeps="auto")
    assert caught.value.code == "not-a-number"


# ===== reads at places that are none

COMPUTED = {
    "a number beyond the last": ('ReadField("a", idx + (coord == ivec3(3, 2, 5) ? 1000 : 0))', "{3, 2, 5}"),
    "a number below the first": ('ReadField("a", coord.y == 4 ? -1 : idx + 0)', "{0, 4, 0}"),
    "a number without a sign": ('ReadField("a", uint(idx) + (coord.z == 7 ? 4000000000u : 0u))', "{0, 0, 7}"),
    "a position that is NaN": ('SampleField("a", vec3(coord) / (coord.z == 6 ? time - time : 1.0))', "{0, 0, 6}"),
    "a position that is infinite": ('SampleField("a", vec3(1.0, exp(100.0 * float(coord.x)), 1.0))', "{1, 0, 0}"),
    "a value kept between": ('ClampField("a", vec3(coord) + (coord.x > 4 ? 1e38 * 10.0 : 0.0), 1.0)', "{5, 0, 0}"),
}
STORED = {"dense": {}, "slabs": {"gpu_count": 2}, "leaves": {"sparse": True}}


@pytest.mark.parametrize("what", COMPUTED)
def test_a_read_at_no_place_is_noted_once_with_its_voxel_and_the_run_goes_on(make_engine, define, what):
    read, voxel = COMPUTED[what]
    notes: list[str] = []
    engine = make_engine((6, 5, 8), environment=EngineEnvironment(note=notes.append))
    engine.add_field("a", Format.R32F, 1)
    engine.add_stencil(define("look", f'WriteField("a_new", idx, frame < 2 ? 1.0 : max({read}, 0.5));', "a", "a_new"))
    for _ in range(6):
        engine.step(0.1)
    engine.finish()
    assert notes == [
        f'"look" read a field at a place that is none in frame 2 (step 2), first at voxel {voxel}: '
        "a number beyond the last voxel, or a position that is NaN or infinite."
    ]
    assert engine.frame == 6


@pytest.mark.parametrize("storage", STORED)
def test_however_fields_are_stored_the_same_voxel_is_noted(make_engine, define, storage):
    notes: list[str] = []
    environment = EngineEnvironment(note=notes.append)
    engine = make_engine((16, 8, 16), environment=environment, boundary="periodic", **STORED[storage])
    engine.add_field("a", Format.R32F, 1)
    engine.activate(low=(0, 0, 0), high=(1.6, 0.8, 1.6))
    far = "frame > 2 && coord.x == 9 ? exp(1000.0) : 0.0"
    code = f'WriteField("a_new", idx, SampleField("a", vec3(coord) + ({far})));'
    engine.add_stencil(define("look", code, "a", "a_new"))
    engine.add_stencil(define("spoil", 'WriteField("a", idx, sqrt(time > 0.35 ? -1.0 : 1.0));', outputs="a"))
    with pytest.raises(FluidError):  # another word beside it ends the run as ever
        for _ in range(6):
            engine.step(0.1)
        engine.finish()
    assert [note for note in notes if "look" in note] == [
        '"look" read a field at a place that is none in frame 3 (step 3), first at voxel {9, 0, 0}: '
        "a number beyond the last voxel, or a position that is NaN or infinite."
    ]


def test_G08_reads_far_outside_follow_the_boundary_rule_and_are_none_of_this(make_engine, define):
    """What lies at a coordinate outside the domain is known: the background, the end's own voxel, or the other side."""
    notes: list[str] = []
    for boundary, expected in (("open", 2.0), ("clamp", 3.0), ("periodic", 3.0)):
        engine = make_engine((6, 5, 8), environment=EngineEnvironment(note=notes.append), boundary=boundary)
        engine.add_field("a", Format.R32F, 2)
        engine.fill("a", 3)
        code = """
            float near = ReadField("a", coord + ivec3(-512, 0, 0)), far = ReadField("a", coord * 100000 + 70000);
            WriteField("b", idx, max(max(near, far), SampleField("a", vec3(coord) - 1e30)));
        """
        engine.add_field("b", Format.R32F, 0)
        engine.add_stencil(define("look", code, "a", "b"))
        engine.step(0.1)
        engine.finish()
        assert (engine.array("b") == expected).all()
    assert notes == []


def test_frames_are_written_after_a_note(make_engine, define, tmp_path):
    bake = Bake.create(tmp_path, "look", script_hash="", device="")
    notes: list[str] = []
    environment = EngineEnvironment(open_bake=lambda _device: bake, note=notes.append)
    engine = make_engine(SIZE, environment=environment)
    engine.add_field("a", Format.R32F, 1)
    engine.add_stencil(define("look", 'WriteField("a_new", idx, ReadField("a", -1 - idx));', "a", "a_new"))
    engine.run(frames=3, export="a_#.vdb")
    engine.finish()
    assert len(bake.frames) == 3
    assert len(notes) == 1


# ===== steps of any length


@pytest.mark.parametrize("dt", [1e30, 3.4e38, 1.2e-38])
def test_a_step_of_any_length_that_kernels_hold_ends_well(make_engine, define, dt):
    engine = make_engine(SIZE, boundary="clamp")
    engine.add_field("a", Format.R32F, 1)
    code = 'vec3 p = vec3(coord) - dt * 3.0; WriteField("a_new", idx, SampleField("a", p) + ReadField("a", ivec3(p)));'
    engine.add_stencil(define("move", code, "a", "a_new"))
    engine.step(dt)
    assert engine.read("a", (3, 3, 3)) == 2


@pytest.mark.parametrize("dt", [1e39, 1e308, 1e-39, 5e-324])
def test_a_step_that_no_kernel_can_hold_is_refused(make_engine, dt):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 1)
    for refused in (lambda: engine.step(dt), lambda: engine.run(frames=1, fps=1 / dt)):
        with pytest.raises(FluidError) as caught:
            refused()
        assert caught.value.code == "bad-argument"
    assert engine.frame == 0


def test_a_time_or_parameter_beyond_what_kernels_hold_is_refused(tmp_path: Path):
    steps = "for _ = 1, 3 do sim:step(3e38) end"
    for line, what in ((steps, '"time"'), ('param("gain", {default = 1e39}) sim:step(1)', '"params.gain"')):
        events = []
        source = f'sim = FluidEngine.new{{domain_size = {{4, 4, 4}}}}\nsim:add_field("a", Format.R32F, 0)\n{line}'
        run_script(RunRequest(script="x.lua", source=source, output=str(tmp_path)), events.append, threading.Event())
        (error,) = [event["diagnostics"][0] for event in events if event["event"] == "error"]
        assert error["code"] == "bad-argument"
        assert error["message"].startswith(what)
