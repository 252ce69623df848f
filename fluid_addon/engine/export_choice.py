# SPDX-License-Identifier: GPL-3.0-or-later
"""What an export takes along, and under which name."""

from __future__ import annotations

from collections.abc import Sequence

from ..diagnostics import fail
from .field import Field, find_field

__all__ = ["exportable", "numbered"]


def exportable(fields: dict[str, Field], names: Sequence[str] | None) -> list[Field]:
    """The named fields, or all that VDB can hold.

    Raises:
        FluidError: `unknown-field`, or `export-field` when there is nothing to write or VDB has no such type.
    """
    if names is not None and not names:
        raise fail("export-field", "An export without fields would be empty.")
    chosen = [find_field(fields, name) for name in names] if names else list(fields.values())
    refused = [field for field in chosen if field.format.components in (2, 4)]
    if names and refused:
        message = f'"{refused[0].name}" is {refused[0].format.name}; VDB holds numbers and three-vectors.'
        raise fail("export-field", message, "Copy its components into such fields with a stencil.")
    kept = [field for field in chosen if field not in refused]
    if not kept:
        raise fail("export-field", "There is no field that VDB can hold.", "Declare fields with add_field first.")
    return kept


def numbered(pattern: str, frame: int) -> str:
    """`smoke_####.vdb` and 7 as `smoke_0007.vdb`: the last run of # becomes the frame's number."""
    end = pattern.rindex("#") + 1
    start = end - (len(pattern[:end]) - len(pattern[:end].rstrip("#")))
    return f"{pattern[:start]}{frame:0{end - start}d}{pattern[end:]}"
