# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script reads of an engine without a call."""

from __future__ import annotations

import pytest

ENGINE = "sim = FluidEngine.new({domain_size = {8, 9, 10}})\n"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("table.concat(sim.domain_size, ' ')", "8 9 10"),
        ("math.type(sim.domain_size[3])", "integer"),
        ("sim.voxel_size", "0.25"),
        ("table.concat(sim.origin, ' ')", "1.0 2.0 -3.5"),
        ("table.concat(sim.boundary, ' ')", "open clamp periodic"),
    ],
)
def test_a_property_is_a_plain_value(lua, expression: str, expected: str) -> None:
    assert lua.printed(f"{ENGINE}print({expression})") == [expected]


def test_the_table_of_a_property_belongs_to_the_script(lua) -> None:
    script = f"{ENGINE}local size = sim.domain_size size[1] = 99 print(sim.domain_size[1], size[1], #size)"
    assert lua.printed(script) == ["8\t99\t3"]


@pytest.mark.parametrize("name", ["domain_size", "voxel_size", "origin", "boundary", "frame"])
def test_a_property_cannot_be_set(lua, name: str) -> None:
    assert lua.engine_error(f"sim.{name} = 1").code == "bad-argument"
