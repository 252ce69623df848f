# SPDX-License-Identifier: GPL-3.0-or-later
"""Long recordings are cut into short submissions that give the same bits; quick ones stay one command buffer."""

from __future__ import annotations

import itertools
import math
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition
from fluid_addon.engine.solver import SolverDefinition
from fluid_addon.gpu import pacing
from fluid_addon.gpu.compiler import Compiler
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.execution import Execution
from fluid_addon.gpu.kernel import Kernel, KernelLibrary
from fluid_addon.gpu.lifetime import live_counts
from fluid_addon.gpu.memory import Buffer, Residence
from fluid_addon.gpu.recording import Barrier, Copy, Dispatch, Recording

ROOT = Path(__file__).resolve().parents[2]
#: Numbers its workgroups as our kernels do, and takes long where `turns` is large.
SLOW = """
#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Floats { float v[]; };
layout(binding = 0, scalar) uniform Constants { float seed; };
layout(binding = 1, scalar) uniform Addresses { Floats values; int turns; };
void main() {
    uint group = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * 64u + gl_LocalInvocationIndex;
    uvec3 at = gl_GlobalInvocationID;
    float v = values.v[i] + float(at.x + 7u * at.y + 11u * at.z);
    for (int turn = 0; turn < turns; turn++) { v = sin(v + float(turn)); }
    values.v[i] = v;
}
"""
GROUPS = (8, 8, 12)
COUNT = 64 * math.prod(GROUPS)


def kernel(seconds: float | None, counts_groups: bool = True) -> Kernel:
    made = Kernel("k", None, (64, 1, 1), counts_groups)  # type: ignore[arg-type]
    made.seconds_per_group = seconds
    return made


def pieces_of(dispatch: Dispatch) -> list[list[Dispatch]]:
    return pacing.submissions(Recording("r", [dispatch]))  # type: ignore[return-value]


@pytest.mark.parametrize("groups", [(7, 9, 1000), (7, 1000, 1), (1000, 1, 1), (1, 3, 333), (1, 1, 1)])
@pytest.mark.parametrize("seconds", [1e-9, 1e-4, 1e-2, 5.0])
def test_a_long_dispatch_of_a_kernel_that_counts_workgroups_is_cut_along_its_slowest_axis(groups, seconds):
    found = pieces_of(Dispatch(kernel(seconds), (), groups))
    done = 0
    axis = max((a for a in range(3) if groups[a] > 1), default=0)
    for piece in [piece for submission in found for piece in submission]:
        others = [a for a in range(3) if a != axis]
        assert [piece.groups[a] for a in others] == [groups[a] for a in others]
        assert [piece.base[a] for a in others] == [0, 0]
        assert piece.base[axis] == done
        done += piece.groups[axis]
        layers = piece.groups[axis]
        assert layers == 1 or seconds * math.prod(piece.groups) <= pacing.PIECE_SECONDS * (layers + 1) / (layers - 0.5)
    assert done == groups[axis]
    if seconds * math.prod(groups) <= pacing.PIECE_SECONDS:
        assert len(found) == len(found[0]) == 1


@pytest.mark.parametrize("groups", [(7, 900, 2), (7, 9, 1000), (5000, 2, 1), (5000, 2, 2), (1, 1, 1), (3, 3, 3)])
@pytest.mark.parametrize("seconds", [1e-9, 1e-4, 1e-2, 0.1])
def test_a_flat_domain_is_cut_inside_its_layers_where_its_kernel_does_not_count_workgroups(groups, seconds):
    pieces = [piece for some in pieces_of(Dispatch(kernel(seconds, False), (), groups)) for piece in some]
    covered = np.zeros(groups, np.int32)
    for piece in pieces:
        covered[tuple(slice(b, b + g) for b, g in zip(piece.base, piece.groups, strict=True))] += 1
        assert seconds * math.prod(piece.groups) <= pacing.PIECE_SECONDS * (1 + 1e-9)
    assert (covered == 1).all()
    # A piece ends with its row or layer, so there may be some more than the time asks for.
    assert len(pieces) <= 2 * math.ceil(seconds * math.prod(groups) / pacing.PIECE_SECONDS) + max(groups[1:])


def test_a_flat_layer_of_a_slow_kernel_is_never_run_whole():
    slow, times = kernel(None, False), []

    def timed(piece: Dispatch) -> float:
        times.append(1e-3 * math.prod(piece.groups))
        return times[-1]

    found = pacing.run_growing(Dispatch(slow, (), (32, 512, 2)), timed, warm=False)
    assert max(times) <= pacing.PIECE_SECONDS
    assert sum(times) == pytest.approx(1e-3 * 32 * 512 * 2)
    assert found == pytest.approx(1e-3)


def test_submissions_are_filled_up_to_their_time_and_keep_the_order():
    dispatch = Dispatch(kernel(0.1), (), (1, 1, 1))
    barrier = Barrier()
    found = pacing.submissions(Recording("r", [dispatch, barrier, dispatch, dispatch, dispatch, dispatch, dispatch]))
    assert found == [[dispatch, barrier, dispatch, dispatch, dispatch, dispatch], [dispatch]]
    quick = Recording("r", [Dispatch(kernel(1e-6), (), (1, 1, 1)), barrier] * 1000)
    assert pacing.submissions(quick) == [quick.commands]


class Bench:
    """A device with the slow kernel and one buffer."""

    def __init__(self) -> None:
        self.device = Device()
        self.library = KernelLibrary(self.device)
        self.execution = Execution(self.device, self.library, 16)
        self.kernel = self.library.make("slow", Compiler({}).compile(SLOW), (64, 1, 1))
        self.values = Buffer(self.device, "values", 4 * COUNT)
        self.host = Buffer(self.device, "host", 4 * COUNT, Residence.READBACK)
        self.start()

    def start(self) -> None:
        self.execution.upload(self.values, np.linspace(0, 1, COUNT, dtype=np.float32))

    def recording(self, turns: int) -> Recording:
        dispatch = Dispatch(self.kernel, (("values", self.values),), GROUPS, (turns,))
        return Recording("slow", [dispatch, Barrier(), dispatch])

    def slow_turns(self, seconds: float = 0.05) -> int:
        """So many that the recording takes about so long, on any device."""
        self._seconds(1)  # a driver compiles in the first run, which says nothing of the others
        turns = 64
        while min(self._seconds(turns), self._seconds(turns)) < seconds:
            turns *= 2
        self.start()
        return turns

    def _seconds(self, turns: int) -> float:
        begun = time.monotonic()
        self.execution.run(self.recording(turns))
        return time.monotonic() - begun

    def result(self) -> bytes:
        self.execution.run(Recording("read", [Copy(self.values, self.host, self.host.size)]))
        self.host.invalidate()
        assert self.host.host is not None
        return self.host.host.tobytes()

    def close(self) -> None:
        self.execution.idle()
        for each in (self.values, self.host, self.execution, self.library, self.device):
            each.close()


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()
    assert live_counts() == {}


def test_a_quick_recording_is_one_command_buffer_and_one_ticket(bench):
    encoded = bench.execution.encode(bench.recording(1))
    assert len(encoded.submissions) == 1, "dispatches that are not large are not timed"
    ticket = bench.execution.submit(encoded)
    assert bench.execution.submit(encoded) == ticket + 1
    bench.execution.wait_all()
    encoded.close()


def test_a_slow_kernel_is_cut_and_gives_the_same_bits(bench, monkeypatch):
    seconds = 0.05
    turns = bench.slow_turns(seconds)
    whole = bench.execution.encode(bench.recording(turns))
    for _ in range(3):
        bench.execution.submit(whole)
    expected = bench.result()
    whole.close()

    limits = {"PIECE_SECONDS": seconds / 10, "SUBMISSION_SECONDS": seconds / 5, "LARGE": 1 << 12, "FIRST": 1 << 9}
    for name, value in limits.items():
        monkeypatch.setattr(pacing, name, value)
    bench.start()
    cut = bench.execution.encode(bench.recording(turns))
    assert cut.submissions is None, "it is not known yet how long it takes"
    bench.execution.submit(cut)
    assert bench.kernel.seconds_per_group > 0
    assert len(cut.submissions) > 2
    tickets = [bench.execution.submit(cut) for _ in range(2)]
    assert tickets[1] - tickets[0] == len(cut.submissions), "each submission has a ticket, and the last one is told"
    waits, count = [], len(cut.submissions)
    for ticket in range(tickets[0] - count + 1, tickets[1] + 1):
        begun = time.monotonic()
        bench.execution.wait(ticket)
        waits.append(time.monotonic() - begun)
    slowest = max(map(min, waits[:count], waits[count:]))  # of two rounds: this machine may be busy for a moment
    assert slowest < 1.0, "far below the 2 s of a watchdog, and 100 times what was aimed at"
    assert bench.result() == expected
    again = bench.execution.encode(bench.recording(turns))
    assert len(again.submissions) == len(cut.submissions), "another recording of a known kernel is cut at once"
    for encoded in (cut, again):
        encoded.close()


def test_the_first_piece_which_may_wait_for_a_driver_does_not_count():
    """A driver that compiles for 3 s at the first piece must not have the kernel cut to crumbs for good."""
    slow, sizes = kernel(None), []

    def timed(piece: Dispatch) -> float:
        sizes.append(piece.groups[2])
        return 3.0 if len(sizes) == 1 else 1e-6 * math.prod(piece.groups)

    found = pacing.run_growing(Dispatch(slow, (), (8, 8, 1000)), timed, warm=False)
    assert sum(sizes) == 1000
    assert found == pytest.approx(1e-6)
    assert max(sizes) > 16 * sizes[0], "pieces grow again after the first one"


def test_pieces_of_a_slow_kernel_stay_short_from_the_first_on():
    slow, times = kernel(None), []

    def timed(piece: Dispatch) -> float:
        times.append(1e-2 * math.prod(piece.groups))
        return times[-1]

    found = pacing.run_growing(Dispatch(slow, (), (4, 4, 4000)), timed, warm=False)
    assert max(times[1:]) <= max(pacing.PIECE_SECONDS, times[0])
    assert found == pytest.approx(1e-2)


def test_many_small_dispatches_together_are_timed():
    small, rare, tiny = kernel(None), kernel(None), kernel(None)
    once = [Dispatch(each, (), (10, 10, 10)) for each in (small, rare)] + [Dispatch(tiny, (), (1, 1, 1))]
    assert pacing.is_paced(Recording("few", [*once[:1] * 60, *once]))
    many = Recording("many", [*once[:1] * 10_000, *once])
    assert not pacing.is_paced(many)
    small.took(1e-6)
    assert pacing.is_paced(many), "the others take no time worth knowing"
    small.took(1e-4, anew=True)
    found = pacing.submissions(many)
    assert len(found) == math.ceil(10_001 * 1000 * 1e-4 / pacing.SUBMISSION_SECONDS)
    assert [command for some in found for command in some] == many.commands


def test_many_small_dispatches_are_cut_where_they_are_slow(bench, monkeypatch):
    monkeypatch.setattr(pacing, "MANY", 1 << 20)
    dispatch = Dispatch(bench.kernel, (("values", bench.values),), GROUPS, (1,))
    encoded = bench.execution.encode(Recording("many", [dispatch, Barrier()] * 30))
    assert encoded.submissions is None
    bench.execution.submit(encoded)
    assert bench.kernel.seconds_per_group is not None, "all but the first one tell how long they take"
    encoded.close()


def slow_moment(call: int) -> Callable[[Dispatch], float]:
    """Times pieces of a quick kernel; another program has the device for 5 s during one of them."""
    calls = itertools.count(1)
    return lambda piece: 1e-7 * math.prod(piece.groups) + (5.0 if next(calls) == call else 0.0)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_one_slow_moment_does_not_count_for_good(call):
    quick = kernel(None)
    recording = Recording("r", [Dispatch(quick, (), (4, 64, 256))])
    for timed in (slow_moment(call), slow_moment(0)):
        found = pacing.run_growing(recording.commands[0], timed, warm=quick.seconds_per_group is not None)
        quick.took(found)
    assert quick.sure
    assert quick.seconds_per_group == pytest.approx(1e-7)
    assert len(pacing.submissions(recording)) == 1
    quick.took(1.0, anew=True)
    assert (quick.seconds_per_group, quick.sure) == (1.0, False), "what became slow counts, and is looked at again"


def test_what_is_cut_is_timed_twice_and_then_left_alone(bench, monkeypatch):
    for name, value in {"PIECE_SECONDS": 1e-6, "SUBMISSION_SECONDS": 1e-6, "LARGE": 1 << 12}.items():
        monkeypatch.setattr(pacing, name, value)
    encoded = bench.execution.encode(bench.recording(1))
    unsure = []
    for _ in range(3):
        bench.execution.submit(encoded)
        unsure.append(encoded.unsure)
    assert unsure == [True, False, False]
    monkeypatch.setattr(pacing, "SUBMISSION_SECONDS", 1e6)
    monkeypatch.setattr(pacing, "PIECE_SECONDS", 1e6)
    encoded.too_long = True
    bench.execution.submit(encoded)
    assert not encoded.unsure, "what is quick needs no second look"
    encoded.close()


def test_a_kernel_that_became_slow_is_timed_anew(bench, monkeypatch):
    """A watchdog counts what a kernel does now, not what it did when the smoke was thin."""
    encoded = bench.execution.encode(bench.recording(bench.slow_turns()))
    bench.execution.wait(bench.execution.submit(encoded))
    assert len(encoded.submissions) == 1
    monkeypatch.setattr("fluid_addon.gpu.execution.TOO_LONG_SECONDS", 0.0)
    monkeypatch.setattr("fluid_addon.gpu.execution.WAIT_SLICE_NS", 1000)
    for name, value in {"PIECE_SECONDS": 0.002, "SUBMISSION_SECONDS": 0.004}.items():
        monkeypatch.setattr(pacing, name, value)
    bench.execution.wait(bench.execution.submit(encoded))
    assert encoded.too_long
    bench.execution.submit(encoded)
    assert len(encoded.submissions) > 1
    bench.execution.wait_all()
    encoded.close()


def test_V08_a_cancel_is_seen_while_a_cut_dispatch_runs(bench, monkeypatch):
    turns, cancel = bench.slow_turns(), threading.Event()
    for name, value in {"PIECE_SECONDS": 0.005, "SUBMISSION_SECONDS": 0.01, "LARGE": 1 << 12, "FIRST": 1 << 9}.items():
        monkeypatch.setattr(pacing, name, value)  # a fiftieth, so that a short test sees what a long kernel does
    bench.execution._cancelled = cancel.is_set
    encoded = bench.execution.encode(bench.recording(200 * turns))
    assert encoded.submissions is None
    threading.Timer(0.2, cancel.set).start()
    with pytest.raises(FluidError, match="cancelled") as caught:
        bench.execution.submit(encoded)  # the whole would take many seconds
    assert caught.value.code == "cancelled"
    bench.execution.idle()
    bench.execution._cancelled = lambda: False
    last = np.frombuffer(bench.result(), np.float32)[-64:]
    assert last.tolist() == np.linspace(0, 1, COUNT, dtype=np.float32)[-64:].tolist(), "only a piece was waited for"
    encoded.close()


@pytest.mark.parametrize(
    "storage",
    [{}, *(pytest.param(storage, marks=pytest.mark.long) for storage in ({"sparse": True}, {"gpu_count": 2}))],
    ids=["dense", "sparse", "two"],
)
def test_every_kernel_of_a_run_gives_the_same_bits_in_pieces(storage, monkeypatch, tmp_path):
    """Fields, halos, reductions, activity and a solver: whatever numbers its workgroups does so in pieces too."""

    def run() -> list[bytes]:
        engine = FluidEngine(domain_size=(24, 16, 16), environment=EngineEnvironment(cache=tmp_path), **storage)
        try:
            for name in "ab":
                engine.add_field(name, Format.R32F, 0)
            code = 'WriteField("a_new", idx, ReadField("a", coord + ivec3(1, 0, 1)) + 0.1 * Noise(vec3(coord)) + time);'
            engine.add_stencil(StencilDefinition("mix", code, ("a",), ("a_new",)))
            engine.add_solver(SolverDefinition("solve", "b", "a", most=1))
            if engine.sparse:
                engine.activate(field="a", above=1e-3)
                engine.activate(low=(0, 0, 0), high=(2, 2, 1))
            for _ in range(2):
                engine.step(0.5)
            sums = np.array([engine.reduce(name, what) for name in "ab" for what in ("sum", "max", "norm")])
            return [engine.array(name).tobytes() for name in "ab"] + [sums.tobytes()]
        finally:
            engine.close()

    expected = run()
    monkeypatch.setattr(pacing, "PIECE_SECONDS", 1e-9)
    monkeypatch.setattr(pacing, "LARGE", 512)
    monkeypatch.setattr(pacing, "FIRST", 64)
    assert run() == expected


def test_no_kernel_of_ours_counts_its_workgroups_in_a_way_that_pieces_change():
    """Pieces begin somewhere along the last axis: a kernel may not ask how many workgroups there are along that."""
    sources = [*ROOT.glob("shaders/**/*.comp"), *ROOT.glob("shaders/**/*.glsl")]
    assert len(sources) > 15
    known = {
        "gl_WorkGroupID.y + gl_WorkGroupID.z * gl_NumWorkGroups.y",
        "(gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_NumWorkGroups.x + gl_WorkGroupID.x",
        "(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)",
        "min(gl_NumWorkGroups.x, 1u)",  # one, for a compiler that is not to know
        "CELLS * int(gl_NumWorkGroups.x)",  # likewise: there is one workgroup
    }
    for path in sources:
        text = path.read_text(encoding="utf-8")
        for each in known:
            text = text.replace(each, "")
        assert "gl_NumWorkGroups" not in text, path.name


def test_nothing_waits_without_an_end():
    """No call of Vulkan's that waits for a whole queue or device, and no wait as long as numbers go."""
    for path in ROOT.glob("fluid_addon/**/*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"vk(Queue|Device)WaitIdle|vkWaitForFences", text), path.name
        assert text.count("vkWaitSemaphores") == (path.name == "timeline.py"), path.name
