# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the meshes of a scene's objects come from: files beside a script, named files, and captures of Blender."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.mesh_capture import INDEX, MeshCaptureWriter
from fluid_addon.volumes.scene_meshes import SceneMeshes
from tests.volumes.meshes import box, write_obj


def cube(size: float):
    return box((0, 0, 0), (size, size, size))


def extent(source, frame: int) -> float:
    return float(source.mesh(frame).points.max())


def test_files_beside_the_script_by_the_name_of_the_object(tmp_path):
    write_obj(tmp_path / "Ball.obj", cube(1))
    for frame in (2, 3, 7):
        write_obj(tmp_path / f"Wave_{frame:04d}.obj", cube(frame))
    write_obj(tmp_path / "other.obj", cube(9))
    meshes = SceneMeshes(tmp_path, {"Ball2": str(tmp_path / "other.obj")})
    assert extent(meshes.source("Ball"), 5) == 1 and extent(meshes.source("Ball2"), 1) == 9
    wave = meshes.source("Wave")
    assert [extent(wave, frame) for frame in (0, 2, 3, 4, 6, 7, 99)] == [2, 2, 3, 3, 3, 7, 7]
    assert wave.key(4) == wave.key(6) != wave.key(7)


def test_a_name_that_nobody_has(tmp_path):
    with pytest.raises(FluidError, match='There is no object "Ball"') as caught:
        SceneMeshes(tmp_path).check("Ball")
    assert 'Ball.obj" beside the script' in caught.value.diagnostics[0].hint
    write_obj(tmp_path / "Ball.obj", cube(1))
    with pytest.raises(FluidError) as caught:
        SceneMeshes(tmp_path).check("Bal")
    assert caught.value.diagnostics[0].hint == 'Did you mean "Ball"?'
    with pytest.raises(FluidError, match="no object"):
        SceneMeshes(tmp_path / "inner").check("../Ball")
    with pytest.raises(FluidError, match=r'There is no mesh file ".*gone\.obj"'):
        SceneMeshes(tmp_path, {"Ball": str(tmp_path / "gone.obj")}).source("Ball")
    with pytest.raises(FluidError, match="There is no mesh file"):
        SceneMeshes(tmp_path, {"Ball": str(tmp_path / "gone_##.obj")}).source("Ball")


def test_in_blender_only_the_scene_counts(tmp_path):
    write_obj(tmp_path / "Ball.obj", cube(1))
    meshes = SceneMeshes(tmp_path, scene={"Cube": "", "Lamp": "a light"})
    meshes.check("Cube")
    assert meshes.source("Cube") is None, "before it is captured"
    with pytest.raises(FluidError, match='The object "Lamp" is a light, which has no faces'):
        meshes.check("Lamp")
    with pytest.raises(FluidError, match='The scene has no object "Ball"'):
        meshes.check("Ball")


def test_a_capture_holds_what_does_not_change_once(tmp_path):
    writer = MeshCaptureWriter(tmp_path / "capture")
    mesh = cube(1)
    for frame in range(5):
        writer.add("Still", frame, mesh.points.astype(np.float32), mesh.triangles)
        writer.add("Moving", frame, (mesh.points + frame).astype(np.float32), mesh.triangles)
    writer.finish()
    assert len(list((tmp_path / "capture").glob("*.npy"))) == 1 + 5
    meshes = SceneMeshes(tmp_path, scene={"Still": "", "Moving": "", "New": ""}, capture=str(tmp_path / "capture"))
    still, moving = meshes.source("Still"), meshes.source("Moving")
    assert still.key(0) == still.key(4) == still.key(50)
    assert [extent(moving, frame) for frame in (-3, 0, 3, 4, 9)] == [1, 1, 4, 5, 5]
    assert moving.mesh(2).same_topology(moving.mesh(3))
    with pytest.raises(FluidError, match='"New" was not captured'):
        meshes.source("New")


def test_a_capture_that_was_tampered_with(tmp_path):
    writer = MeshCaptureWriter(tmp_path / "capture")
    writer.add("Ball", 0, cube(1).points.astype(np.float32), cube(1).triangles)
    with pytest.raises(FluidError, match="holds no captured meshes"):
        SceneMeshes(tmp_path, scene={"Ball": ""}, capture=str(writer.folder))
    writer.finish()
    for path in writer.folder.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-8])
    source = SceneMeshes(tmp_path, scene={"Ball": ""}, capture=str(writer.folder)).source("Ball")
    with pytest.raises(FluidError, match='The captured mesh of "Ball" cannot be read'):
        source.mesh(0)
    (writer.folder / INDEX).write_text("{}")
    with pytest.raises(FluidError, match="holds no captured meshes"):
        SceneMeshes(tmp_path, scene={"Ball": ""}, capture=str(writer.folder))


def test_a_mesh_that_no_run_could_use_is_refused_by_name(tmp_path):
    writer = MeshCaptureWriter(tmp_path / "capture")
    points = cube(1).points.astype(np.float32)
    points[3, 1] = np.inf
    with pytest.raises(FluidError, match='Vertex 4 of the object "Ball" in frame 7 is not at a finite place'):
        writer.add("Ball", 7, points, cube(1).triangles)
    writer.discard()
    assert not writer.folder.exists()


def captured_ball(folder: Path) -> MeshCaptureWriter:
    writer = MeshCaptureWriter(folder / "capture")
    writer.add("Ball", 0, cube(1).points.astype(np.float32), cube(1).triangles)
    writer.finish()
    return writer


@pytest.mark.parametrize(
    "head",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 3), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (8, 3), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (8, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (24,), }",
        "{'descr': __import__('os'), 'fortran_order': False, 'shape': (8, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 3), " + "(" * 100,
    ],
)
def test_an_array_is_what_its_file_has_not_what_it_claims(tmp_path, head):
    writer = captured_ball(tmp_path)
    for path in writer.folder.glob("*.npy"):
        data = path.read_bytes()
        text = head.encode().ljust(117) + b"\n"
        path.write_bytes(data[:8] + len(text).to_bytes(2, "little") + text + data[128:])
    source = SceneMeshes(tmp_path, scene={"Ball": ""}, capture=str(writer.folder)).source("Ball")
    tracemalloc.start()
    try:
        with pytest.raises(FluidError, match='The captured mesh of "Ball" cannot be read') as caught:
            source.mesh(0)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.code == "mesh-broken"


def test_a_capture_names_no_file_outside_its_folder(tmp_path):
    writer = captured_ball(tmp_path)
    np.save(tmp_path / "outside.npy", np.zeros((4, 3), np.float32))
    for name in ("../outside", str(tmp_path / "outside"), "", "nul\0", "x" * 32, "é" * 32):
        index = {"format": 1, "objects": {"Ball": [[0, name, name]]}}
        (writer.folder / INDEX).write_text(json.dumps(index))
        with pytest.raises(FluidError, match="holds no captured meshes"):
            SceneMeshes(tmp_path, scene={"Ball": ""}, capture=str(writer.folder))


def test_a_capture_that_lacks_a_frame_is_refused(tmp_path):
    writer = captured_ball(tmp_path)
    ((_, points, triangles),) = json.loads((writer.folder / INDEX).read_bytes())["objects"]["Ball"]
    index = {"format": 1, "objects": {"Ball": [[1, points, triangles], [12, points, triangles]]}}
    (writer.folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(FluidError, match=r"holds no captured meshes \(a frame is missing\)") as caught:
        SceneMeshes(tmp_path, scene={"Ball": ""}, capture=str(writer.folder)).source("Ball").mesh(9)
    assert caught.value.code == "mesh-broken"


def test_an_array_that_is_a_zip_is_no_mesh(tmp_path):
    writer = captured_ball(tmp_path)
    for path in writer.folder.glob("*.npy"):
        with path.open("wb") as file:
            np.savez(file, points=np.zeros((4, 3), np.float32))
    source = SceneMeshes(tmp_path, scene={"Ball": ""}, capture=str(writer.folder)).source("Ball")
    with pytest.raises(FluidError, match="cannot be read"):
        source.mesh(0)
