# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules a script could load is seen without running it, or is said not to be seen."""

from __future__ import annotations

import pytest

from fluid_addon.script.required import required_names


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("", set()),
        ('require("a")', {"a"}),
        ("local a = require 'a.b'  -- require(name)", {"a.b"}),
        ("require [[a]] require\n(\n[==[b]==]\n)", {"a", "b"}),
        ('print("one may require a module")', set()),
        ('sim:add_stencil("require_pressure", {})', set()),
        ("require(name)", None),
        ('require("a" .. "b")', None),
        ('require("\\97")', None),
        ('local load = require; load("a")', None),
        ('_ENV["require"]("a")', None),
        ('_ENV[ [[require]] ]("a")', None),
        ("require", None),
        ('require("a"', None),
        ("require(", None),
        ('require "a" --[[ never closed', {"a"}),
    ],
)
def test_the_modules_of_a_script_are_seen_without_running_it(script: str, names: set[str] | None) -> None:
    assert required_names(script) == names
