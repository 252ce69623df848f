# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist declares as a stencil: a name, a GLSL body, and the fields that it reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BACK_BUFFER_SUFFIX", "CodeOrigin", "CodePart", "StencilDefinition"]

#: The output `X_new` is the back buffer of the field `X`.
BACK_BUFFER_SUFFIX = "_new"


@dataclass(frozen=True)
class CodePart:
    """A text of a script, or a line of one, that a stencil's code contains; lines and columns count from 1.

    Attributes:
        shown: the whole line of the script.
    """

    text: str
    file: str
    line: int
    column: int
    shown: str


@dataclass(frozen=True)
class CodeOrigin:
    """Where the first line of a stencil's code stands in the artist's script (lines count from 1).

    Attributes:
        parts: of code that was put together, the texts of the script in it, longest first; `line` is then that of the
            call. None: the code stands in the script as it is.
    """

    file: str
    line: int
    parts: tuple[CodePart, ...] | None = None


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
