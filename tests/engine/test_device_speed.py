# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of one kind share the work evenly and are not measured; others get it by their speed."""

from __future__ import annotations

import dataclasses
import math

import pytest

from fluid_addon.engine.carrier import LocalCarrier
from fluid_addon.engine.declarations import shader_includes
from fluid_addon.engine.device_speed import device_weights, measured_speed
from fluid_addon.gpu.compiler import Compiler
from fluid_addon.gpu.device import choose, list_devices


def devices(*names):
    """Devices made from the one that is here; the same name at another index is another one of its kind."""
    real = choose(list_devices(), None)
    return [dataclasses.replace(real, name=name, index=index) for index, name in enumerate(names)]


def test_devices_of_one_kind_are_equal_and_not_measured():
    assert device_weights(devices("A", "A", "A"), LocalCarrier(), lambda _info: pytest.fail("measured")) == [1, 1, 1]
    (one,) = devices("A")
    assert device_weights([one, one], LocalCarrier(), lambda _info: pytest.fail("measured")) == [1, 1]


def test_others_get_their_share_by_speed_and_each_kind_is_measured_once():
    asked = []

    def measure(info):
        asked.append(info.name)
        return {"slow": 2.0e11, "fast": 5.04e11}[info.name]

    assert device_weights(devices("slow", "fast", "slow"), LocalCarrier(), measure) == [1, 2.5, 1]
    assert asked == ["slow", "fast"]


def test_logical_devices_on_one_share_its_speed():
    slow, fast = devices("slow", "fast")
    speeds = {"slow": 1.0, "fast": 4.0}
    assert device_weights([fast, slow, fast], LocalCarrier(), lambda info: speeds[info.name]) == [2, 1, 2]


def test_a_measured_speed_is_a_speed():
    speed = measured_speed(choose(list_devices(), None), Compiler(shader_includes()))
    assert math.isfinite(speed) and speed > 1e6
