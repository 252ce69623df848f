# SPDX-License-Identifier: GPL-3.0-or-later
"""The pressure solver: published errors, rates, agreement with a direct solve, sides, faces, and bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, Solved, SolverDefinition

WALLS, AIR, WRAP = ("closed",) * 6, ("open",) * 6, ("periodic",) * 6
MIXED = ("closed", "open", "periodic", "periodic", "open", "open")


@pytest.fixture
def solving(make_engine, set_field, compiled):
    """`solving(b, sides=six, faces=packed, …)`: an engine with the solver "solve" for x, with the right side b."""

    def make(b, sides=WALLS, faces=None, start=None, notes=None, solvers=None, **options):
        boundary = ["periodic" if sides[2 * axis] == "periodic" else "open" for axis in range(3)]
        note = (lambda _text: None) if notes is None else notes.append
        engine = make_engine(b.shape, boundary=boundary, environment=EngineEnvironment(cache=compiled, note=note))
        for name, values in (("x", start), ("b", b)):
            engine.add_field(name, Format.R32F, 0)
            if values is not None:
                set_field(engine, name, values)
        if faces is not None:
            engine.add_field("w", Format.R32UI, 0)
            set_field(engine, "w", faces)
            options["faces"] = "w"
        options["sides"] = tuple("closed" if side == "periodic" else side for side in sides)
        for name, more in (solvers or {"solve": {}}).items():
            engine.add_solver(SolverDefinition(name, "x", "b", **{**options, **more}))
        return engine

    return make


def pack(openness, air=None):
    """Three arrays of openness 0 … 1 of the low faces, and where open air is, as `PackFaces` packs them."""
    parts = [np.floor(np.clip(part, 0, 1) * 255 + 0.5).astype(np.uint32) for part in openness]
    flag = np.zeros(parts[0].shape, np.uint32) if air is None else air.astype(np.uint32)
    return parts[0] | parts[1] << 8 | parts[2] << 16 | flag << 24


def walls_of(solid):
    """The faces that a mask of solid voxels leaves open."""
    return [np.where(solid | np.roll(solid, 1, axis), 0.0, 1.0) for axis in range(3)]


def ball(n, centre=(0.5, 0.5, 0.5), radius=0.25):
    at = (np.indices((n,) * 3) + 0.5) / n
    return sum((a - c) ** 2 for a, c in zip(at, centre, strict=True)) < radius**2


def system(shape, sides, faces=None, shift=0.0):
    """The matrix of a solver in dense form, and which voxels it has an equation for."""
    packed = pack([np.ones(shape)] * 3) if faces is None else faces
    air = packed >> 24 != 0
    w = [(packed >> 8 * axis & 255) / 255 for axis in range(3)]
    for axis in range(3):
        first, last = (tuple(end if a == axis else slice(None) for a in range(3)) for end in (0, -1))
        if shape[axis] == 1:
            w[axis] = w[axis] * 0
        elif sides[2 * axis] != "periodic":
            w[axis][first] = 0
            for end, side in zip((first, last), sides[2 * axis : 2 * axis + 2], strict=True):
                if side == "open":
                    air[end] = True
    count = int(np.prod(shape))
    index = np.arange(count).reshape(shape)
    matrix = np.zeros((count, count))
    np.add.at(matrix, (index.ravel(), index.ravel()), -shift)
    for axis in range(3):
        here, low, open_ = index.ravel(), np.roll(index, 1, axis).ravel(), w[axis].ravel()
        for a, b in ((here, low), (low, here)):
            np.add.at(matrix, (a, b), open_)
            np.add.at(matrix, (a, a), -open_)
    active = ~air.ravel() & (np.diag(matrix) != 0)
    return matrix, active


def direct(b, sides, faces=None, shift=0.0):
    """The answer by numpy's least squares, and the mask of voxels that have an equation."""
    matrix, active = system(b.shape, sides, faces, shift)
    right = b.ravel().astype(np.float64)
    packed_air = faces is not None and bool((faces >> 24).any())
    if shift == 0 and "open" not in sides and not packed_air:
        right = right - right[active].mean()
    answer = np.zeros(right.shape)
    answer[active] = np.linalg.lstsq(matrix[np.ix_(active, active)], right[active], rcond=None)[0]
    return answer.reshape(b.shape), active.reshape(b.shape)


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ----- V2: the error of the discretisation, and nothing else


@pytest.mark.parametrize(
    ("n", "error", "within"),
    [
        (16, 1.2951e-2, 0.02),
        (32, 3.2190e-3, 0.02),
        (64, 8.0358e-4, 0.02),
        pytest.param(128, 2.0082e-4, 0.05, marks=pytest.mark.long),
    ],
)
def test_the_published_error_of_a_product_of_sines(solving, n, error, within):
    """-∇²p = 12 π² sin 2πx sin 2πy sin 2πz on the periodic unit cube, in voxel units."""
    x, y, z = (np.indices((n,) * 3) + 0.5) / n
    exact = np.sin(2 * np.pi * x) * np.sin(2 * np.pi * y) * np.sin(2 * np.pi * z)
    engine = solving(-12 * np.pi**2 * exact / n**2, WRAP, tolerance=1e-30, most=9)  # as far as 32-bit floats go
    engine.step(1.0)
    found = engine.array("x").astype(np.float64)
    assert np.linalg.norm(found - exact) / np.linalg.norm(exact) == pytest.approx(error, rel=within)


# ----- rates


def rate(engine, first=1, last=5):
    """The mean factor by which a cycle lessens the residual, by solves of `first` and `last` cycles from zero."""
    residuals = []
    for name in ("few", "more"):
        engine.fill("x", 0)
        engine.run_stencil(name)
        residuals.append(engine.solved(name).residual)
    assert engine.solved("more").iterations == last
    return (residuals[1] / residuals[0]) ** (1 / (last - first))


FEW_AND_MORE = {"few": {"most": 1}, "more": {"most": 5}}


@pytest.mark.parametrize(
    ("n", "sides"),
    [
        (16, WALLS),
        (64, WALLS),
        (32, AIR),
        (32, WRAP),
        (32, MIXED),
        *(pytest.param(n, s, marks=pytest.mark.long) for n in (16, 64, 128) for s in (WALLS, AIR, WRAP, MIXED)),
    ],
)
def test_a_cycle_leaves_a_fifth_of_the_residual_at_any_size(solving, n, sides):
    engine = solving(random((n,) * 3), sides, solvers=FEW_AND_MORE, tolerance=1e-30)
    assert rate(engine) <= 0.2


@pytest.mark.parametrize(
    ("case", "method"),
    [
        *((case, "multigrid") for case in ("ball", "many balls", "fractions", "slab", "plate", "surface")),
        ("ball", "conjugate"),
        ("plate", "conjugate"),
    ],
)
def test_a_cycle_leaves_a_third_of_the_residual_around_obstacles(solving, case, method):
    n, air = 32, None
    if case == "ball":
        open_ = walls_of(ball(n, (0.4, 0.5, 0.55)))
    elif case == "many balls":
        centres = np.random.default_rng(3).random((12, 3))
        open_ = walls_of(np.logical_or.reduce([ball(n, centre, 0.12) for centre in centres]))
    elif case == "fractions":
        open_ = list(np.random.default_rng(4).random((3, n, n, n)))
    elif case == "slab":
        solid = np.zeros((n,) * 3, bool)
        solid[10:21, 10:21, 9:11] = True
        open_ = walls_of(solid)
    elif case == "plate":
        open_ = [np.ones((n,) * 3) for _ in range(3)]
        open_[2][8:24, 8:24, 18] = 0
    else:
        open_ = [np.ones((n,) * 3)] * 3
        x, _, z = np.indices((n,) * 3)
        air = z > 0.6 * n + 3 * np.sin(0.5 * x)
    engine = solving(random((n,) * 3), faces=pack(open_, air), solvers=FEW_AND_MORE, tolerance=1e-30, method=method)
    assert rate(engine) <= 0.35


# ----- agreement with a direct solve

SIDES = {"closed": WALLS, "open": AIR, "periodic": WRAP, "mixed": MIXED}
FEW = [
    ((9, 7, 8), "closed"),
    ((5, 5, 5), "periodic"),
    ((8, 9, 7), "mixed"),
    ((12, 10, 1), "open"),
    ((1, 13, 5), "periodic"),
    ((3, 5, 2), "open"),
    ((2, 1, 1), "closed"),
]
SIZES = [(9, 7, 8), (8, 8, 8), (12, 10, 1), (1, 13, 5), (17, 1, 1), (3, 5, 2), (2, 1, 1), (5, 5, 5)]
EVERY = [case for case in itertools.product(SIZES, SIDES) if case not in FEW]


@pytest.mark.parametrize(("size", "side"), [*FEW, *(pytest.param(*case, marks=pytest.mark.long) for case in EVERY)])
def test_against_a_direct_solve(solving, size, side):
    sides = tuple("closed" if size[i // 2] == 1 and side == "open" else side for i, side in enumerate(SIDES[side]))
    b = random(size)
    engine = solving(b, sides, tolerance=2e-6)
    engine.step(1.0)
    expected, active = direct(b, sides)
    found = engine.array("x")
    assert np.abs(found - expected)[active].max(initial=0) <= 2e-4 * np.abs(expected).max() + 1e-6
    assert (found[~active] == 0).all() or "open" not in sides
    assert engine.solved("solve").residual <= 2e-6


@pytest.mark.parametrize(
    ("method", "sides"), [("multigrid", WALLS), ("multigrid", MIXED), ("conjugate", WALLS), ("sweeps", MIXED)]
)
def test_faces_against_a_direct_solve(solving, sides, method):
    size = (9, 8, 10)
    rng = np.random.default_rng(5)
    open_ = [np.where(rng.random(size) < 0.15, 0.0, rng.random(size)) for _ in range(3)]
    air = None if sides is WALLS else rng.random(size) < 0.05
    faces, b = pack(open_, air), random(size)
    engine = solving(b, sides, faces, tolerance=3e-6, most=2000 if method == "sweeps" else 60, method=method)
    engine.step(1.0)
    expected, active = direct(b, sides, faces)
    assert np.abs(engine.array("x") - expected)[active].max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize(("sides", "shift"), [(WALLS, 0.01), (AIR, 3.0)])
def test_a_shift_against_a_direct_solve(solving, sides, shift):
    b = random((8, 9, 6))
    engine = solving(b, sides, shift=shift, tolerance=1e-6)
    engine.step(1.0)
    expected, active = direct(b, sides, shift=shift)
    assert np.abs(engine.array("x") - expected)[active].max() <= 1e-5 * np.abs(expected).max()


def test_a_closed_box_has_an_answer_without_mean(solving):
    b = random((8, 8, 8)) + 5
    engine = solving(b, tolerance=1e-5)
    engine.step(1.0)
    assert engine.solved("solve").residual <= 1e-5
    assert abs(engine.array("x").mean()) <= 1e-5


# ----- starts, ends, and what cannot be solved


def test_a_warm_start_needs_no_cycle(solving):
    engine = solving(random((16, 16, 16)), tolerance=1e-3)
    engine.step(1.0)
    assert engine.solved("solve").iterations > 0
    engine.step(1.0)
    assert engine.solved("solve").iterations == 0


@pytest.mark.parametrize("method", ["multigrid", "sweeps"])
def test_nothing_on_the_right_is_answered_at_once(solving, method):
    for value, sides in ((0.0, AIR), (7.0, WALLS)):  # a constant in a closed box is nothing as well
        engine = solving(np.full((8, 8, 8), value), sides, start=random((8, 8, 8)), method=method)
        engine.step(1.0)
        assert engine.solved("solve") == Solved(0.0, 0)
        assert (engine.array("x") == 0).all()


def test_a_solve_that_does_not_converge_is_noted_once_a_frame(solving):
    notes: list[str] = []
    engine = solving(random((16, 16, 16)), notes=notes, method="sweeps", tolerance=1e-5, most=2)
    engine.run(frames=2, substeps=3)
    assert len(notes) == 2
    assert notes[0].startswith('Frame 1: "solve" did not converge; its residual is ')
    assert notes[0].endswith(" after 2 cycles.")


@pytest.mark.parametrize("method", ["multigrid", "conjugate"])
def test_a_residual_made_of_rounding_is_no_failure(solving, method):
    """32-bit floats end near 1e-6 on a smooth right side; what is asked beyond that cannot be had."""
    x, y, z = (np.indices((16,) * 3) + 0.5) * 2 * np.pi / 16
    notes: list[str] = []
    engine = solving(np.sin(x) * np.sin(y) * np.sin(z), WRAP, notes=notes, method=method, tolerance=1e-12, most=200)
    engine.step(1.0)
    solved = engine.solved("solve")
    assert 1e-12 < solved.residual < 1e-5
    assert solved.iterations < 200 or method == "conjugate"
    assert notes == []


@pytest.mark.parametrize("method", ["multigrid", "conjugate"])
def test_not_a_number_ends_a_solve(solving, method):
    b, notes = random((8, 8, 8)), []
    b[1, 2, 3] = np.nan
    engine = solving(b, AIR, notes=notes, method=method)
    engine.step(1.0)
    assert len(notes) == 1
    engine = solving(random((8, 8, 8)), AIR, start=np.full((8, 8, 8), np.nan), method=method, most=100)
    engine.step(1.0)
    assert engine.solved("solve").residual <= 1e-3


@pytest.mark.parametrize("method", ["multigrid", "conjugate"])
def test_the_same_bits_every_time(solving, method):
    faces = pack(walls_of(ball(16)[:15]))
    answers = []
    for _ in range(2):
        engine = solving(random((15, 16, 16)), MIXED, faces, method=method, most=3, tolerance=1e-30)
        engine.step(1.0)
        answers.append((engine.array("x").tobytes(), engine.solved("solve")))
    assert answers[0] == answers[1]


def test_a_mirrored_right_side_gives_the_mirrored_answer(solving):
    b = random((16, 12, 14))
    answers = []
    for flip in ((), (0, 2)):
        engine = solving(np.flip(b, flip).copy(), AIR, tolerance=1e-6)
        engine.step(1.0)
        answers.append(np.flip(engine.array("x"), flip))
    assert np.abs(answers[1] - answers[0]).max() <= 3e-6 * np.abs(answers[0]).max()


# ----- its place in a step


def test_stencils_before_and_after_a_solver(solving, define):
    engine = solving(np.zeros((12, 12, 12)), AIR, tolerance=1e-5)
    engine.add_stencil(define("after", 'WriteField("b_new", idx, 2.0 * ReadField("x", idx));', "x", "b_new"))
    engine.step(1.0)
    assert (engine.array("b") == 0).all()
    engine.fill("b", 1)
    engine.step(1.0)
    assert (engine.array("b") == 2 * engine.array("x")).all()
    assert engine.array("x").min() < -1


def test_a_step_with_a_solver_records_nothing_new(solving, define):
    engine = solving(random((12, 12, 12)), AIR, tolerance=1e-5)
    engine.add_stencil(define("shrink", 'WriteField("b_new", idx, 0.9 * ReadField("b", idx));', "b", "b_new"))
    for _ in range(4):
        engine.step(1.0)
    encode, encoded = engine._simulation.parts[0].execution.encode, []
    engine._simulation.parts[0].execution.encode = lambda recording: encoded.append(recording.name) or encode(recording)
    for _ in range(6):
        engine.step(1.0)
    assert encoded == []


def test_a_solver_can_be_switched_off_and_run_by_hand(solving):
    engine = solving(random((8, 8, 8)), AIR, enabled=False)
    engine.step(1.0)
    assert (engine.array("x") == 0).all()
    engine.run_stencil("solve")
    assert (engine.array("x") != 0).any()
    engine.fill("x", 0)
    engine.set_enabled("solve", True)
    engine.step(1.0)
    assert (engine.array("x") != 0).any()


def test_names_are_shared_with_stencils(solving, define):
    engine = solving(random((8, 8, 8)))
    with pytest.raises(FluidError) as caught:
        engine.add_stencil(define("solve", 'WriteField("x", idx, 0.0);', "", "x"))
    assert caught.value.code == "duplicate-name"


def test_the_memory_plan_counts_what_a_solver_needs(solving):
    n = 32
    for method, bytes_a_voxel in (("sweeps", 0.6), ("multigrid", 1.3), ("conjugate", 9.3)):
        engine = solving(random((n,) * 3), AIR, method=method)
        rows = [row for row in engine._simulation.memory.plan().rows if row[0].startswith("solve: ")]
        assert 0 < sum(size for _, size, _ in rows) <= bytes_a_voxel * n**3
        engine.step(1.0)
        memory = engine._simulation.memory
        assert memory.allocated() >= sum(size for _, size, _ in memory.plan().rows)


def test_a_check_knows_nothing_of_the_answer():
    engine = FluidEngine(domain_size=(8, 8, 8), environment=EngineEnvironment(check=True))
    engine.add_field("x", Format.R32F, 0)
    engine.add_field("b", Format.R32F, 0)
    engine.add_solver(SolverDefinition("solve", "x", "b"))
    engine.step(1.0)
    engine.run_stencil("solve")
    assert not engine.guessed
    assert engine.solved("solve") == Solved(0.0, 0)
    assert engine.guessed
