# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist declares as a stencil: a name, a GLSL body, and the fields that it reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BACK_BUFFER_SUFFIX", "CodeOrigin", "StencilDefinition"]

#: The output `X_new` is the back buffer of the field `X`.
BACK_BUFFER_SUFFIX = "_new"


@dataclass(frozen=True)
class CodeOrigin:
    """Where the first line of a stencil's code stands in the artist's script (lines count from 1)."""

    file: str
    line: int


@dataclass(frozen=True)
class StencilDefinition:
    """A stencil as declared.

    Attributes:
        name: unique among the stencils of an engine.
        code: body of a GLSL function that runs once per voxel.
        inputs: names of the fields that the code reads.
        outputs: names that it writes: `X_new` for the back buffer of `X`, or a field itself, updated in place.
        requires_halos: the code reads voxels other than its own.
        iterations: times that the stencil runs in each step, at least 1.
        enabled: whether `step` runs it; `run_stencil` runs it either way.
        origin: the script line of the first line of `code`, for messages.
    """

    name: str
    code: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    requires_halos: bool = True
    iterations: int = 1
    enabled: bool = True
    origin: CodeOrigin | None = None
