# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages that Blender installs: what is in them, that Blender accepts them, and that their wheels are pinned.

Nothing is downloaded here: where wheels are needed, files of that name stand in for them, with hashes of their own.
`scripts/try_extension.sh` takes a whole package through a real Blender.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts/build_extension.py"

_spec = spec_from_file_location("build_extension", SCRIPT)
assert _spec and _spec.loader
build = sys.modules["build_extension"] = module_from_spec(_spec)
_spec.loader.exec_module(build)

PLATFORMS = build.read_pins()


def with_stand_ins(platform, folder: Path):
    """The platform with small files in the place of its wheels, which lie in `folder`."""
    folder.mkdir(exist_ok=True)
    wheels = []
    for wheel in platform.wheels:
        content = f"in the place of {wheel.file}".encode()
        (folder / wheel.file).write_bytes(content)
        wheels.append(build.Wheel(wheel.file, hashlib.sha256(content).hexdigest()))
    return dataclasses.replace(platform, wheels=tuple(wheels))


@pytest.fixture(params=PLATFORMS)
def platform(request, tmp_path):
    return with_stand_ins(PLATFORMS[request.param], tmp_path / "wheels")


@pytest.fixture
def package(platform, tmp_path) -> Path:
    return build.write_package(platform, tmp_path / "wheels", tmp_path / "dist")


# ===== Pins


def wanted_versions() -> dict[str, str]:
    """What pyproject.toml pins, by package; numpy is Blender's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [re.split(r"[=<>]=?", wanted, maxsplit=1) for wanted in project["dependencies"]]
    return {name: version for name, version in named if name != "numpy"}


def test_the_platforms_are_those_that_are_promised() -> None:
    pythons = {name: platform.pythons for name, platform in PLATFORMS.items()}
    blenders = ("3.11", "3.13")
    assert pythons == {"linux-x64": (*blenders, "3.14"), "windows-x64": blenders, "macos-arm64": blenders}


@pytest.mark.parametrize("name", PLATFORMS)
def test_each_python_finds_one_wheel_of_each_package(name: str) -> None:
    needed = sorted({*wanted_versions(), "cffi"})
    for python in PLATFORMS[name].pythons:
        assert [wheel.package for wheel in PLATFORMS[name].wheels if wheel.fits(python)] == needed, python
    unused = [w.file for w in PLATFORMS[name].wheels if not any(w.fits(p) for p in PLATFORMS[name].pythons)]
    assert unused == []


@pytest.mark.parametrize("name", PLATFORMS)
def test_wheels_have_the_versions_of_pyproject_or_a_stated_exception(name: str) -> None:
    platform, versions = PLATFORMS[name], wanted_versions()
    for wheel in platform.wheels:
        assert re.fullmatch("[0-9a-f]{64}", wheel.sha256), wheel.file
        if wheel.package in platform.exceptions:
            assert wheel.version == platform.exceptions[wheel.package][0] != versions[wheel.package]
        elif wheel.package in versions:
            assert wheel.version == versions[wheel.package]
    assert set(platform.exceptions) <= {wheel.package for wheel in platform.wheels}
    assert len({wheel.version for wheel in platform.wheels if wheel.package == "cffi"}) == 1


def test_no_two_files_share_a_hash() -> None:
    pinned = {(wheel.file, wheel.sha256) for platform in PLATFORMS.values() for wheel in platform.wheels}
    assert len({file for file, _ in pinned}) == len({digest for _, digest in pinned}) == len(pinned)


@pytest.mark.parametrize(
    ("file", "fitting"),
    [
        ("lupa-2.8-cp313-cp313-win_amd64.whl", ["3.13"]),
        ("vulkan-1.3.275.1-py3-none-any.whl", ["3.11", "3.13", "3.14"]),
        ("hephaistos-0.7.0-cp312-abi3-macosx_11_0_arm64.whl", ["3.13", "3.14"]),
    ],
)
def test_a_wheel_fits_the_pythons_of_its_name(file: str, fitting: list[str]) -> None:
    assert [python for python in ("3.11", "3.13", "3.14") if build.Wheel(file, "").fits(python)] == fitting


# ===== Wheels on disk


def test_wheels_that_are_there_need_no_network(platform, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(build.sys, "executable", str(tmp_path / "no python to run pip with"))
    build.fetch_wheels(platform, tmp_path / "wheels")


def test_a_wheel_with_another_hash_gets_into_no_package(platform, tmp_path) -> None:
    wheel = platform.wheels[0]
    (tmp_path / "wheels" / wheel.file).write_bytes(b"tampered with")
    with pytest.raises(build.BuildError, match=re.escape(wheel.file)):
        build.write_package(platform, tmp_path / "wheels", tmp_path / "dist")
    assert not list(tmp_path.rglob("*.zip"))


def test_pip_takes_no_wheel_with_another_hash(tmp_path, monkeypatch) -> None:
    """The folder that pip looks into holds a wheel of the right name with the wrong content."""
    offered = with_stand_ins(PLATFORMS["linux-x64"], tmp_path / "offered")
    (lupa,) = [wheel for wheel in offered.wheels if wheel.package == "lupa" and wheel.fits("3.11")]
    pinned = build.Wheel(lupa.file, "0" * 64)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "offered"))
    wanted = build.Platform("linux-x64", ("3.11",), (pinned,), {})
    with pytest.raises(build.BuildError, match=re.escape(lupa.file)):
        build.fetch_wheels(wanted, tmp_path / "wheels")
    assert list((tmp_path / "wheels").iterdir()) == []


# ===== The zip


def test_a_package_holds_what_runs_and_nothing_else(package, platform) -> None:
    with zipfile.ZipFile(package) as opened:
        names = opened.namelist()
    assert len(names) == len(set(names))
    assert {name.partition("/")[0] for name in names} == {
        "LICENSE", "README.md", "__init__.py", "blender_manifest.toml",
        "fluid_addon", "lua_presets", "shaders", "wheels",
    }  # fmt: skip
    assert {name for name in names if name.startswith("wheels/")} == {f"wheels/{w.file}" for w in platform.wheels}
    assert "fluid_addon/script/lua/sandbox.lua" in names
    assert "shaders/include/address.glsl" in names
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|(^|/)\.|(^|/)tests?/|bench", name)]


def test_everything_that_git_keeps_of_these_folders_is_packed() -> None:
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", *build.FILES, *build.FOLDERS]
    told = subprocess.run(listing, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        pytest.skip("this is no checkout of git")
    kept = {name for name in told.stdout.split("\0") if name and (ROOT / name).is_file()}
    assert kept <= {path.as_posix() for path in build.packed_files()}


def test_a_stray_file_stops_the_build_and_caches_do_not(tmp_path) -> None:
    for folder in build.FOLDERS:
        (tmp_path / folder / "__pycache__").mkdir(parents=True)
        (tmp_path / folder / "__pycache__" / "a.pyc").touch()
        (tmp_path / folder / ".hidden").touch()
    (tmp_path / "shaders/noise.glsl").touch()
    assert [path.as_posix() for path in build.packed_files(tmp_path)] == sorted([*build.FILES, "shaders/noise.glsl"])
    (tmp_path / "shaders/noise.glsl.orig").touch()
    with pytest.raises(build.BuildError, match=r"shaders/noise\.glsl\.orig"):
        build.packed_files(tmp_path)


def test_the_manifest_names_the_platform_and_its_wheels(package, platform) -> None:
    with zipfile.ZipFile(package) as opened:
        text = opened.read("blender_manifest.toml").decode()
    filled, plain = tomllib.loads(text), tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    assert filled.pop("platforms") == [platform.name]
    assert filled.pop("wheels") == [f"./wheels/{wheel.file}" for wheel in platform.wheels]
    assert filled == plain
    for name, (version, why) in platform.exceptions.items():
        assert f"# {platform.name} has {name} {version}: {why}." in text


def test_the_same_sources_make_the_same_package(package, platform, tmp_path) -> None:
    for path in (tmp_path / "wheels").iterdir():
        os.utime(path, (0, 0))
        path.chmod(0o600)
    again = build.write_package(platform, tmp_path / "wheels", tmp_path / "again")
    assert again.read_bytes() == package.read_bytes()
    with zipfile.ZipFile(again) as opened:
        assert {entry.date_time for entry in opened.infolist()} == {build.EPOCH}
        names = opened.namelist()
    assert names[0] == "blender_manifest.toml"
    sources = [name for name in names[1:] if not name.startswith("wheels/")]
    assert sources == sorted(sources)


def blenders_tool() -> Path:
    tool = build.blenders_tool()
    if tool is None:
        assert os.environ.get("CI", "").lower() not in ("true", "1"), "CI has Blender's module"
        pytest.skip('Blender is not installed as a module: pip install "bpy"')
    return tool


def test_blenders_own_tool_accepts_the_package(package) -> None:
    build.validate(package, blenders_tool())


def test_a_package_that_blender_refuses_is_said(package, tmp_path) -> None:
    tool = blenders_tool()
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(package) as opened, zipfile.ZipFile(broken, "w") as written:
        text = opened.read("blender_manifest.toml").decode()
        written.writestr("blender_manifest.toml", text.replace('version = "', 'version = "no '))
    with pytest.raises(build.BuildError, match=r"Blender refuses broken\.zip"):
        build.validate(broken, tool)


def test_an_unpacked_package_checks_its_own_preset(package, tmp_path) -> None:
    """Outside the checkout: its Lua files, shaders and presets were all found in the zip."""
    with zipfile.ZipFile(package) as opened:
        opened.extractall(tmp_path / "unpacked")
    order = [sys.executable, "-P", "-m", "fluid_addon", "check", "lua_presets/smoke_plume/script.lua"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "unpacked")}
    told = subprocess.run(
        order, capture_output=True, text=True, check=False, cwd=tmp_path / "unpacked", env=environment
    )
    assert told.returncode == 0, told.stdout + told.stderr
