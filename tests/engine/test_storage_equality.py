# SPDX-License-Identifier: GPL-3.0-or-later
"""However a domain is stored, and on however many devices, every value is the same to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fluid_addon.engine import FluidEngine, StencilDefinition
from tests.engine.storages import DENSE, STORAGES, Scene, parts_that_fit, scenes, simulate

Make = Callable[..., FluidEngine]

#: Kernels of random stencils take long to compile: what fails is shown as it was drawn, and not made smaller.
shared = settings(suppress_health_check=list(HealthCheck), max_examples=4, phases=[Phase.reuse, Phase.generate])


def hold(make: Make, scene: Scene, names: tuple[str, ...], every_reduction: bool = True) -> None:
    """The scene gives the same bits in these storages as in a dense domain on one device."""
    expected = simulate(make, scene, every_reduction, **DENSE)
    for name in names:
        found = simulate(make, scene, every_reduction, **parts_that_fit(scene, STORAGES[name]))
        assert found.differs(expected) == [], name


@shared
@given(scene=scenes(most=2), names=st.permutations(sorted(STORAGES)))
def test_random_stencils_give_the_same_bits(make_engine: Make, scene: Scene, names: list[str]) -> None:
    hold(make_engine, scene, tuple(names[:2]), every_reduction=False)


@pytest.mark.long
@settings(shared, max_examples=400)
@given(scene=scenes())
def test_many_random_stencils_give_the_same_bits(make_engine: Make, scene: Scene) -> None:
    hold(make_engine, scene, tuple(STORAGES))


@pytest.mark.parametrize("offset", [(0, 0, 4), (4, 0, 0), (-4, 3, -4)])
def test_a_leaf_that_the_end_of_a_periodic_axis_cuts_is_left_on_the_right_side(
    make_engine: Make, offset: tuple[int, int, int]
) -> None:
    x, y, z = offset
    code = f'WriteField("a_new", idx, ReadField("a", coord + ivec3({x}, {y}, {z})));'
    shift = StencilDefinition("shift", code, ("a",), ("a_new",))
    hold(make_engine, Scene((20, 12, 20), ("periodic",) * 3, ("a",), (shift,), 1.0), ("sparse",))
