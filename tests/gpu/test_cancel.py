# SPDX-License-Identifier: GPL-3.0-or-later
"""A cancel is seen while the device works, and nothing is freed that the device still uses."""

from __future__ import annotations

import threading
import time

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition
from fluid_addon.gpu.lifetime import live_counts

HEAVY = """
    float v = ReadField("a", idx);
    for (int i = 0; i < 500; i++) { v = sin(v + float(i)); }
    WriteField("a_new", idx, v);
"""


def test_a_cancel_ends_the_wait_for_a_long_step():
    cancel = threading.Event()
    engine = FluidEngine(domain_size=(64, 64, 64), environment=EngineEnvironment(cancelled=cancel.is_set))
    try:
        engine.add_field("a", Format.R32F, 1)
        engine.add_stencil(StencilDefinition("heavy", HEAVY, ("a",), ("a_new",)))
        timer = threading.Timer(0.3, cancel.set)
        timer.start()
        with pytest.raises(FluidError) as caught:
            for _ in range(1000):
                engine.step(1.0)
        assert caught.value.code == "cancelled"
        assert engine.frame < 1000
    finally:
        begun = time.monotonic()
        engine.close()
        assert time.monotonic() - begun < 60
    assert live_counts() == {}
