# SPDX-License-Identifier: GPL-3.0-or-later
"""The loops of an artist's code, and a bound for each.

A device has no way to end a loop that goes on. Drivers may take one without an end for undefined behaviour, a desktop
resets the card after two seconds, and versions of lavapipe leave the loops of a shader after 65,535 turns of all of
them together without a word, for several voxels at once. So every loop has an end here: a plain one by its own numbers,
any other by a count of the voxel's turns, which stops the run where it is used up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .glsl_rules import Complaint
from .glsl_tokens import Token

__all__ = ["DEEPEST_BRANCH", "MOST_TURNS", "SHADER_TURNS", "Loop", "LoopBounds", "bound_loops"]

#: Of all counted loops of a voxel. lavapipe counts those of 8 voxels side by side, which may turn one after another.
MOST_TURNS = 8_000
#: Branches inside branches. lavapipe has room for 80 and does not look; the engine's own take a few.
DEEPEST_BRANCH = 60
PLAIN_TURNS = 1_000  # of a voxel's loops that are not counted
SHADER_TURNS = 65_500  # of an invocation, whatever its loops are: below 65,535
SPARE_TURNS = SHADER_TURNS - 8 * MOST_TURNS
#: Turns of loops in functions of the engine.
_OWN_TURNS = {"Noise": 18, "CurlNoise": 54}

_NUMBER = r"(- )?(0|[1-9]\d{0,7})([uU]?)"
_INIT = re.compile(rf"(int|uint) (\w+) = {_NUMBER}")
_CONDITION = re.compile(rf"(\w+) (< =|> =|! =|<|>) {_NUMBER}")
_ADVANCE = re.compile(r"(?:(\w+) (\+ \+|- -)|(\+ \+|- -) (\w+)|(\w+) ([-+] =) ([1-9]\d{0,7})[uU]?)")
_WRITING = frozenset(("modf", "frexp", "uaddCarry", "usubBorrow", "umulExtended", "imulExtended"))
_LOOPS = ("for", "while", "do")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass
class Loop:
    """A loop by its tokens.

    Attributes:
        token: the word that it begins with.
        condition: positions of the tokens of its condition, first and behind the last.
        body: of those that run in each turn, the condition among them.
        turns: as its numbers say, or None.
        counted: how many turns one of its own counts for, with those of plain loops in it; 0 where it is plain.
    """

    token: Token
    condition: tuple[int, int]
    body: tuple[int, int]
    turns: int | None = None
    inner: list[Loop] = field(default_factory=list)
    counted: int = 0


@dataclass
class LoopBounds:
    """What the loops of a code come to.

    Attributes:
        counted: the loops that need a count, in the order of the text.
        plain_turns: of a voxel in all other loops, at most.
        edits: what counts them: (position in the text, what is inserted there).
    """

    counted: list[Loop] = field(default_factory=list)
    plain_turns: int = 0
    edits: list[tuple[int, str]] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


def bound_loops(tokens: Sequence[Token]) -> LoopBounds:
    """Find the loops of a code whose brackets balance, and say what bounds each."""
    reader = _Reader(tokens)
    loops = list(reader.statements(0, len(tokens)))
    found = LoopBounds(complaints=[*reader.complaints, *reader.unread()])
    found.plain_turns = _own_turns(tokens, 0, len(tokens), loops)
    for loop in loops:
        turns = _weigh(tokens, loop)
        if not loop.counted and found.plain_turns + turns > PLAIN_TURNS:
            loop.counted = 1 + _inside(tokens, loop)
            turns = _uncounted(loop)
        found.plain_turns += turns
    for loop in _every(loops):
        _refuse(tokens, loop, found)
        if loop.counted:
            first, last = (tokens[place] for place in (loop.condition[0], loop.condition[1] - 1))
            count = f") && fs_turn({len(found.counted)}, {loop.counted})"
            found.edits += [(first.start, "("), (last.end, count)]
            found.counted.append(loop)
    if found.plain_turns > (SPARE_TURNS if found.counted else SHADER_TURNS):
        message = f"A voxel takes {found.plain_turns:,} turns of loops, whatever happens."
        hint = "Split the code into several stencils."
        found.complaints.append(Complaint.at(tokens[0], "glsl-limit", message, hint))
    return found


def _every(loops: Sequence[Loop]) -> Iterator[Loop]:
    for loop in loops:
        yield loop
        yield from _every(loop.inner)


def _refuse(tokens: Sequence[Token], loop: Loop, found: LoopBounds) -> None:
    words = {tokens[place].text for place in range(*loop.body)}
    if loop.turns is not None and loop.turns > MOST_TURNS and not words & {"break", "return"}:
        message = (
            f'This "{loop.token.text}" takes {loop.turns:,} turns; a voxel has {MOST_TURNS:,} for all of its loops.'
        )
        hint = "Spread the work over steps, or over a finer field."
        found.complaints.append(Complaint.at(loop.token, "glsl-limit", message, hint))


def _weigh(tokens: Sequence[Token], loop: Loop) -> int:
    """Decide whether a loop and those in it are counted. How many turns it adds to what is around it."""
    inside = sum(_weigh(tokens, inner) for inner in loop.inner) + _own_turns(tokens, *loop.body, loop.inner)
    if loop.turns is not None and loop.turns * (1 + inside) < PLAIN_TURNS:
        return loop.turns * (1 + inside) + 1
    loop.counted = 1 + inside
    return _uncounted(loop)


def _uncounted(loop: Loop) -> int:
    """Turns that a counted loop adds to what is around it: a "do" turns once before its count is first looked at."""
    return 1 + loop.counted if loop.token.text == "do" else 1


def _inside(tokens: Sequence[Token], loop: Loop) -> int:
    return sum(_weigh(tokens, inner) for inner in loop.inner) + _own_turns(tokens, *loop.body, loop.inner)


def _own_turns(tokens: Sequence[Token], first: int, last: int, without: Sequence[Loop]) -> int:
    """Turns in the engine's functions that are called in a stretch of the code, loops left out."""
    turns = sum(_OWN_TURNS.get(tokens[place].text, 0) for place in range(first, last))
    return turns - sum(_own_turns(tokens, *loop.body, ()) for loop in without)


class _Reader:
    """Reads statements as far as loops matter."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self.complaints: list[Complaint] = []
        self._read: set[int] = set()  # where the words of the loops stand that were found
        self._depth = self._jumps = 0
        self._too_deep = False
        self._closing: dict[int, int] = {}
        open_marks: list[int] = []
        for position, token in enumerate(tokens):
            if token.kind == "mark" and token.text in _PAIRS:
                open_marks.append(position)
            elif token.kind == "mark" and token.text in _PAIRS.values() and open_marks:
                self._closing[open_marks.pop()] = position

    def _text(self, position: int) -> str:
        return self._tokens[position].text if position < len(self._tokens) else ""

    def _close(self, position: int) -> int | None:
        """Where the bracket at a position closes; None where there is no bracket."""
        return self._closing.get(position) if self._text(position) == "(" else None

    def unread(self) -> Iterator[Complaint]:
        """The words of loops that are no statement as read here: the compiler may read otherwise, and find a loop."""
        for position, token in enumerate(self._tokens):
            if token.kind == "name" and token.text in _LOOPS and position not in self._read:
                hint = "Write a loop as a statement of its own, and its condition in brackets."
                yield Complaint.at(token, "glsl-structure", f'"{token.text}" does not begin a loop here.', hint)

    def statements(self, first: int, last: int) -> Iterator[Loop]:
        position = first
        while position < last:
            position, loops = self._statement(position, last)
            yield from loops

    def _inner(self, position: int, last: int) -> tuple[int, list[Loop]]:
        """A statement that runs under a condition."""
        self._depth += 1
        found = self._statement(position, last)
        self._depth -= 1
        return found

    def _look(self, first: int, last: int) -> None:
        """How deep branches lie in a stretch without statements, as a driver counts them.

        What follows a `return` or `continue` under a condition becomes a branch for it, and so does either side of a
        choice.
        """
        choices = brackets = 0
        for position in range(first, min(last, len(self._tokens))):
            text = self._text(position)
            brackets += (text == "(") - (text == ")")
            choices += text == "?"
            self._jumps += text in ("return", "continue")
            deep = self._depth + self._jumps + choices + (brackets if text in "&|?" else 0)
            if deep > DEEPEST_BRANCH and not self._too_deep:
                self._too_deep = True
                message = f"Branches lie in branches here more than {DEEPEST_BRANCH} deep."
                hint = 'Each "else if", "?", "return" and "continue" counts; use arrays, min and max, or more stencils.'
                self.complaints.append(Complaint.at(self._tokens[position], "glsl-limit", message, hint))

    def _statement(self, position: int, last: int) -> tuple[int, list[Loop]]:
        """One statement: where the next begins, and the loops in it."""
        word = self._text(position)
        if word == "{" and position in self._closing:
            inside = list(self.statements(position + 1, self._closing[position]))
            return self._closing[position] + 1, inside
        if word in ("if", "switch") and (end := self._close(position + 1)) is not None:
            self._look(position, end)
            following, loops = self._inner(end + 1, last)
            if word == "if" and following < last and self._text(following) == "else":
                following, more = self._inner(following + 1, last)
                loops += more
            return following, loops
        if word in ("for", "while") and (end := self._close(position + 1)) is not None:
            self._look(position, end)
            following, inner = self._inner(end + 1, last)
            return following, [self._loop(position, (position + 2, end), (end + 1, following), inner)]
        if word == "do":
            return self._do(position, last)
        end = self._end(position, last)
        self._look(position, end)
        return end, []

    def _do(self, position: int, last: int) -> tuple[int, list[Loop]]:
        following, inner = self._inner(position + 1, last)
        end = self._close(following + 1) if self._text(following) == "while" else None
        if end is None:
            return max(following, position + 1), inner
        self._read.add(following)
        body = (position + 1, following)
        return end + 2, [self._loop(position, (following + 2, end), body, inner)]

    def _end(self, position: int, last: int) -> int:
        """Behind a statement without statements in it."""
        label, choices = self._text(position) in ("case", "default"), 0
        while position < last and (text := self._text(position)) != ";":
            if label and text == ":" and not choices:
                break
            choices += (text == "?") - (text == ":")
            position = self._closing.get(position, position) + 1
        return position + 1

    def _loop(self, position: int, header: tuple[int, int], body: tuple[int, int], inner: list[Loop]) -> Loop:
        self._read.add(position)
        whole = (min(header[0], body[0]), max(header[1], body[1]))
        loop = Loop(self._tokens[position], header, whole, inner=inner)
        if loop.token.text == "for":
            parts = self._parts(*header)
            if len(parts) != 3:
                loop.turns = 0  # no loop at all: the compiler says so
                return loop
            loop.condition = parts[1]
            loop.body = (parts[1][0], body[1])
            loop.turns = _turns(*(self._words(*part) for part in parts))
            if loop.turns is not None and self._changes(self._text(parts[0][0] + 1), body):
                loop.turns = None
        names = [self._tokens[place] for place in range(*loop.condition)]
        variables = [each for each in names if each.kind == "name" and each.text not in ("true", "false")]
        if loop.token.text == "do" and [each.text for each in names] == ["false"]:
            loop.turns = 1
        elif not variables:
            message = f'"{loop.token.text}" has no condition that could end it.'
            hint = 'Write for (int i = 0; i < 100; i++), and leave it earlier with "break".'
            self.complaints.append(Complaint.at(loop.token, "glsl-unbounded", message, hint))
            loop.turns = 0
        elif _declares_variable(names):
            message, hint = "A loop's condition cannot declare a variable.", "Declare it before the loop."
            self.complaints.append(Complaint.at(names[1], "glsl-structure", message, hint))
        return loop

    def _parts(self, first: int, last: int) -> list[tuple[int, int]]:
        """The three parts of the brackets behind "for"."""
        parts, begin, position = [], first, first
        while position < last:
            if self._text(position) == ";":
                parts.append((begin, position))
                begin = position + 1
            position = self._closing.get(position, position) + 1
        return [*parts, (begin, last)]

    def _words(self, first: int, last: int) -> str:
        return " ".join(self._tokens[place].text for place in range(first, last))

    def _changes(self, name: str, body: tuple[int, int]) -> bool:
        """Whether a stretch of the code may set a variable."""
        words = [self._tokens[place].text for place in range(*body)]
        if _WRITING.intersection(words):
            return True
        for place, word in enumerate(words):
            if word != name:
                continue
            begin, end = place, place + 1
            while words[begin - 1 : begin] == ["("] and words[end : end + 1] == [")"]:
                begin, end = begin - 1, end + 1
            if re.match(r"=(?!=)|[-+*/%&|^]=|<<=|>>=|\+\+|--|\.", "".join(words[end : end + 3])):
                return True
            before = words[max(0, begin - 2) : begin]
            if before in (["+", "+"], ["-", "-"]) or before[-1:] in (["int"], ["uint"], ["float"]):
                return True
        return False


def _declares_variable(names: Sequence[Token]) -> bool:
    return len(names) > 2 and names[0].kind == names[1].kind == "name" and names[2].text == "="


def _turns(init: str, condition: str, advance: str) -> int | None:
    """How often a loop turns over whole numbers that are written down, or None."""
    begins, ends, steps = _INIT.fullmatch(init), _CONDITION.fullmatch(condition), _ADVANCE.fullmatch(advance)
    if not begins or not ends or not steps:
        return None
    name = begins[2]
    if ends[1] != name or name not in (steps[1], steps[4], steps[5]):
        return None
    first, bound = int(begins[4]) * (-1 if begins[3] else 1), int(ends[4]) * (-1 if ends[3] else 1)
    unsigned = begins[1] == "uint" or bool(ends[5])
    if unsigned and (first < 0 or bound < 0):
        return None  # compared as very large numbers
    sign = (steps[2] or steps[3] or steps[6])[0]
    step = int(steps[7] or 1)
    relation = ends[2].replace(" ", "")
    if sign == "-":  # count upwards
        first, bound = -first, -bound
        relation = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(relation, relation)
    if relation == "!=":
        return (bound - first) // step if bound >= first and (bound - first) % step == 0 else None
    if relation not in ("<", "<="):
        return None
    turns = max(0, -(-(bound - first + (relation == "<=")) // step))
    if unsigned and sign == "-" and first + turns * step > 0:
        return None  # below zero it begins again at the other end
    return turns
