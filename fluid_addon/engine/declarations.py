# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script has declared so far: fields and compiled stencils. No device is needed for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

from ..diagnostics import FluidError, did_you_mean, fail
from ..gpu.compiler import CompileError, Compiler
from ..gpu.structure import StructureError, check_stencil
from .block import Block
from .body import Body, place_in_code, rewrite_body
from .compile_errors import explain, further_errors, wrong_structure
from .domain import Domain
from .field import DOMAIN, Field, Value, check_name, check_staggered, check_value, find_field, parse_format
from .kernel_source import Constants, KernelSource, generate
from .places import Storage
from .solver import Solver, SolverDefinition, checked_solver
from .stencil import BACK_BUFFER_SUFFIX, StencilDefinition

__all__ = ["Declarations", "Stencil", "shader_text", "shader_includes"]

_SHADERS = Path(__file__).resolve().parent.parent.parent / "shaders"
MAX_ITERATIONS = 10_000


@cache
def shader_text(name: str) -> str:
    """A file of `shaders/` as text."""
    return (_SHADERS / name).read_text("utf-8")


@cache
def shader_includes() -> dict[str, str]:
    """The include library by the names under which kernels include it."""
    return {path.name: path.read_text("utf-8") for path in sorted((_SHADERS / "include").glob("*.glsl"))}


def _halo_fields(body: Body) -> tuple[str, ...]:
    """The fields that are read in other planes along x than the voxel's own."""
    near = [name for name, offset in body.near if offset[0]]
    return tuple(dict.fromkeys([*near, *body.far_reads, *(name for _, name, _ in body.samples)]))


@dataclass
class Stencil:
    """A stencil that compiled.

    Attributes:
        slots: names of the buffers that its kernel binds, in order; `X_new` is the back buffer of `X`.
        block: the voxels that one invocation of its kernel computes.
        resolution: of its outputs, and so of the voxels that it runs over.
        others: the further resolutions of the fields that it samples.
        halo_fields: the fields that it reads in other planes along x than its own.
        reach: how many planes of the domain away, at most, where that is known.
        far: whether it reads at places that it computes.
        moved: fields that it updates in place, but for safety writes to their back buffers.
        loops: those that are counted: where each begins in the code, and with which word.
    """

    definition: StencilDefinition
    enabled: bool
    slots: tuple[str, ...]
    block: Block
    resolution: Fraction
    others: tuple[Fraction, ...]
    spirv: bytes
    halo_fields: tuple[str, ...] = ()
    reach: int = 0
    far: bool = False
    moved: frozenset[str] = frozenset()
    loops: tuple[tuple[int, str], ...] = ()

    @property
    def writes_fields(self) -> list[str]:
        """The fields that are other ones once it has run."""
        return [o.removesuffix(BACK_BUFFER_SUFFIX) for o in self.definition.outputs]

    @property
    def swaps(self) -> list[str]:
        """The fields whose buffers change sides once it has run."""
        return [name for name in self.writes_fields if name not in self.in_place]

    @property
    def in_place(self) -> set[str]:
        """The fields that it updates in place."""
        return {o for o in self.definition.outputs if not o.endswith(BACK_BUFFER_SUFFIX)} - self.moved

    @property
    def written(self) -> set[str]:
        """The buffer names that it writes."""
        return {o + BACK_BUFFER_SUFFIX if o in self.moved else o for o in self.definition.outputs}

    @property
    def read(self) -> set[str]:
        """The buffer names that it reads."""
        return {name for name in self.slots if name not in self.written} | self.in_place


class Declarations:
    """Fields, stencils and solvers, in the order of their declaration.

    Attributes:
        version: grows with every change that makes a recorded step out of date.
        largest_blocks: what one invocation of a kernel may compute at most, by the resolution of what it runs over;
            one voxel where nothing is said.
        storage: how fields lie on the devices.
    """

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self.fields: dict[str, Field] = {}
        self.stencils: dict[str, Stencil] = {}
        self.solvers: dict[str, Solver] = {}
        self._order: list[str] = []
        self.version = 0
        self.largest_blocks: dict[Fraction, Block] = {}
        self.storage = Storage()

    @contextmanager
    def taken_back_on_error(self) -> Iterator[None]:
        """What is declared inside counts only where nothing fails: a script may catch the error and go on without."""
        count, backs = len(self._order), {name: field.has_back for name, field in self.fields.items()}
        try:
            yield
        except BaseException:
            for name in self._order[count:]:
                self.stencils.pop(name, None)
                self.solvers.pop(name, None)
            del self._order[count:]
            for name in self.fields.keys() - backs.keys():
                del self.fields[name]
            for name, has_back in backs.items():
                self.fields[name].has_back = has_back
            self.version += 1
            raise

    def add_field(
        self, name: str, format_: int, init: Value, staggered: bool = False, resolution: Fraction = DOMAIN
    ) -> Field:
        """Declare a field.

        Raises:
            FluidError: `bad-name`, `duplicate-name`, `unknown-format`, `bad-argument`, `not-finite`.
        """
        check_name(name, "field")
        if name in self.fields:
            raise fail("duplicate-name", f'There is a field "{name}" already.', "Choose another name.")
        kind = parse_format(format_)
        if staggered:
            check_staggered(name, kind)
        field = Field(name, kind, check_value(name, kind, init), staggered=staggered, resolution=resolution)
        self.fields[name] = field
        self.version += 1
        return field

    def add_stencil(self, definition: StencilDefinition, constants: Constants) -> Stencil:
        """Check and compile a stencil.

        Raises:
            FluidError: with every problem found, at the lines of the script.
        """
        self._check_name(definition.name, "stencil")
        if not 1 <= definition.iterations <= MAX_ITERATIONS:
            message = f'"iterations" is {definition.iterations}; it lies between 1 and {MAX_ITERATIONS}.'
            raise fail("bad-argument", message)
        self._check_fields(definition)
        fields = self.fields.values()
        whole_numbers = [field.name for field in fields if not field.format.is_float]
        staggered = [field.name for field in fields if field.staggered]
        resolution = self._resolution(definition)
        elsewhere = [field.name for field in fields if field.resolution != resolution]
        body = rewrite_body(definition, whole_numbers, staggered, elsewhere)
        largest = self.largest_blocks.get(resolution, Block())
        source = generate(definition, body, self.fields, constants, largest, self.storage)
        try:
            spirv = self._compile(source, definition.name)
        except FluidError as error:
            raise error.at(place_in_code(definition, 0)) from error
        except StructureError as error:
            raise wrong_structure(error, definition) from error
        except CompileError as error:

            def compile_other(code: str) -> None:
                other = replace(body, code=code)
                self._compile(
                    generate(definition, other, self.fields, constants, largest, self.storage), definition.name
                )

            every = further_errors(error, definition, body.code, compile_other)
            raise explain(every, definition, self.fields, constants) from error
        stencil = Stencil(
            definition,
            definition.enabled,
            source.slots,
            source.block,
            resolution,
            source.others,
            spirv,
            halo_fields=_halo_fields(body),
            reach=max((math.ceil(abs(offset[0]) / resolution) for _, offset in body.near), default=0),
            far=body.is_far,
            moved=source.moved,
            loops=tuple((loop.token.start, loop.token.text) for loop in body.loops),
        )
        for name in stencil.swaps:
            self.fields[name].has_back = True
        self.stencils[definition.name] = stencil
        self._order.append(definition.name)
        self.version += 1
        return stencil

    def add_solver(self, definition: SolverDefinition, domain: Domain) -> Solver:
        """Check a solver; it takes its place after the stencils and solvers so far.

        Raises:
            FluidError: `bad-name`, and those of `checked_solver`.
        """
        self._check_name(definition.name, "solver")
        solver = checked_solver(definition, self.fields, domain)
        self.solvers[definition.name] = solver
        self._order.append(definition.name)
        self.version += 1
        return solver

    def steps(self) -> list[Stencil | Solver]:
        """What a step runs, in order."""
        every = [self.entry(name) for name in self._order]
        return [entry for entry in every if entry.enabled]

    def _check_name(self, name: str, kind: str) -> None:
        check_name(name, kind)
        for taken, what in ((self.stencils, "stencil"), (self.solvers, "solver")):
            if name in taken:
                raise fail("duplicate-name", f'There is a {what} "{name}" already.', "Choose another name.")

    def _compile(self, source: KernelSource, name: str) -> bytes:
        return self._compiler.compile(shader_text("stencil.comp"), source.includes(), name, check_stencil)

    def _check_fields(self, definition: StencilDefinition) -> None:
        if not definition.outputs:
            raise fail("missing-option", f'"{definition.name}" has no outputs, so it would do nothing.')
        for name in definition.inputs:
            base = name.removesuffix(BACK_BUFFER_SUFFIX)
            if name not in self.fields and base in self.fields and base != name:
                hint = f'Read "{base}"; "{name}" only exists to be written.'
                raise fail("unknown-field", f'"{name}" is a back buffer and cannot be an input.', hint)
            find_field(self.fields, name)
        for name in definition.outputs:
            base = name.removesuffix(BACK_BUFFER_SUFFIX)
            if name not in self.fields and base not in self.fields:
                known = [*self.fields, *(f + BACK_BUFFER_SUFFIX for f in self.fields)]
                hint = did_you_mean(name, known) or "Declare the field with add_field first."
                raise fail("unknown-field", f'There is no field "{name}".', hint)
            if base != name and base in definition.outputs:
                raise fail("duplicate-name", f'"{name}" and "{base}" are both outputs of "{definition.name}".')
        for names in (definition.inputs, definition.outputs):
            if len(set(names)) != len(names):
                raise fail("duplicate-name", f'"{definition.name}" names a field twice.')
        self._resolution(definition)

    def _resolution(self, definition: StencilDefinition) -> Fraction:
        """The one resolution of a stencil's outputs."""
        found = {name: self.fields[name.removesuffix(BACK_BUFFER_SUFFIX)].resolution for name in definition.outputs}
        first = definition.outputs[0]
        for name, resolution in found.items():
            if resolution != found[first]:
                message = f'"{first}" and "{name}" have voxels of different sizes, and "{definition.name}" writes both.'
                raise fail("other-resolution", message, "Write fields of each resolution with a stencil of their own.")
        return found[first]

    def entry(self, name: str) -> Stencil | Solver:
        """The stencil or solver of that name.

        Raises:
            FluidError: `unknown-stencil`.
        """
        known: dict[str, Stencil | Solver] = {**self.stencils, **self.solvers}
        if name not in known:
            hint = did_you_mean(name, known) or "Declare it with add_stencil first."
            raise fail("unknown-stencil", f'There is no stencil "{name}".', hint)
        return known[name]

    def solver(self, name: str) -> Solver:
        """The solver of that name.

        Raises:
            FluidError: `unknown-stencil`.
        """
        if name not in self.solvers:
            hint = did_you_mean(name, self.solvers) or "Declare it with add_solver first."
            raise fail("unknown-stencil", f'There is no solver "{name}".', hint)
        return self.solvers[name]

    def set_enabled(self, name: str, enabled: bool) -> None:
        entry = self.entry(name)
        if entry.enabled != enabled:
            entry.enabled = enabled
            self.version += 1
