# SPDX-License-Identifier: GPL-3.0-or-later
"""The GLSL compiler's messages in the artist's own terms: lines of the Lua script, names of fields, kinds of values."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..diagnostics import Diagnostic, FluidError, did_you_mean, fail
from ..gpu.compiler import CompileError, ShaderMessage
from ..gpu.structure import LOCAL_BYTES, StructureError
from .body import place_in_code
from .field import Field
from .kernel_source import CODE_FILE, Constants
from .stencil import BACK_BUFFER_SUFFIX, StencilDefinition

__all__ = ["explain", "further_errors", "wrong_structure"]

MOST_ERRORS = 8

_GENERATED = re.compile(r"fs_(near_(?:[pm]\d+){3}|read|sample[XYZ]?|clamp[XYZ]?|write)_(\w+)")
_VECTOR = re.compile(r"(\d)-component vector of (bool|int|uint|float)")
_LETTERS = {"bool": "b", "int": "i", "uint": "u", "float": ""}
_TYPE = r"\b(?:float|int|uint|bool|[biu]?vec[234]|mat[234])"
_DECLARATION = re.compile(rf"(?:const\s+)?({_TYPE})\s+(\w+)\s*=.*;")
_QUALIFIERS = re.compile(r"\b(global|temp|const( \(read only\))?|in|highp|layout\([^)]*\)) ")
#: The names that a stencil may use besides its own, for "did you mean".
_VOCABULARY = """
float abs acos asin atan ceil clamp cos cross distance dot exp floor fract length log max min mix mod normalize pow
reflect sign sin smoothstep sqrt step tan vec2 vec3 vec4 ivec3 int bool dt time frame voxel_size domain_size params
idx coord InDomain Random Random3 Noise CurlNoise ReadField SampleField ClampField WriteField
"""
_KNOWN = frozenset(re.findall(r"\w+", _VOCABULARY))


def further_errors(
    error: CompileError, definition: StencilDefinition, code: str, compile_other: Callable[[str], None]
) -> CompileError:
    """All errors of a body, where the compiler stops at its first.

    A line that is a statement by itself is left out, or reduced to what it declares, and the rest compiled again, until
    nothing is wrong any more or a line cannot be left out.

    Args:
        code: the rewritten body, line by line that of the definition.
        compile_other: compiles another text of the body; raises CompileError.
    """
    first_line = definition.origin.line if definition.origin else 1
    lines, found, left_out = code.split("\n"), list[ShaderMessage](), ""
    while len(found) < MOST_ERRORS:
        message = next((m for m in error.messages if m.file == CODE_FILE), None)
        if message is None:
            break
        word = message.text.split("'")[1] if message.text.startswith("'") else ""
        if "undeclared identifier" not in message.text or not re.search(rf"\b{re.escape(word)}\b", left_out):
            found.append(message)
        line = message.line - first_line
        if not _stands_alone(lines, line):
            break
        declares = _DECLARATION.fullmatch(lines[line].strip())
        left_out += "" if declares else lines[line]
        lines[line] = f"{declares[1]} {declares[2]} = {declares[1]}(0);" if declares else ""
        try:
            compile_other("\n".join(lines))
            break
        except CompileError as next_error:
            error = next_error
    return CompileError(found) if found else error


def _stands_alone(lines: list[str], line: int) -> bool:
    """Whether a line can go without its neighbours becoming something else."""
    if not 0 <= line < len(lines):
        return False
    text = lines[line].strip()
    before = next((t for t in map(str.strip, reversed(lines[:line])) if t), ";")
    balanced = all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))
    return text.endswith(";") and balanced and before[-1] in ";{}"


def explain(
    error: CompileError, definition: StencilDefinition, fields: dict[str, Field], constants: Constants
) -> FluidError:
    """One diagnostic for each message about the artist's lines."""
    mine = [m for m in error.messages if m.file == CODE_FILE]
    if not mine:  # a mistake of the generator: say so, with the compiler's words
        first = error.messages[0]
        text = f'The kernel of "{definition.name}" does not compile ({first.file}:{first.line}: {first.text}).'
        place = place_in_code(definition, 0)
        return FluidError(Diagnostic("glsl-error", text, place, "Please report this script."))
    first_of_line = {m.line: m for m in reversed(mine)}  # what follows on one line follows from its first error
    return FluidError(*(_explain_one(m, definition, fields, constants) for m in reversed(first_of_line.values())))


def wrong_structure(error: StructureError, definition: StencilDefinition) -> FluidError:
    """What compiled, and is still no kernel that may run."""
    place = place_in_code(definition, 0)
    if error.local_bytes:
        taken = f"{error.local_bytes:,} bytes in each voxel; there are {LOCAL_BYTES:,}"
        message = f'The arrays of "{definition.name}" take {taken}.'
        return fail("glsl-limit", message, "Keep values that belong to voxels in fields.", place)
    message = f'The kernel of "{definition.name}" {error}.'
    return fail(
        "glsl-structure", message, "Take out what is unusual in the code; an array needs a plain length.", place
    )


def _explain_one(
    message: ShaderMessage, definition: StencilDefinition, fields: dict[str, Field], constants: Constants
) -> Diagnostic:
    first_line = definition.origin.line if definition.origin else 1
    line = message.line - first_line
    subject, _, rest = message.text.partition(" : ")
    word = subject.strip().strip("'")
    rest = rest.strip()
    lines = definition.code.split("\n")
    text = lines[line] if 0 <= line < len(lines) else ""
    generated = _GENERATED.search(word)
    if generated and "no matching" in rest:
        return _wrong_access(generated, definition, fields, line, text)
    hint = None
    code = "glsl-error"
    if rest.startswith("undeclared identifier"):
        names = [*_KNOWN, *re.findall(_TYPE + r"\s+(\w+)", definition.code)]
        sentence = f'"{word}" is not declared.'
        hint = did_you_mean(word, {n for n in names if n != word})
        hint = hint if hint and hint.startswith("Did") else None
        if word in fields:
            hint = f'"{word}" is a field: write ReadField("{word}", idx).'
    elif rest.startswith("no such field in structure"):
        code, sentence = "unknown-parameter", f'There is no parameter "{word}".'
        hint = did_you_mean(word, [n for n, _ in constants.parameters]) or "Declare it with param() first."
    elif rest.startswith("no matching overloaded function found"):
        sentence = f'"{word}" is not a function, or does not take these values.'
        names = [n for n in _KNOWN if n != word]
        hint = did_you_mean(word, names)
        hint = hint if hint and hint.startswith("Did") else None
    elif "syntax error" in rest:
        sentence = f"The code is not GLSL here{_surprise(rest)}."
        hint = 'Look for a missing ";" or operator here or at the end of the line before.'
    elif word == "&&" and "&&" not in text:  # the one that counts turns
        sentence, hint = "A loop goes on while something is true.", "Compare two values: while (v > 0.0)."
        word = next((keyword for keyword in ("while", "for") if keyword in text), "")
    elif "cannot convert from" in rest:
        kinds = [_kind(k) for k in re.findall(r"' ?([^']*)'", rest)]
        code = "glsl-type"
        sentence = f"{_a(kinds[0])} cannot become {_a(kinds[1]).lower()}." if len(kinds) == 2 else f"{rest}."
    else:
        clean = _kind(_GENERATED.sub(lambda m: f"{_call(m[1])} {m[2]}", rest)).rstrip(".")
        sentence = f'"{word}": {clean}.' if word else f"{clean[:1].upper()}{clean[1:]}."
    at = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) if word else None
    column = at.start() + 1 if at else None
    return Diagnostic(code, sentence, place_in_code(definition, line, column, max(1, len(word))), hint)


def _wrong_access(
    generated: re.Match[str], definition: StencilDefinition, fields: dict[str, Field], line: int, text: str
) -> Diagnostic:
    verb, name = generated.groups()
    call = _call(verb)
    at = re.search(rf"{call}\s*\(\s*\"?{name}\b", text)
    place = place_in_code(definition, line, at.start() + 1 if at else None, len(call))
    field = fields[name.removesuffix(BACK_BUFFER_SUFFIX) if name not in fields else name]
    if verb == "write":
        sentence = (
            f'WriteField("{name}", …) needs a {field.format.glsl}, because "{field.name}" is {field.format.name}.'
        )
        hint = f"Write {field.format.glsl}(…) around the value, or take one component of it."
    elif call == "SampleField":
        sentence, hint = f'SampleField("{name}", …) takes a vec3 in voxels.', "Write vec3(coord) + offset."
    elif call == "ClampField":
        sentence = f'ClampField("{name}", …) takes a vec3 in voxels and a {field.format.glsl}.'
        hint = f'Write ClampField("{name}", vec3(coord) + offset, {field.format.glsl}(…)).'
    else:
        sentence = f'ReadField("{name}", …) takes an index or an ivec3.'
        hint = "Write ivec3(…) around the coordinate, or use SampleField to read between voxels."
    return Diagnostic("glsl-type", sentence, place, hint)


def _call(verb: str) -> str:
    """The access that the artist wrote, by the verb of its generated name."""
    return {"s": "SampleField", "c": "ClampField", "w": "WriteField"}.get(verb[0], "ReadField")


_MARKS = {
    "COMMA": '","',
    "SEMICOLON": '";"',
    "EQUAL": '"="',
    "LEFT_PAREN": '"("',
    "RIGHT_PAREN": '")"',
    "LEFT_BRACE": '"{"',
    "RIGHT_BRACE": '"}"',
    "RIGHT_BRACKET": '"]"',
    "IDENTIFIER": "a name",
    "FLOATCONSTANT": "a number",
    "INTCONSTANT": "a number",
}


def _surprise(message: str) -> str:
    """`syntax error, unexpected IDENTIFIER, expecting COMMA or SEMICOLON` in words."""
    found = re.search(r"unexpected ([A-Z_]+)(?:, expecting ([A-Z_]+(?: or [A-Z_]+)*))?", message)
    if not found or found[1] not in _MARKS:
        return ""
    wanted = [_MARKS[token] for token in (found[2] or "").split(" or ") if token in _MARKS]
    expected = f" where {' or '.join(wanted)} is expected" if wanted else " where it makes no sense"
    return f": {_MARKS[found[1]]} comes{expected}"


def _kind(text: str) -> str:
    text = _VECTOR.sub(lambda m: f"{_LETTERS[m[2]]}vec{m[1]}", text)
    return re.sub(r"\s+", " ", _QUALIFIERS.sub("", text)).strip()


def _a(kind: str) -> str:
    return f"An {kind}" if kind[:1] in "aeiou" else f"A {kind}"
