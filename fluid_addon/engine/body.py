# SPDX-License-Identifier: GPL-3.0-or-later
"""An artist's GLSL body: checked by its tokens, and its field accesses turned into calls of generated functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ..diagnostics import Diagnostic, FluidError, Place, did_you_mean
from .glsl_loops import Loop, bound_loops
from .glsl_rules import MOST_CHARACTERS, PREFIX, Complaint, limits, text_rules, token_rules
from .glsl_tokens import Token, match_bracket, tokenize
from .stencil import BACK_BUFFER_SUFFIX, CodePart, StencilDefinition

__all__ = ["OWN", "Body", "Offset", "near_name", "offset_word", "place_in_code", "rewrite_body"]

#: From a voxel to the one that it reads, in voxels along x, y, z.
Offset = tuple[int, int, int]
OWN: Offset = (0, 0, 0)

ACCESSES = ("ReadField", "SampleField", "ClampField", "WriteField")
BETWEEN = {"SampleField": "sample", "ClampField": "clamp"}  # accesses between voxels
OWN_VOXEL = ("idx", "coord")
MOST_COMPLAINTS = 20  # that are told of one body
FARTHEST = 1024  # voxels along an axis; a longer way is as rare as it is dear, and goes by the general read
_WHOLE_NUMBER = re.compile(r"(0|[1-9][0-9]{0,3})\Z")
#: Functions that a software device compiles into long stretches of code, measured with lavapipe.
_LONG = ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "exp2", "log", "log2", "pow")
_EFFORT = dict.fromkeys(_LONG, 200) | {"Noise": 1_500, "CurlNoise": 6_000}


@dataclass
class Body:
    """What the tokens of a body say.

    Attributes:
        code: the body with every access rewritten; lines stay.
        near: each field that is read at a fixed offset from the voxel, (0, 0, 0) for the voxel itself, with the offset.
        far_reads: fields read at a computed index or coordinate, and how often the code says so.
        samples: fields read between voxels, and how often the code says so, by the access ("sample" or "clamp"), the
            field, and the one component that is taken of a staggered field ("x", "y", "z"), or "" for the whole value.
        writes: outputs that are written.
        loops: those whose turns are counted, in the order in which they are numbered.
        plain_turns: of a voxel in all other loops, at most.
        effort: how much there is to compile, in tokens or what takes as long as so many; without the reads.
    """

    code: str
    near: list[tuple[str, Offset]] = field(default_factory=list)
    far_reads: Counter[str] = field(default_factory=Counter)
    samples: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    writes: set[str] = field(default_factory=set)
    loops: list[Loop] = field(default_factory=list)
    plain_turns: int = 0
    effort: int = 0

    @property
    def is_watched(self) -> bool:
        """Whether it does anything that results do not show: see shaders/include/watch.glsl."""
        return self.is_far or bool(self.loops)

    @property
    def is_far(self) -> bool:
        """Whether it reads at places that it computes."""
        return bool(self.far_reads or self.samples)


def near_name(name: str, offset: Offset) -> str:
    """What the value of a field at a fixed offset is called in a rewritten body."""
    return f"{PREFIX}near_{''.join(map(offset_word, offset))}_{name}"


def offset_word(offset: int) -> str:
    """An offset along one axis as part of a name: p1, m2."""
    return f"m{-offset}" if offset < 0 else f"p{offset}"


def place_in_code(definition: StencilDefinition, line: int, column: int | None = None, width: int = 1) -> Place | None:
    """A place in the artist's script for line `line` (from 0) of a stencil's code."""
    origin = definition.origin
    if origin is None:
        return None
    lines = definition.code.split("\n")
    text = lines[line] if 0 <= line < len(lines) else None
    if origin.parts is None:
        return Place(origin.file, origin.line + line, column, width, text)
    found = _place_in_parts(origin.parts, text or "", column, width)
    return found or Place(origin.file, origin.line, column, width, text)


def _place_in_parts(parts: tuple[CodePart, ...], line: str, column: int | None, width: int) -> Place | None:
    """Where a column of a line that was put together stands in the script, or the one expression it can be about."""
    for part in parts if column is not None else ():
        at = line.find(part.text)
        while at >= 0 and column is not None:
            if at < column <= at + len(part.text):
                return Place(part.file, part.line, part.column + column - 1 - at, width, part.shown)
            at = line.find(part.text, at + 1)
    expressions = [part for part in parts if part.text in line and not part.text.isidentifier()]
    if len({part.text for part in expressions}) != 1:
        return None
    only = expressions[0]
    return Place(only.file, only.line, only.column, len(only.text), only.shown)


class _Checker:
    def __init__(self, definition: StencilDefinition) -> None:
        self.definition = definition
        self.tokens = tokenize(definition.code[: MOST_CHARACTERS + 1])
        self.found: list[Diagnostic] = []

    def complain(self, code: str, token: Token, message: str, hint: str | None = None) -> None:
        begin = self.definition.code.rfind("\n", 0, token.start) + 1
        width = min(len(token.text.split("\n")[0]), 60)
        place = place_in_code(self.definition, token.line, token.start - begin + 1, width)
        self._tell(Diagnostic(code, message, place, hint))

    def refuse(self, complaint: Complaint) -> None:
        line = self.definition.code.count("\n", 0, complaint.start)
        begin = self.definition.code.rfind("\n", 0, complaint.start) + 1
        place = place_in_code(self.definition, line, complaint.start - begin + 1, complaint.width)
        self._tell(Diagnostic(complaint.code, complaint.message, place, complaint.hint))

    def _tell(self, diagnostic: Diagnostic) -> None:
        """Raises FluidError once there are so many that more of them say nothing new."""
        self.found.append(diagnostic)
        if len(self.found) >= MOST_COMPLAINTS:
            self.stop()

    def structure(self) -> None:
        """The body stays inside its function and in bounds.

        Raises:
            FluidError: it does not, so that nothing else can be said of it.
        """
        for rules in (text_rules(self.definition.code), limits(self.tokens)):
            for complaint in rules:
                self.refuse(complaint)
            self.stop()
        for complaint in token_rules(self.tokens):
            self.refuse(complaint)

    def stop(self) -> None:
        """Raises FluidError with what was found so far, if anything was."""
        if self.found:
            raise FluidError(*sorted(self.found, key=lambda d: d.place.line if d.place else 0))

    def accesses(self) -> Iterator[tuple[int, Token, Token, int, list[Token]]]:
        """Each field access: position of its name, name token, field token, position of the comma, location tokens."""
        for position, token in enumerate(self.tokens):
            if token.kind != "name" or token.text not in ACCESSES:
                continue
            following = self.tokens[position + 1 : position + 4]
            well_formed = len(following) == 3 and following[0].text == "(" and following[1].kind in ("string", "name")
            if not well_formed or following[2].text != ",":
                example = 'WriteField("density_new", idx, value)' if token.text == "WriteField" else ""
                example = example or f'{token.text}("density", coord)'
                self.complain(
                    "glsl-structure", token, f'"{token.text}" takes the name of a field first.', f"Write {example}."
                )
                continue
            yield position, token, following[1], position + 3, self._argument(position + 4)

    def _argument(self, start: int) -> list[Token]:
        depth = 0
        for position in range(start, len(self.tokens)):
            text = self.tokens[position].text
            if depth == 0 and text in (",", ")"):
                return self.tokens[start:position]
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text, 0)
        return self.tokens[start:]


def rewrite_body(
    definition: StencilDefinition,
    whole_numbers: Collection[str] = (),
    staggered: Collection[str] = (),
    elsewhere: Collection[str] = (),
) -> Body:
    """Check a body and rewrite its accesses.

    `ReadField("f", idx)` and `ReadField("f", coord + ivec3(0, 0, -1))` become the values `fs_near_p0p0p0_f` and
    `fs_near_p0p0m1_f`, a read at a computed place `fs_read_f(where)`, `SampleField("f", p)` becomes `fs_sample_f(p)`
    and `WriteField("f", idx, v)` becomes `fs_write_f(v)`. One component of a sample of a staggered field,
    `SampleField("f", p).x`, becomes `fs_sampleX_f(p)`, which loads no other; a sample at `vec3(coord)` becomes
    values at fixed offsets. Line breaks stay where they are.

    Args:
        whole_numbers: names of fields that hold integers, which have no values between voxels.
        staggered: names of fields whose components lie on faces.
        elsewhere: names of fields with voxels of another size than those that the stencil runs over.

    A loop that is not plainly short has its turns counted.

    Raises:
        FluidError: with the first problems that the tokens show: structure, reserved names, loops without an end,
            undeclared fields, neighbour reads without halos, reads of a field updated in place, writes elsewhere than
            the own voxel.
    """
    checker = _Checker(definition)
    checker.structure()
    body = Body("")
    edits: list[tuple[int, int, str]] = []
    if not checker.found:  # brackets balance
        bounds = bound_loops(checker.tokens)
        for complaint in bounds.complaints:
            checker.refuse(complaint)
        edits += [(place, place, text) for place, text in bounds.edits]
        body.loops, body.plain_turns = bounds.counted, bounds.plain_turns
    names: set[int] = set()
    for position, call, name_token, comma, location in checker.accesses():
        name = name_token.text.strip("\"'")
        names.add(name_token.start)
        offset = _offset(location)
        own = offset == OWN
        if not _allowed(checker, call, name_token, name, own, location):
            continue
        first = checker.tokens[position].start
        closing = match_bracket(checker.tokens, position + 1)
        if call.text == "WriteField":
            body.writes.add(name)
            comma_after = comma + 1 + len(location)
            if closing is None or comma_after >= closing:
                checker.complain("glsl-structure", call, f'WriteField("{name}", …) takes a value as third argument.')
                continue
            edits.append((first, checker.tokens[comma_after].end, f"{PREFIX}write_{name}("))
        elif call.text == "ReadField" and name in elsewhere:
            message = f'"{name}" has voxels of another size than those that "{definition.name}" runs over.'
            hint = f'Use SampleField("{name}", vec3(coord)); its position counts the voxels that the stencil runs over.'
            checker.complain("other-resolution", name_token, message, hint)
        elif call.text == "ReadField" and offset is not None and closing == comma + 1 + len(location):
            if (name, offset) not in body.near:
                body.near.append((name, offset))
            edits.append((first, checker.tokens[closing].end, near_name(name, offset)))
        else:
            between = BETWEEN.get(call.text)
            if between and name in whole_numbers:
                message = f'"{name}" holds whole numbers, so there is nothing between its voxels.'
                checker.complain("glsl-type", call, message, "Use ReadField.")
                continue
            part = ""
            if between and name in staggered and closing is not None:
                part = _component(checker.tokens[closing + 1 : closing + 3])
            if part and closing is not None:
                edits.append((checker.tokens[closing].end, checker.tokens[closing + 2].end, ""))
            at_centre = [token.text for token in location] == ["vec3", "(", "coord", ")"]
            if between == "sample" and at_centre and name not in elsewhere and closing is not None:
                value, offsets = _centre(name, name in staggered, part)
                body.near += [(name, offset) for offset in offsets if (name, offset) not in body.near]
                edits.append((first, checker.tokens[closing].end, value))
                continue
            if between:
                body.samples[between, name, part] += 1
            else:
                body.far_reads[name] += 1
            edits.append((first, checker.tokens[comma].end, f"{PREFIX}{between or 'read'}{part.upper()}_{name}("))
    for token in checker.tokens:
        if token.kind == "string" and token.start not in names:
            checker.complain("glsl-structure", token, "A text can only be the name of a field.")
    checker.stop()
    body.code = _apply(definition.code, edits)
    rewritten = tokenize(body.code)
    body.effort = sum(_EFFORT.get(token.text, 1) for token in rewritten) + _array_effort(rewritten)
    return body


def _array_effort(tokens: list[Token]) -> int:
    """Of arrays: a driver takes every element of one that is indexed by what it computes for a value of its own."""
    lengths = [
        int(length.text.rstrip("uU"))
        for before, name, bracket, length in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False)
        if bracket.text == "[" and before.kind == name.kind == "name" and length.text.rstrip("uU").isdecimal()
    ]
    return 8 * sum(lengths)


def _allowed(checker: _Checker, call: Token, token: Token, name: str, own: bool, location: list[Token]) -> bool:
    definition = checker.definition
    hint: str | None
    if call.text == "WriteField":
        if name not in definition.outputs:
            hint = did_you_mean(name, definition.outputs) or f'Add "{name}" to outputs.'
            checker.complain("not-an-output", token, f'"{name}" is not among the outputs of "{definition.name}".', hint)
        elif not own:
            hint = 'Write at "idx" or "coord"; to move values, read from where they come.'
            checker.complain("write-elsewhere", token, f'"{name}" can be written at the voxel itself only.', hint)
        else:
            return True
        return False
    if name not in definition.inputs:
        back = name.endswith(BACK_BUFFER_SUFFIX) and name in definition.outputs
        hint = f'Read "{name.removesuffix(BACK_BUFFER_SUFFIX)}".' if back else None
        hint = hint or did_you_mean(name, definition.inputs) or f'Add "{name}" to inputs.'
        checker.complain("not-an-input", token, f'"{name}" is not among the inputs of "{definition.name}".', hint)
        return False
    elsewhere = call.text in BETWEEN or not own
    if elsewhere and name in definition.outputs:
        hint = f'Write "{name}{BACK_BUFFER_SUFFIX}" instead, and the old values stay readable everywhere.'
        message = f'"{name}" is updated in place, so it can be read at "idx" or "coord" only.'
        checker.complain("in-place-read", token, message, hint)
        return False
    if elsewhere and not definition.requires_halos:
        where = "".join(t.text for t in location)[:40]
        message = f'"{name}" is read at "{where}", and "{definition.name}" says requires_halos = false.'
        checker.complain("needs-halos", token, message, "Say requires_halos = true.")
        return False
    return True


def _centre(name: str, staggered: bool, part: str) -> tuple[str, list[Offset]]:
    """A sample at the voxel's own centre from what is read at fixed offsets: its value, or the mean of two faces."""
    if not staggered:
        return near_name(name, OWN), [OWN]
    axes = part or "xyz"
    offsets: list[Offset] = [OWN, *((int(a == "x"), int(a == "y"), int(a == "z")) for a in axes)]
    sums = [f"{near_name(name, OWN)}.{a} + {near_name(name, o)}.{a}" for a, o in zip(axes, offsets[1:], strict=True)]
    return f"(0.5 * {'' if part else 'vec3'}({', '.join(sums)}))", offsets


def _component(following: list[Token]) -> str:
    """ "x" of `.x` after a call, "" where the whole value is used."""
    words = [token.text for token in following]
    return words[1] if words[:1] == ["."] and words[1:] in (["x"], ["y"], ["z"]) else ""


def _offset(location: list[Token]) -> Offset | None:
    """The fixed offset of a location that is `idx`, `coord`, `coord + ivec3(…)` or `coord - ivec3(…)`, or None."""
    words = [token.text for token in location]
    if len(words) == 1 and words[0] in OWN_VOXEL:
        return OWN
    if words[:1] != ["coord"] or words[2:4] != ["ivec3", "("] or words[1] not in "+-" or words[-1] != ")":
        return None
    numbers = [_whole_number(part.split()) for part in " ".join(words[4:-1]).split(",")]
    known = [-number if words[1] == "-" else number for number in numbers if number is not None]
    if len(known) != len(numbers) or len(known) not in (1, 3):
        return None
    x, y, z = known * 3 if len(known) == 1 else known
    return x, y, z


def _whole_number(words: list[str]) -> int | None:
    """The value of a plain whole number, with or without a sign, up to `FARTHEST`."""
    if not words or len(words) > 2 or (words[0] not in "+-" and len(words) == 2):
        return None
    if not _WHOLE_NUMBER.match(words[-1]) or int(words[-1]) > FARTHEST:
        return None
    return -int(words[-1]) if words[0] == "-" else int(words[-1])


def _apply(code: str, edits: list[tuple[int, int, str]]) -> str:
    parts, done = [], 0
    for start, end, text in sorted(edits):
        parts += [code[done:start], text, "\n" * code.count("\n", start, end)]
        done = end
    return "".join([*parts, code[done:]])
