# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of the scene as fields of an engine: where they are, how fast, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluid_addon.engine import EngineEnvironment, FluidEngine
from fluid_addon.volumes.grid import Grid
from fluid_addon.volumes.mesh import Mesh
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from fluid_addon.volumes.scene_meshes import SceneMeshes
from tests.volumes.meshes import box, sphere, write_obj

VOXEL = 0.1
BALL = sphere((0.0, 0.0, 0.0), 0.5, 12)


class Frames:
    """A source that hands out given meshes, the first in frame 0, and counts how often it was asked."""

    def __init__(self, *meshes: Mesh) -> None:
        self.meshes, self.asked = meshes, 0

    def key(self, frame: int) -> Hashable:
        return id(self.meshes[min(max(frame, 0), len(self.meshes) - 1)])

    def mesh(self, frame: int) -> Mesh:
        self.asked += 1
        return self.meshes[min(max(frame, 0), len(self.meshes) - 1)]


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def engine_with(make_engine: Callable[..., FluidEngine], notes: list[str]) -> Callable[..., FluidEngine]:
    """An engine on 2.4 × 1.6 × 1.6 units around zero, whose object "Ball" is what a source shows."""

    def make(source: Any, **options: Any) -> FluidEngine:
        environment = EngineEnvironment(objects=lambda _name: source, note=notes.append)
        placed = {"voxel_size": VOXEL, "origin": (-1.2, -0.8, -0.8)} | options
        engine = make_engine((24, 16, 16), environment=environment, **placed)
        engine.add_object("ball", "Ball")
        return engine

    return make


def moved(mesh: Mesh, *by: float) -> Mesh:
    return Mesh(mesh.points + np.array(by), mesh.triangles)


def places() -> np.ndarray:
    axes = [np.arange(n) * VOXEL + low for n, low in ((24, -1.15), (16, -0.75), (16, -0.75))]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def test_a_ball_that_moves_from_file_to_file(engine_with, tmp_path, notes):
    for frame in range(6):
        write_obj(tmp_path / f"Ball_{frame:04d}.obj", moved(BALL, 0.06 * frame - 0.2, 0.0, 0.02 * frame))
    engine = engine_with(SceneMeshes(tmp_path).source("Ball"))
    for frame in range(1, 5):
        engine.step(1 / 25)
        away = np.linalg.norm(places() - (0.06 * frame - 0.2, 0.0, 0.02 * frame), axis=-1) - 0.5
        found = engine.array("ball_distance")
        near = abs(away) < 2 * VOXEL
        assert found[near] == pytest.approx(away[near], abs=0.015)
        assert (np.sign(found) == np.sign(away))[abs(away) > 0.015].all()
        velocity = engine.array("ball_velocity")[near & (away < VOXEL)]
        assert velocity == pytest.approx(np.tile((0.06 * 25, 0.0, 0.02 * 25), (len(velocity), 1)), abs=1e-4)
    assert notes == []


def test_an_object_that_stands_still_is_worked_out_once(engine_with):
    source = Frames(BALL)
    engine = engine_with(source)
    engine.run(frames=3, substeps=2)
    assert source.asked == 1
    assert not engine.array("ball_velocity").any() and engine.array("ball_distance")[12, 8, 8] < 0


def test_an_object_that_stops_has_no_velocity_any_more(engine_with):
    engine = engine_with(Frames(BALL, moved(BALL, 0.1, 0.0, 0.0)))
    engine.step(0.1)
    assert engine.array("ball_velocity")[12, 8, 8] == pytest.approx((1.0, 0.0, 0.0))
    engine.step(0.1)
    assert not engine.array("ball_velocity").any()


def test_within_a_frame_an_object_goes_on_its_way(engine_with, define):
    engine = engine_with(Frames(moved(BALL, -0.6, 0.0, 0.0), moved(BALL, 0.6, 0.0, 0.0)))
    engine.add_field("met", 100)
    code = 'if (ReadField("ball_distance", idx) < 0.0) WriteField("met", idx, ReadField("met", idx) + 1.0);'
    engine.add_stencil(define("meet", code, "ball_distance met", "met"))
    engine.run(frames=1, fps=10, substeps=4)
    middle = engine.array("met")[:, 8, 8]
    assert middle[[8, 12, 15, 17, 21]].tolist() == [2, 3, 3, 2, 1], "at a quarter, a half, three quarters, and the end"
    assert engine.array("ball_velocity")[17, 8, 8] == pytest.approx((12.0, 0.0, 0.0), rel=1e-4)


def test_what_cannot_be_is_told_once_with_the_objects_name(engine_with, notes):
    square = Mesh(box((-0.4, -0.4, 0), (0.4, 0.4, 1)).points[[0, 2, 6, 4]], np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    nothing = Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))
    engine = engine_with(Frames(BALL, square, nothing, moved(square, 9, 0, 0), nothing))
    for _ in range(4):
        engine.step(0.1)
    assert notes == [
        'The object "Ball" changes its topology over the frames: it has no velocity then.',
        'The object "Ball" is not closed: it counts as a thin sheet, without an inside.',
        'The object "Ball" has no faces in frame 2.',
        'The object "Ball" lies outside the domain in frame 3.',
    ]
    assert not engine.array("ball_velocity").any()
    assert engine.array("ball_distance") == pytest.approx(4 * VOXEL)


def test_a_domain_that_a_file_has_turned(engine_with, tmp_path: Path):
    angle = 0.4
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned[:3, :3] *= VOXEL
    turned[:3, 3] = (5.0, -3.0, 1.0)
    start = Grid.from_dense("density", np.ones((8, 8, 8), np.float32), (4, 0, -8), turned)
    write_nvdb(tmp_path / "start.nvdb", [start])
    centre = turned[:3, :3] @ (8.0, 4.0, -4.0) + turned[:3, 3]
    ahead = turned[:3, 0]  # along the domain's own x axis
    source = Frames(moved(BALL, *(centre - ahead)), moved(BALL, *centre))
    engine = engine_with(source, voxel_size=None, origin=None, grid_file=str(tmp_path / "start.nvdb"))
    engine.step(0.1)
    middle = np.array((8, 4, -4)) - engine.domain.low
    steps = np.stack(np.meshgrid(*map(np.arange, engine.domain.size), indexing="ij"), axis=-1) - middle
    away = VOXEL * np.linalg.norm(steps, axis=-1) - 0.5
    near = abs(away) < 2 * VOXEL
    assert engine.array("ball_distance")[near] == pytest.approx(away[near], abs=0.015)
    assert engine.array("ball_velocity")[tuple(middle)] == pytest.approx((1.0, 0.0, 0.0), abs=1e-4)
