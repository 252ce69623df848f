# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of a run: declared by the script, shown as sliders, overridden from outside, keyed over frames."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..diagnostics import did_you_mean, fail

__all__ = ["Override", "ParameterDeclaration", "Parameters"]

MOST_PARAMETERS = 500
LONGEST_HELP = 1000

#: A value for the whole run, or samples by frame.
Override = float | bool | Mapping[int, float]

# The name becomes a member of a GLSL struct, where two underscores in a row and "gl_" are reserved (GLSL 4.60 §3.7).
_NAME = re.compile(r"(?!gl_)(?!.*__)[A-Za-z_][A-Za-z0-9_]{0,62}")
# Words of GLSL that no member can be called (GLSL 4.60 §3.6); numbered types by their
# pattern. `length` is a method there.
_GLSL_WORDS = frozenset(
    re.findall(
        r"\w+",
        """active asm
    attribute bool break buffer case cast centroid class coherent common const continue default discard do
    double else enum extern external false filter fixed flat float for goto half highp if in inline inout input int
    interface invariant isampler layout length
    long lowp mediump namespace noinline noperspective out output partition patch
    precise precision public readonly resource restrict return sample sampler shared short sizeof smooth static struct
    subroutine superp switch template this true typedef uint uniform union unsigned using varying void volatile while
    writeonly""",
    )
)
_GLSL_TYPE = re.compile(r"[biud]?vec[234]|d?mat[234](x[234])?|[fh]vec[234]|(f|f16|i16|u16|i64|u64)vec[234]|float16_t")


@dataclass(frozen=True)
class ParameterDeclaration:
    """What `param("name", {…})` said. `minimum` and `maximum` are None where there is no limit, and for booleans."""

    name: str
    default: float | bool
    minimum: float | None = None
    maximum: float | None = None
    help: str = ""

    @property
    def is_bool(self) -> bool:
        return isinstance(self.default, bool)


class Parameters:
    """Every parameter of a run, in order of declaration.

    Args:
        overrides: values by name: a number or boolean, or samples `{frame: number}` between which values are blended
            linearly; before the first and after the last sample the nearest counts. A boolean holds its last sample.
        note: where given, overrides that do not fit what the script declares are made to fit and this is told of it: a
            slider knows the script as it was when it ran last. Without it they are errors.
    """

    def __init__(
        self, overrides: Mapping[str, Override] | None = None, note: Callable[[str], None] | None = None
    ) -> None:
        self._overrides = dict(overrides or {})
        self._note = note
        self._declared: dict[str, ParameterDeclaration] = {}
        self._samples: dict[str, tuple[list[int], list[float | bool]]] = {}

    @property
    def declared(self) -> list[ParameterDeclaration]:
        return list(self._declared.values())

    def names(self) -> list[tuple[str, bool]]:
        """(name, is a boolean) in order of declaration; it only ever grows at its end."""
        return [(p.name, p.is_bool) for p in self._declared.values()]

    def declare(
        self,
        name: str,
        default: float | bool,
        minimum: float | None = None,
        maximum: float | None = None,
        help: str = "",  # noqa: A002 - the artist's own word
        frame: int = 0,
    ) -> float | bool:
        """Declare a parameter and return its value at `frame`. Declaring it again in the same way does nothing.

        Raises:
            FluidError: `bad-name`, `bad-argument`, `not-finite`, `duplicate-name`.
        """
        if not _NAME.fullmatch(name):
            hint = "Use letters, digits and single underscores, at most 63, and begin with a letter."
            raise fail("bad-name", f'"{name[:80]}" is no name for a parameter.', hint)
        if name in _GLSL_WORDS or _GLSL_TYPE.fullmatch(name):
            raise fail("bad-name", f'"{name}" is a word of GLSL, where params.{name} could not be read.', "Rename it.")
        if len(help) > LONGEST_HELP:
            message = f'"help" of the parameter "{name}" has {len(help)} characters; it may have {LONGEST_HELP}.'
            raise fail("bad-argument", message)
        declaration = ParameterDeclaration(name, default, minimum, maximum, help)
        known = self._declared.get(name)
        if known is None:
            if len(self._declared) >= MOST_PARAMETERS:
                hint = "Write constants as constants."
                raise fail("bad-argument", f"A script may declare at most {MOST_PARAMETERS} parameters.", hint)
            _check_declaration(declaration)
            if name in self._overrides:
                override = self._overrides[name]
                fitting = override if self._note is None else _fit(declaration, override, self._note)
                self._samples[name] = _check_override(declaration, fitting)
            self._declared[name] = declaration
        elif known != declaration or known.is_bool != declaration.is_bool:
            hint = "Declare a parameter once, or with the very same options."
            raise fail("duplicate-name", f'There is a parameter "{name}" already, with other options.', hint)
        return self.value_at(name, frame)

    def value_at(self, name: str, frame: int) -> float | bool:
        """The value at a frame.

        Raises:
            FluidError: `unknown-parameter`.
        """
        declaration = self._declared.get(name)
        if declaration is None:
            hint = did_you_mean(name, self._declared) or f'Declare it first: param("{name}", {{default = 1}}).'
            raise fail("unknown-parameter", f'There is no parameter "{name[:80]}".', hint)
        if name not in self._samples:
            return declaration.default
        frames, values = self._samples[name]
        after = bisect_right(frames, frame)
        if after == 0:
            return values[0]
        if after == len(frames) or declaration.is_bool:
            return values[after - 1]
        part = (frame - frames[after - 1]) / (frames[after] - frames[after - 1])
        return values[after - 1] * (1 - part) + values[after] * part

    def unused_overrides(self) -> list[str]:
        """Names that were set from outside and that the script never declared, sorted."""
        return sorted(set(self._overrides) - set(self._declared))


def _check_declaration(p: ParameterDeclaration) -> None:
    if p.is_bool:
        if p.minimum is not None or p.maximum is not None:
            given = '"min"' if p.minimum is not None else '"max"'
            raise fail("bad-argument", f'The parameter "{p.name}" is true or false and takes no {given}.')
        return
    for word, value in (("default", p.default), ("min", p.minimum), ("max", p.maximum)):
        if value is not None and not math.isfinite(value):
            raise fail("not-finite", f'"{word}" of the parameter "{p.name}" is {value:g}.')
    if p.minimum is not None and p.maximum is not None and p.minimum > p.maximum:
        message = f'"min" of the parameter "{p.name}" is {p.minimum:g}, above its "max", {p.maximum:g}.'
        raise fail("bad-argument", message)
    _check_range(p, p.default, "default")


def _check_range(p: ParameterDeclaration, value: float, what: str) -> None:
    if (p.minimum is not None and value < p.minimum) or (p.maximum is not None and value > p.maximum):
        low = f"{p.minimum:g}" if p.minimum is not None else "…"
        high = f"{p.maximum:g}" if p.maximum is not None else "…"
        message = f'The {what} of the parameter "{p.name}" is {value:g}, outside its range {low} to {high}.'
        raise fail("bad-argument", message)


def _fit(p: ParameterDeclaration, override: Override, note: Callable[[str], None]) -> Override:
    """The override with its values converted to the parameter's type and moved into its range."""
    if isinstance(override, Mapping):
        outside = [value for value in override.values() if value != _fit_value(p, value)]
        fitted: Override = {frame: _fit_value(p, value) for frame, value in override.items()}
    else:
        fitted = _fit_value(p, override)
        outside = [override] if fitted != override else []
    if outside:
        values = f"{outside[0]:g}" if len(set(outside)) == 1 else f"{min(outside):g} to {max(outside):g}"
        note(f'The parameter "{p.name}" was set to {values}, which does not fit it: the nearest was taken.')
    return fitted


def _fit_value(p: ParameterDeclaration, value: float | bool) -> float | bool:
    if p.is_bool:
        return bool(value)
    low = -math.inf if p.minimum is None else p.minimum
    high = math.inf if p.maximum is None else p.maximum
    return min(max(+value, low), high)


def _check_override(p: ParameterDeclaration, override: Override) -> tuple[list[int], list[float | bool]]:
    samples = dict(override) if isinstance(override, Mapping) else {0: override}
    if not samples:
        raise fail("bad-argument", f'The parameter "{p.name}" was given no samples.')
    for value in samples.values():
        if p.is_bool:
            if not isinstance(value, bool) and value not in (0, 1):
                raise fail("bad-argument", f'The parameter "{p.name}" is true or false, and was set to {value!r}.')
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise fail("bad-argument", f'The parameter "{p.name}" is a number, and was set to {value!r}.')
        if not math.isfinite(value):
            raise fail("not-finite", f'The parameter "{p.name}" was set to {value!r}.')
        _check_range(p, value, "given value")
    frames = sorted(int(frame) for frame in samples)
    convert = bool if p.is_bool else (lambda value: value)
    return frames, [convert(samples[frame]) for frame in frames]
