#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the packages that Blender installs: one zip per platform, with the wheels that Blender lacks.

    python scripts/build_extension.py [PLATFORM...]        # all of scripts/wheels.toml without a name
    python scripts/build_extension.py --output dist --wheels dist/wheels linux-x64

The wheels are pinned by SHA-256 in scripts/wheels.toml. What is not in the folder of wheels yet is downloaded with pip;
with all of them there, no network is needed. The same sources make the same zips, byte by byte. Where Blender's module
is installed beside this Python, Blender's own tool validates each zip.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = Path(__file__).with_name("wheels.toml")
MANIFEST = "blender_manifest.toml"

#: What a package holds beside its manifest and its wheels. Any other kind of file in a folder stops the build, so that
#: neither something needed is left out nor something stray comes along.
FILES = ("LICENSE", "README.md", "__init__.py")
FOLDERS = {
    "fluid_addon": {".py", ".lua"},
    "lua_presets": {".lua", ".nvdb", ".obj", ".png", ".toml"},
    "shaders": {".comp", ".glsl"},
}

#: The time in every entry of a zip: the earliest that one can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


class BuildError(Exception):
    """The package cannot be built; the text says what to do."""


@dataclass(frozen=True)
class Wheel:
    """A pinned file of PyPI."""

    file: str
    sha256: str

    @property
    def package(self) -> str:
        return self.file.split("-")[0]

    @property
    def version(self) -> str:
        return self.file.split("-")[1]

    @property
    def platforms(self) -> list[str]:
        """The platform tags, as pip takes them."""
        return self.file.removesuffix(".whl").split("-")[-1].split(".")

    def fits(self, python: str) -> bool:
        """Whether CPython `python`, such as "3.13", takes it: built for it, pure, or for an older stable ABI."""
        tag, abi = self.file.split("-")[-3:-1]
        if abi == "none":
            return "py3" in tag.split(".")
        built_for = re.fullmatch(r"cp3(\d+)", tag)
        minor = int(python.removeprefix("3."))
        return bool(built_for) and (int(built_for[1]) == minor or (abi == "abi3" and int(built_for[1]) < minor))


@dataclass(frozen=True)
class Platform:
    """What is packed for a platform: the Pythons of its Blenders, the wheels, and notes on packages that are older."""

    name: str
    pythons: tuple[str, ...]
    wheels: tuple[Wheel, ...]
    exceptions: dict[str, tuple[str, str]]


def read_pins(path: Path = PINS) -> dict[str, Platform]:
    """The platforms of `wheels.toml` by name."""
    pins = tomllib.loads(path.read_text("utf-8"))
    platforms = {}
    for name, pythons in pins["pythons"].items():
        files = {**pins["wheels"].get("any", {}), **pins["wheels"][name]}
        wheels = tuple(Wheel(file, files[file]) for file in sorted(files))
        exceptions = {package: (version, why) for package, (version, why) in pins["exceptions"].get(name, {}).items()}
        platforms[name] = Platform(name, tuple(pythons), wheels, exceptions)
    return platforms


# ===== Wheels


def is_pinned(wheel: Wheel, folder: Path) -> bool:
    """Whether the folder holds exactly the file that is pinned."""
    path = folder / wheel.file
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256


def fetch_wheels(platform: Platform, folder: Path) -> None:
    """Download what the folder lacks; pip itself refuses a file with another hash.

    Raises:
        BuildError: a wheel cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for python in platform.pythons:
        missing = [wheel for wheel in platform.wheels if wheel.fits(python) and not is_pinned(wheel, folder)]
        if missing:
            for wheel in missing:
                (folder / wheel.file).unlink(missing_ok=True)  # pip would ask what to do with it
            _download(missing, python, folder)
    for wheel in platform.wheels:
        if not is_pinned(wheel, folder):
            raise BuildError(
                f"{wheel.file} is not the file that {PINS.name} pins, or no Python of {platform.name} takes it."
            )


def _download(wheels: list[Wheel], python: str, folder: Path) -> None:
    print(f"Downloading {len(wheels)} wheels for Python {python}", file=sys.stderr)
    tags = sorted({tag for wheel in wheels for tag in wheel.platforms if tag != "any"})
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch, "requirements.txt")
        wanted.write_text("".join(f"{w.package}=={w.version} --hash=sha256:{w.sha256}\n" for w in wheels), "utf-8")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        exactly = ["--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(wanted), "-d", str(folder)]
        target = ["--implementation", "cp", "--python-version", python]
        for tag in tags:
            target += ["--platform", tag]
        if subprocess.run([*pip, *exactly, *target], check=False).returncode != 0:
            names = ", ".join(wheel.file for wheel in wheels)
            raise BuildError(f"pip could not download {names}; its own words are above.")


# ===== The zip


def packed_files(root: Path = ROOT) -> list[Path]:
    """The sources of a package, relative to `root`, in the order in which they are packed.

    Raises:
        BuildError: a folder holds a file of a kind that is not expected there.
    """
    found = [Path(name) for name in FILES]
    for folder, kinds in FOLDERS.items():
        for path in _visible_files(root / folder):
            relative = path.relative_to(root)
            if path.suffix not in kinds:
                known = ", ".join(sorted(kinds))
                raise BuildError(f"{relative.as_posix()} has no place in a package: {folder} holds {known}.")
            found.append(relative)
    return sorted(found, key=Path.as_posix)


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from _visible_files(path)
        else:
            yield path


def manifest_of(platform: Platform, text: str) -> str:
    """The manifest with the platform and its wheels filled in, above its first table."""
    for package, (version, why) in platform.exceptions.items():
        text = text.replace("\n\n[", f"\n# {platform.name} has {package} {version}: {why}.\n\n[", 1)
    wheels = "".join(f'    "./wheels/{wheel.file}",\n' for wheel in platform.wheels)
    filled = f'platforms = ["{platform.name}"]\nwheels = [\n{wheels}]\n'
    head, table, tail = text.partition("\n[")
    return f"{head.rstrip()}\n{filled}{table}{tail}"


def write_package(platform: Platform, wheels: Path, output: Path, root: Path = ROOT) -> Path:
    """Write the zip of a platform into the folder `output`, from wheels that lie in the folder `wheels`.

    Raises:
        BuildError: a wheel is not the one that is pinned, or a stray file lies among the sources.
    """
    text = (root / MANIFEST).read_text("utf-8")
    about = tomllib.loads(text)
    entries: list[tuple[str, bytes]] = [(MANIFEST, manifest_of(platform, text).encode())]
    entries += [(path.as_posix(), (root / path).read_bytes()) for path in packed_files(root)]
    for wheel in platform.wheels:
        if not is_pinned(wheel, wheels):
            raise BuildError(f"{wheel.file} is missing in {wheels}, or is not the file that {PINS.name} pins.")
        entries.append((f"wheels/{wheel.file}", (wheels / wheel.file).read_bytes()))
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{about['id']}-{about['version']}-{platform.name}.zip"
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w") as package:
        for name, content in entries:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, on every machine
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_STORED if name.endswith((".whl", ".png")) else zipfile.ZIP_DEFLATED
            package.writestr(entry, content)
    return part.replace(target)


# ===== Blender's own judgement


def blenders_tool() -> Path | None:
    """Blender's tool for extensions, out of its Python module; None where that is not installed."""
    found = importlib.util.find_spec("bpy")
    if found is None or found.origin is None:
        return None
    return next(Path(found.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"), None)


def validate(package: Path, tool: Path) -> None:
    """Let Blender's tool judge a zip.

    Raises:
        BuildError: with what it said.
    """
    order = [sys.executable, str(tool), "validate", str(package)]
    told = subprocess.run(order, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        raise BuildError(f"Blender refuses {package.name}:\n{told.stdout}{told.stderr}")


def main(arguments: Iterable[str] | None = None) -> int:
    pins = read_pins()
    parser = argparse.ArgumentParser(description="Build the packages that Blender installs.")
    parser.add_argument("platform", nargs="*", help=f"any of {', '.join(pins)}; default all")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the zips")
    parser.add_argument("--wheels", type=Path, default=ROOT / "dist/wheels", help="folder where wheels are kept")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if unknown := [name for name in options.platform if name not in pins]:
        parser.error(f"no platform {unknown[0]}: choose from {', '.join(pins)}")
    tool = blenders_tool()
    try:
        for name in options.platform or pins:
            fetch_wheels(pins[name], options.wheels)
            package = write_package(pins[name], options.wheels, options.output)
            if tool:
                validate(package, tool)
            judged = "validated by Blender's tool" if tool else "not validated: Blender's module is not installed here"
            size = package.stat().st_size / 1e6
            print(f"{package}  {size:.1f} MB  {hashlib.sha256(package.read_bytes()).hexdigest()}  {judged}")
            for part, (version, why) in pins[name].exceptions.items():
                print(f"  note: with {part} {version}, {why}")
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
