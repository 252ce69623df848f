# SPDX-License-Identifier: GPL-3.0-or-later
"""What is simulated: fields on a domain, stencils, and the schedule of a step."""

from .environment import EngineEnvironment
from .fluid_engine import FluidEngine
from .formats import Format
from .solver import Solved, SolverDefinition
from .stencil import CodeOrigin, StencilDefinition

__all__ = [
    "CodeOrigin",
    "EngineEnvironment",
    "FluidEngine",
    "Format",
    "Solved",
    "SolverDefinition",
    "StencilDefinition",
]
