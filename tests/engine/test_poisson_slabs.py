# SPDX-License-Identifier: GPL-3.0-or-later
"""A solver on several devices: the finest grid in slabs gives the bits of one device, whatever the sides and sizes."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.engine.formats import Format
from fluid_addon.engine.poisson_slabs import SlabPoisson
from fluid_addon.engine.solver import SolverDefinition

CASES = {
    "open": ((32, 16, 24), "open", {"sides": "open"}),
    "closed, and so without a mean": ((24, 12, 16), "open", {"sides": "closed"}),
    "odd and ragged": ((29, 13, 11), "open", {"sides": ["open", "closed", "closed", "open", "open", "open"]}),
    "periodic along x": ((32, 10, 12), ["periodic", "open", "clamp"], {"sides": "open", "shift": 0.1}),
    "faces": ((40, 16, 16), "open", {"sides": "open", "faces": "faces"}),
    "faces, periodic": ((24, 16, 16), ["periodic", "open", "periodic"], {"sides": "closed", "faces": "faces"}),
}

SOON = ("odd and ragged", "faces, periodic")


def solved(make_engine, set_field, case, **options):
    """The fields after two solves, how they ended, and what solved them."""
    size, boundary, definition = CASES[case]
    engine = make_engine(size, boundary=boundary, **options)
    random = np.random.default_rng(3)
    right = random.standard_normal(size).astype(np.float32)
    for name, format_ in (("p", Format.R32F), ("b", Format.R32F), ("faces", Format.R32UI)):
        engine.add_field(name, format_, 0)
    set_field(engine, "b", right)
    open_faces = random.choice([0, 100, 255, 255], (*size, 3)).astype(np.uint32)
    air = (random.random(size) > 0.95).astype(np.uint32)
    faces = open_faces[..., 0] | open_faces[..., 1] << 8 | open_faces[..., 2] << 16 | air << 24
    set_field(engine, "faces", faces)
    engine.add_solver(SolverDefinition("solve", "p", "b", tolerance=1e-4, most=4, **definition))
    found = []
    for _ in range(2):
        engine.run_stencil("solve", 0.1)
        found += [engine.array("p"), engine.solved("solve")]
    return found, engine._simulation.solvers._poisson["solve"]


@pytest.mark.parametrize(
    "case", [case if case in SOON else pytest.param(case, marks=pytest.mark.long) for case in CASES]
)
def test_slabs_change_no_bit_of_an_answer(make_engine, set_field, case):
    one, _ = solved(make_engine, set_field, case)
    assert np.abs(one[0]).max() > 0.1
    most = -(-CASES[case][0][0] // 8)
    for options in ({"gpu_count": 2}, {"gpu_count": min(3, most)}, {"gpu_count": 2, "sparse": True}):
        several, poisson = solved(make_engine, set_field, case, **options)
        assert isinstance(poisson, SlabPoisson)
        for alone, together in zip(one, several, strict=True):
            if isinstance(alone, np.ndarray):
                np.testing.assert_array_equal(together, alone)
            else:
                assert together == alone


@pytest.mark.parametrize("method", ["conjugate"])
def test_what_cannot_be_cut_is_solved_on_the_first_device(make_engine, set_field, monkeypatch, method):
    monkeypatch.setitem(CASES, "case", ((24, 12, 16), "open", {"sides": "open", "method": method}))
    one, _ = solved(make_engine, set_field, "case")
    two, poisson = solved(make_engine, set_field, "case", gpu_count=2)
    assert not isinstance(poisson, SlabPoisson)
    np.testing.assert_array_equal(two[0], one[0])
    assert two[1] == one[1]
