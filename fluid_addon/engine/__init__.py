# SPDX-License-Identifier: GPL-3.0-or-later
"""What is simulated: fields on a domain, stencils, and the schedule of a step."""

from .formats import Format
from .stencil import CodeOrigin, StencilDefinition

__all__ = ["CodeOrigin", "Format", "StencilDefinition"]
