# SPDX-License-Identifier: GPL-3.0-or-later
"""The pressure solver over bricks: the bits of the dense one, an exact solve where leaves sleep, and its rates."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fluid_addon.engine.declarations import shader_includes
from fluid_addon.engine.domain import Domain, parse_boundary
from fluid_addon.engine.field import DOMAIN, Field
from fluid_addon.engine.formats import Format
from fluid_addon.engine.leaves import LEAF, LeafBox
from fluid_addon.engine.poisson import Poisson
from fluid_addon.engine.poisson_level import KernelMaker
from fluid_addon.engine.solver import Solved, SolverDefinition, checked_solver
from fluid_addon.engine.topology import Topology
from fluid_addon.gpu.compiler import Compiler
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.execution import Execution
from fluid_addon.gpu.kernel import KernelLibrary
from fluid_addon.gpu.memory import Buffer, Residence
from fluid_addon.gpu.recording import Copy, Recording

WALLS, AIR, WRAP = ("closed",) * 6, ("open",) * 6, ("periodic",) * 6
MIXED = ("closed", "open", "periodic", "periodic", "open", "open")
OPEN_FACES = 0xFFFFFF
RUBBISH = np.float32(7e7)  # what lies in bricks beyond the ends of the domain


class Machine:
    """A device with what solvers share on it."""

    def __init__(self, cache):
        self.device = Device()
        self.library = KernelLibrary(self.device, cache)
        self.execution = Execution(self.device, self.library, 256)
        self.maker = KernelMaker(self.library, Compiler(shader_includes(), cache), self.device.info)

    def read(self, buffer):
        host = Buffer(self.device, "readback", buffer.size, Residence.READBACK)
        self.execution.run(Recording("readback", [Copy(buffer, host, buffer.size)]))
        host.invalidate()
        content = np.array(host.host)
        host.close()
        return content

    def close(self):
        self.library.save()
        self.execution.close()
        self.library.close()
        self.device.close()


class Solving:
    """A solver for x with the right side b, dense, or sparse with leaves that are active."""

    def __init__(
        self,
        machine,
        b,
        sides,
        faces=None,
        *,
        sparse=False,
        leaves=None,
        resolution=DOMAIN,
        outside=OPEN_FACES,
        **options,
    ):
        self.machine, self.size, self.sparse = machine, b.shape, sparse
        self.edge = int(LEAF * resolution)
        rules = ["periodic" if sides[2 * axis] == "periodic" else "open" for axis in range(3)]
        coarse = tuple(int(np.ceil(n / float(resolution))) for n in b.shape)
        self.domain = Domain.box(coarse, None, None, parse_boundary(rules))
        assert self.domain.at(resolution).size == b.shape
        self.box = LeafBox(self.domain.size, self.domain.boundary)
        self.topology = Topology(machine.device, machine.execution, self.box) if sparse else None
        self.values = {"x": np.zeros(b.shape, np.float32), "b": np.asarray(b, np.float32)}
        formats = {"x": Format.R32F, "b": Format.R32F}
        if faces is not None:
            self.values["w"], formats["w"], options["faces"] = np.asarray(faces, np.uint32), Format.R32UI, "w"
        self.outside = {"x": 0, "b": 0, "w": outside}
        self.fields = {name: Field(name, kind, (0,), resolution=resolution) for name, kind in formats.items()}
        sides = tuple("closed" if side == "periodic" else side for side in sides)
        definition = SolverDefinition("solve", "x", "b", **{"sides": sides, **options})
        solver = checked_solver(definition, self.fields, self.domain)
        self.poisson = Poisson(machine.device, machine.execution, machine.maker, solver, b.shape, self.topology)
        self.hold(np.arange(self.box.count) if leaves is None else leaves)

    def hold(self, leaves):
        """Let these leaves be active; x is 0 again."""
        self.leaves = np.asarray(leaves, np.int32)
        if self.topology is not None:
            self.topology.hold(self.leaves, self.leaves[:0], self.leaves[:0], None)
        for name in self.fields:
            self.put(name, self.values[name])

    def _bricks(self, values, beyond):
        """(leaves, edge, edge, edge) of an array of the domain's shape."""
        shape = self.box.shape
        padded = np.full([n * self.edge for n in shape], beyond, values.dtype)
        padded[tuple(slice(n) for n in self.size)] = values
        split = padded.reshape(shape[0], self.edge, shape[1], self.edge, shape[2], self.edge)
        return split.transpose(0, 2, 4, 1, 3, 5).reshape(-1, self.edge, self.edge, self.edge)

    def put(self, name, values):
        field = self.fields[name]
        content = values
        if self.topology is not None:
            content = np.full((self.topology.capacity, *(self.edge,) * 3), self.outside[name], values.dtype)
            slots = self.topology.pool.slots_of(self.leaves)
            content[slots] = self._bricks(values, RUBBISH if values.dtype.kind == "f" else OPEN_FACES)[self.leaves]
        if field.buffers and field.buffers[0].size != content.nbytes:
            field.buffers.pop().close()
        if not field.buffers:
            field.buffers.append(Buffer(self.machine.device, name, content.nbytes))
        self.machine.execution.upload(field.buffers[0], content)

    def x(self):
        raw = self.machine.read(self.fields["x"].buffers[0]).view(np.float32)
        if self.topology is None:
            return raw.reshape(self.size)
        pool = raw.reshape(-1, *(self.edge,) * 3)
        assert (pool[0] == 0).all(), "somebody wrote into the background"
        bricks = np.zeros((self.box.count, *(self.edge,) * 3), np.float32)
        bricks[self.leaves] = pool[self.topology.pool.slots_of(self.leaves)]
        split = bricks.reshape(*self.box.shape, *(self.edge,) * 3).transpose(0, 3, 1, 4, 2, 5)
        return split.reshape([n * self.edge for n in self.box.shape])[tuple(slice(n) for n in self.size)]

    def active(self):
        """The voxels of active leaves."""
        mask = np.zeros(self.box.count, bool)
        mask[self.leaves] = True
        for axis in range(3):
            mask = np.repeat(mask.reshape(self.box.shape) if axis == 0 else mask, self.edge, axis)
        return mask[tuple(slice(n) for n in self.size)]

    def solve(self, dt=1.0):
        return self.poisson.solve(dt)

    def answer(self):
        self.put("x", self.values["x"])
        solved = self.solve()
        return self.x().tobytes(), solved

    def close(self):
        self.poisson.close()
        for field in self.fields.values():
            for buffer in field.buffers:
                buffer.close()
        if self.topology is not None:
            self.topology.close()


@pytest.fixture(scope="module")
def machine(compiled):
    made = Machine(compiled)
    yield made
    made.close()


@pytest.fixture
def solving(machine):
    made = []

    def make(*arguments, **options):
        made.append(Solving(machine, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def random_faces(shape, air=0.05, seed=5):
    """Packed faces: a part closed, the others of any openness, and some voxels of open air."""
    rng = np.random.default_rng(seed)
    parts = [np.where(rng.random(shape) < 0.15, 0, rng.integers(0, 256, shape)).astype(np.uint32) for _ in range(3)]
    return parts[0] | parts[1] << 8 | parts[2] << 16 | (rng.random(shape) < air).astype(np.uint32) << 24


# ----- every leaf is active


SIDES = {"closed": WALLS, "open": AIR, "periodic": WRAP, "mixed": MIXED}
SIZE = (35, 17, 20)  # ragged along each axis, and of five grids; kernels are made once for all tests that have it
SAME = [
    (SIZE, "mixed", True, "multigrid"),
    (SIZE, "mixed", False, "conjugate"),
    ((9, 8, 8), "periodic", True, "multigrid"),
    ((12, 10, 1), "closed", False, "sweeps"),
]
MORE = [
    (size, side, faces, method)
    for size in ((40, 33, 36), (33, 9, 21), (8, 8, 8), (16, 32, 48), (65, 5, 1), (3, 5, 2), (1, 13, 17), (1, 1, 1))
    for side in SIDES
    for faces in (False, True)
    for method in ("multigrid", "conjugate", "sweeps")
]


def both(solving, size, side, with_faces, method, resolution=DOMAIN, **options):
    """The answers of the dense solver and of the sparse one whose leaves are all active."""
    sides = tuple("closed" if size[i // 2] == 1 and s == "open" else s for i, s in enumerate(SIDES[side]))
    faces = random_faces(size, 0.0 if side == "closed" else 0.05) if with_faces else None
    options = {"method": method, "tolerance": 1e-30, "most": 3, "resolution": resolution, **options}
    answers = []
    for sparse in (False, True):
        made = solving(random(size), sides, faces, sparse=sparse, outside=0, **options)
        answers.append(made.answer())
    return answers


@pytest.mark.parametrize(
    ("size", "side", "with_faces", "method"),
    [*SAME, *(pytest.param(*case, marks=pytest.mark.long) for case in MORE if case not in SAME)],
)
def test_the_bits_of_the_dense_solver(solving, size, side, with_faces, method):
    dense, sparse = both(solving, size, side, with_faces, method)
    assert dense[1] == sparse[1]
    assert dense[0] == sparse[0]


@pytest.mark.parametrize(
    "resolution",
    [Fraction(3), *(pytest.param(Fraction(r), marks=pytest.mark.long) for r in ("1/4", "1/2", "2", "4"))],
)
def test_the_bits_of_the_dense_solver_in_other_voxels(solving, resolution):
    size = (13, 9, 10) if resolution < 1 else tuple(int(n * resolution) for n in (12, 9, 8))
    dense, sparse = both(solving, size, "open", False, "multigrid", resolution, most=2)
    assert dense == sparse


# ----- some leaves sleep


def exact(made, sides, outside=OPEN_FACES):
    """The answer in 64-bit floats by plain conjugate gradients, where leaves that are not active are 0."""
    shape, active = made.size, made.active()
    packed = np.where(active, made.values.get("w", np.full(shape, OPEN_FACES, np.uint32)), np.uint32(outside))
    known = active & (packed >> 24 == 0)
    low, high = [], []
    for axis in range(3):
        first, last = (tuple(end if a == axis else slice(None) for a in range(3)) for end in (0, -1))
        open_ = (packed >> 8 * axis & 255) / 255
        if sides[2 * axis] != "periodic":
            open_[first] = 0
            for end, side in zip((first, last), sides[2 * axis : 2 * axis + 2], strict=True):
                known[end] &= side != "open"
        low.append(open_)
        high.append(np.roll(open_, -1, axis))
    known &= sum(low) + sum(high) != 0

    def applied(v):
        flow = np.zeros(shape)
        for axis in range(3):
            flow += low[axis] * (v - np.roll(v, 1, axis)) + high[axis] * (v - np.roll(v, -1, axis))
        return np.where(known, flow, 0.0)

    answer = np.zeros(shape)
    residual = np.where(known, -made.values["b"].astype(np.float64), 0.0)
    direction, left = residual, (residual**2).sum()
    enough = 1e-20 * left
    while left > enough:
        product = applied(direction)
        step = left / (direction * product).sum()
        answer = answer + step * direction
        residual = residual - step * product
        left, last = (residual**2).sum(), left
        direction = residual + left / last * direction
    return answer


def some_leaves(box, part, seed=2):
    return np.flatnonzero(np.random.default_rng(seed).random(box.count) < part)


@pytest.mark.parametrize(
    ("size", "side", "with_faces", "method"),
    [
        (SIZE, "mixed", True, "multigrid"),
        (SIZE, "mixed", False, "conjugate"),
        pytest.param((40, 24, 32), "closed", False, "multigrid", marks=pytest.mark.long),
        pytest.param((33, 40, 27), "periodic", True, "conjugate", marks=pytest.mark.long),
        pytest.param((16, 9, 33), "open", False, "sweeps", marks=pytest.mark.long),
        pytest.param((20, 31, 1), "closed", True, "multigrid", marks=pytest.mark.long),
    ],
)
def test_against_an_exact_solve(solving, size, side, with_faces, method):
    faces = random_faces(size) if with_faces else None
    most = 3000 if method == "sweeps" else 60
    made = solving(random(size), SIDES[side], faces, sparse=True, method=method, tolerance=2e-6, most=most)
    made.hold(some_leaves(made.box, 0.5))
    assert made.solve().residual <= 2e-6
    expected = exact(made, SIDES[side])
    assert np.abs(made.x() - expected).max() <= 1e-3 * np.abs(expected).max()


def test_no_leaf_at_all(solving):
    made = solving(random((16, 16, 16)), WALLS, sparse=True)
    made.hold([])
    assert made.solve() == Solved(0.0, 0)
    assert (made.x() == 0).all()


def test_a_sealed_part_of_a_sparse_domain_has_an_answer_without_mean(solving):
    """Leaves behind closed faces meet no open air, whatever sleeps on the other side."""
    faces = np.full((16, 16, 16), OPEN_FACES, np.uint32)
    faces[8] &= 0xFFFF00
    b = random(faces.shape) + 5
    made = solving(b, WALLS, faces, sparse=True, outside=0, tolerance=1e-5)
    made.hold(np.arange(4))
    assert made.solve().residual <= 1e-5
    assert abs(made.x()[:8].mean()) <= 1e-5


def shape_of_leaves(box, shape):
    """The linear indices of a ball of leaves, of a plume's column, of two balls, or of leaves here and there."""
    n = box.shape[0]
    x, y, z = box.coords(np.arange(box.count)).T + 0.5
    if shape == "ball":
        inside = (x - n / 2) ** 2 + (y - n / 2) ** 2 + (z - n / 2) ** 2 < (0.32 * n) ** 2
    elif shape == "column":
        inside = ((x - n / 2) ** 2 + (y - n / 2) ** 2 < (0.1 * n + 0.12 * z) ** 2) & (z < 0.8 * n)
    elif shape == "two balls":
        one = (x - 0.3 * n) ** 2 + (y - 0.3 * n) ** 2 + (z - 0.3 * n) ** 2 < (0.22 * n) ** 2
        inside = one | ((x - 0.72 * n) ** 2 + (y - 0.7 * n) ** 2 + (z - 0.72 * n) ** 2 < (0.2 * n) ** 2)
    else:
        return some_leaves(box, 0.4)
    return np.flatnonzero(inside)


@pytest.mark.parametrize(
    ("n", "with_faces", "most"),
    [(64, False, 0.2), *(pytest.param(*case, marks=pytest.mark.long) for case in ((64, True, 0.3), (128, False, 0.2)))],
)
def test_what_a_cycle_leaves_of_the_residual_on_any_leaves(solving, n, with_faces, most):
    """From one cycle to five. The right side is smooth as well, so that the coarse grids have their part to do."""
    faces = np.full((n,) * 3, OPEN_FACES, np.uint32) if with_faces else None
    b = 1 + random((n,) * 3)
    few, more = (solving(b, WALLS, faces, sparse=True, tolerance=1e-30, most=cycles) for cycles in (1, 5))
    for shape in ("ball", "column", "two balls", "here and there"):
        residuals = []
        for made in (few, more):
            made.hold(shape_of_leaves(made.box, shape))
            residuals.append(made.solve().residual)
        assert (residuals[1] / residuals[0]) ** (1 / 4) <= most, shape


@pytest.mark.parametrize(("with_faces", "method"), [(True, "multigrid"), (False, "conjugate")])
def test_other_leaves_need_no_new_recordings(machine, solving, monkeypatch, with_faces, method):
    """And leave nothing behind: the bits are those of a solver that had these leaves alone."""
    faces = random_faces(SIZE) if with_faces else None
    options = {"sparse": True, "tolerance": 1e-30, "most": 3, "method": method}
    made = solving(random(SIZE), MIXED, faces, **options)
    chosen = [some_leaves(made.box, part, seed) for seed, part in enumerate((0.7, 0.3, 0.5))]
    alone = [solving(random(SIZE), MIXED, faces, leaves=leaves, **options).answer() for leaves in chosen]
    made.answer()
    encoded = []
    encode = machine.execution.encode
    monkeypatch.setattr(machine.execution, "encode", lambda what: encoded.append(what.name) or encode(what))
    for leaves, expected in zip(chosen, alone, strict=True):
        made.hold(leaves)
        assert made.answer() == expected
    assert [name for name in encoded if not name.startswith(("upload", "readback"))] == []


def test_a_pool_that_grows(solving):
    """Buffers follow the capacity; the answer is that of a solver that had room from the first."""
    size = (64, 64, 64)
    options = {"sparse": True, "tolerance": 1e-30, "most": 2}
    made = solving(random(size), WALLS, leaves=np.arange(5), **options)
    made.answer()
    small = made.poisson.allocated()
    assert made.topology.capacity < made.box.count
    made.hold(np.arange(made.box.count))
    assert made.answer() == solving(random(size), WALLS, **options).answer()
    assert made.poisson.allocated() > small
    assert made.poisson.allocated() >= sum(row[1] for row in made.poisson.rows())


def test_a_large_box_takes_memory_for_its_leaves(machine):
    """1024³ voxels of which hardly any are active."""
    domain = Domain.box((1024, 1024, 1024), None, None, parse_boundary(None))
    fields = {name: Field(name, Format.R32F, (0,)) for name in ("x", "b")}
    solver = checked_solver(SolverDefinition("solve", "x", "b"), fields, domain)
    topology = Topology(machine.device, machine.execution, LeafBox(domain.size, domain.boundary))
    poisson = Poisson(machine.device, machine.execution, machine.maker, solver, domain.size, topology)
    assert sum(size for _, size, _ in poisson.rows()) < 8 * 1024**2
    topology.close()
