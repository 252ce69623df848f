# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules held against `spirv-val`, which `validate` says nothing of where it is missing."""

from __future__ import annotations

import shutil

import pytest

from fluid_addon.gpu.structure import validate
from tests.conftest import IN_CI

__all__ = ["assert_valid", "need_spirv_val"]


def need_spirv_val() -> None:
    """Skip the rest of a test where the tool is not installed; CI has it."""
    if shutil.which("spirv-val") is None:
        assert not IN_CI, "CI has spirv-val"
        pytest.skip("spirv-val is not installed")


def assert_valid(spirv: bytes) -> None:
    """As `need_spirv_val`: nothing that counts without the tool may follow."""
    need_spirv_val()
    assert validate(spirv) is None
