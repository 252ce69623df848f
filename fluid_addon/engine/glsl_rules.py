# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist's code may not say, by its tokens, before any compiler sees it.

The code is the inside of one function. The engine owns what is around it, and what it is told here it need not hope
that the compiler or the driver refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .glsl_tokens import Token

__all__ = ["Complaint", "PREFIX", "limits", "text_rules", "token_rules"]

PREFIX = "fs_"  # every generated name begins with it
MOST_CHARACTERS = 65_536
MOST_TOKENS = 20_000
DEEPEST = 64  # brackets inside brackets
MOST_BRANCHES = 250  # drivers take code apart by recursion, and some fall over a long chain of them

_STORAGE = "The engine owns storage and layout; declare fields with add_field."
_BARRIERS = "Barriers are derived from inputs and outputs."
_ROUNDING = "Every operation is rounded as it is written, on every device."
_FUNCTION = "The code is the inside of one function; write the formula where it is needed, or put it together in Lua."
_REFUSED: dict[str, str] = {
    **dict.fromkeys(("layout", "buffer", "uniform", "shared", "subroutine", "in", "out", "inout"), _STORAGE),
    **dict.fromkeys(("attribute", "varying", "coherent", "volatile", "restrict", "readonly", "writeonly"), _STORAGE),
    **dict.fromkeys(("centroid", "flat", "smooth", "noperspective", "patch", "sample"), _STORAGE),
    **dict.fromkeys(("barrier", "groupMemoryBarrier", "controlBarrier"), _BARRIERS),
    **dict.fromkeys(("precise", "invariant", "precision", "lowp", "mediump", "highp"), _ROUNDING),
    **dict.fromkeys(("discard", "demote", "terminateInvocation"), 'Write "return;", which keeps the old values.'),
    "struct": "Use vectors and arrays.",
}
#: Functions by how their names begin.
_REFUSED_STARTS = {
    "memoryBarrier": _BARRIERS,
    "atomic": "A voxel writes its own values alone; sums over the domain are sim:reduce.",
    "subgroup": "A voxel knows its own values alone.",
    **dict.fromkeys(("image", "iimage", "uimage", "texture", "texel", "sampler", "isampler", "usampler"), _STORAGE),
    **dict.fromkeys(("spirv_", "debugPrintf", "clockARB", "clock2x32", "clockRealtime"), "It is no part of GLSL 4.60."),
    **dict.fromkeys(("nonuniform", "rayQuery", "accelerationStructure", "coopmat"), "It is no part of GLSL 4.60."),
}
_REFUSED_START = re.compile("|".join(_REFUSED_STARTS))
_OPAQUE = re.compile(
    r"[iu]?(image|sampler|texture)(1D|2D|3D|Cube|Buffer)\w*|sampler(Shadow)?|subpassInput\w*|atomic_uint"
)
_WIDE = re.compile(r"double|(u?int|float)(8|16|64)_t|(d|[fiu](8|16|64))(vec|mat)[234](x[234])?")
_OWNED = re.compile(r"fs_|FS_|gl_|GL_|.*__|main\Z")
_CALLED = ("stencil", "locate", "voxel_index")  # functions around the code; as a variable the name is free
_OWN_VOXEL = ("idx", "coord")
_DIGRAPHS = ("%:", "<%", "%>", "<:", ":>")
_BRANCHES = ("if", "switch", "?", "case", "for", "while", "do")
_STATEMENTS = ("if", "for", "while", "switch")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_CONTINUED = re.compile(r"\\[\r\n]|\\\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Complaint:
    """Something that is refused, from `start` on, `width` characters."""

    code: str
    start: int
    width: int
    message: str
    hint: str | None = None

    @classmethod
    def at(cls, token: Token, code: str, message: str, hint: str | None = None) -> Complaint:
        return cls(code, token.start, min(len(token.text.split("\n")[0]), 60), message, hint)


def text_rules(code: str) -> Iterator[Complaint]:
    """What is refused wherever it stands, in comments too: there the compiler would see other tokens than we do."""
    if len(code) > MOST_CHARACTERS:
        message = f"The code has {len(code):,} characters; a stencil takes {MOST_CHARACTERS:,}."
        yield Complaint("glsl-limit", 0, 1, message, "Split it into several stencils.")
        return
    if found := _CONTINUED.search(code):
        hint = "A line ends where it ends, also in a comment."
        yield Complaint("glsl-directive", found.start(), 1, '"\\" at the end of a line is not allowed.', hint)
    if found := _CONTROL.search(code):
        shown = f"\\u{ord(found[0]):04x}"
        yield Complaint("glsl-structure", found.start(), 1, f'GLSL does not know the character "{shown}".')


def limits(tokens: Sequence[Token]) -> Iterator[Complaint]:
    """What would be too much for a compiler or a driver."""
    if len(tokens) > MOST_TOKENS:
        message = f"The code has {len(tokens):,} words and signs; a stencil takes {MOST_TOKENS:,}."
        yield Complaint.at(tokens[MOST_TOKENS], "glsl-limit", message, "Split it into several stencils.")
    depth = branches = 0
    for token in tokens:
        if token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
        branches += token.text in _BRANCHES
        if depth > DEEPEST:
            message = f"Brackets lie in brackets here more than {DEEPEST} deep."
            yield Complaint.at(token, "glsl-limit", message, "Give a part of the formula a name of its own.")
            return
        if branches > MOST_BRANCHES:
            message = f"The code branches more than {MOST_BRANCHES} times."
            yield Complaint.at(token, "glsl-limit", message, "Split it into several stencils, or use arrays.")
            return


def token_rules(tokens: Sequence[Token]) -> Iterator[Complaint]:
    """The code stays inside its function: brackets balance, no directive, nothing that the engine owns."""
    open_marks: list[int] = []
    closed = -1  # where the bracket opened that closed last
    for position, token in enumerate(tokens):
        text = token.text
        if token.kind == "open_comment":
            yield Complaint.at(token, "glsl-structure", 'The comment "/*" is never closed.', 'Add "*/".')
        elif token.kind == "other":
            yield _other(token)
        elif token.kind == "mark":
            if text == "{" and position and tokens[position - 1].text == ")" and _defines(tokens, closed):
                name = tokens[closed - 1]
                yield Complaint.at(name, "glsl-structure", f'"{name.text}" cannot be a function of its own.', _FUNCTION)
            if text in "([{":
                open_marks.append(position)
            elif text in _PAIRS:
                closed = open_marks.pop() if open_marks else -1
                if closed < 0 or tokens[closed].text != _PAIRS[text]:
                    hint = "The code is the inside of one function; it cannot close it."
                    yield Complaint.at(token, "glsl-structure", f'"{text}" closes nothing that the code opened.', hint)
                    return
            yield from _digraph(tokens, position)
        elif token.kind == "name":
            yield from _name(tokens, position)
        elif token.kind == "number" and text.lower().endswith("lf"):
            yield Complaint.at(token, "glsl-type", f'"{text}" is a number of 64 bits.', 'Leave out the "lf".')
    if open_marks:
        last = tokens[open_marks[-1]]
        yield Complaint.at(last, "glsl-structure", f'"{last.text}" is never closed.')


def _other(token: Token) -> Complaint:
    if token.text in "#\\":
        hint = "Write plain statements; constants go into param() or const variables."
        return Complaint.at(token, "glsl-directive", f'"{token.text}" is not allowed in a stencil.', hint)
    shown = token.text if token.text.isprintable() else f"\\u{ord(token.text):04x}"
    return Complaint.at(token, "glsl-structure", f'GLSL does not know the character "{shown}".')


def _digraph(tokens: Sequence[Token], position: int) -> Iterator[Complaint]:
    following = tokens[position + 1 : position + 2]
    if following and following[0].start == tokens[position].end:
        pair = tokens[position].text + following[0].text
        if pair in _DIGRAPHS:
            yield Complaint.at(tokens[position], "glsl-directive", f'"{pair}" is not allowed in a stencil.')


def _name(tokens: Sequence[Token], position: int) -> Iterator[Complaint]:
    token, text = tokens[position], tokens[position].text
    before = tokens[position - 1] if position else None
    after = [each.text for each in tokens[position + 1 : position + 3]]
    if before is not None and before.text == ".":
        return  # a component or a parameter
    start = _REFUSED_START.match(text) if after[:1] == ["("] else None
    if text in _REFUSED or start or _OPAQUE.fullmatch(text):
        hint = _REFUSED_STARTS[start[0]] if start else _REFUSED.get(text, _STORAGE)
        yield Complaint.at(token, "glsl-reserved", f'"{text}" is not allowed in a stencil.', hint)
    elif _WIDE.fullmatch(text):
        hint = "Use float, int, uint and bool, their vectors and matrices: every device has them."
        yield Complaint.at(token, "glsl-type", f'"{text}" is not among the types of a stencil.', hint)
    elif _OWNED.match(text):
        yield Complaint.at(token, "glsl-reserved", f'The name "{text}" belongs to the engine.', "Choose another name.")
    elif text in _CALLED and after[:1] == ["("]:
        what = "is this code itself, which cannot call itself" if text == "stencil" else "belongs to the engine"
        yield Complaint.at(token, "glsl-reserved", f'"{text}" {what}.', "Use a loop." if text == "stencil" else None)
    elif text in _OWN_VOXEL and before is not None and _declares(before, after):
        hint = 'It always is the voxel that the code runs for; choose another name, like "other".'
        yield Complaint.at(token, "glsl-reserved", f'"{text}" cannot be declared again.', hint)


def _declares(before: Token, after: list[str]) -> bool:
    """Whether idx or coord is a new variable between these."""
    if before.kind == "name":
        return before.text not in ("return", "else", "case")
    if before.text == "]":
        return True
    return before.text == "," and (after[:1] == [";"] or (after[:1] == ["="] and after[1:] != ["="]))


def _defines(tokens: Sequence[Token], bracket: int) -> bool:
    """Whether `type name (` stands at a bracket, behind whose end a block begins."""
    if bracket < 2 or tokens[bracket - 1].kind != "name" or tokens[bracket - 1].text in _STATEMENTS:
        return False
    return tokens[bracket - 2].text == "]" or tokens[bracket - 2].kind == "name"
