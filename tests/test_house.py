# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the repository as a whole: licence headers, sizes, one version, links that lead somewhere."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluid_addon import VERSION

ROOT = Path(__file__).parents[1]
LINES = 400
LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"

#: How a comment begins in each kind of source file.
COMMENT = {".py": "# ", ".lua": "-- ", ".glsl": "// ", ".comp": "// ", ".sh": "# ", ".toml": "# "}

#: Hosts and folders of the machine that something was built on have no business in the repository.
REGISTRY = re.compile(r"https?://[a-z0-9.-]*(pypi|pythonhost|npm|debian|ubuntu)", re.IGNORECASE)
HOMES = tuple(f"{folder}/" for folder in sorted({Path.home(), ROOT.parent}) if folder != Path("/"))


def files_of_the_repository() -> list[Path]:
    """What git keeps or would keep; in an unpacked archive, everything that no tool has put there."""
    listing = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")
        return sorted(path for name in names if name and (path := ROOT / name).is_file())
    except (OSError, subprocess.CalledProcessError):
        ignored = [line.strip("/\n") for line in (ROOT / ".gitignore").open(encoding="utf-8")] + [".git"]
        return sorted(
            path
            for path in ROOT.rglob("*")
            if path.is_file() and not any(Path(part).match(i) for part in path.relative_to(ROOT).parts for i in ignored)
        )


FILES = files_of_the_repository()


def text_of(path: Path) -> str | None:
    """The text of a file, or None where it holds bytes that are no text."""
    content = path.read_bytes()
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_repository_is_found() -> None:
    assert {"pyproject.toml", "fluid_addon/__init__.py", "tests/test_house.py"} <= {name_of(f) for f in FILES}


@pytest.mark.parametrize("path", [f for f in FILES if name_of(f).startswith("fluid_addon/")], ids=name_of)
def test_a_file_of_the_addon_has_one_reason_to_exist(path: Path) -> None:
    lines = len((text_of(path) or "").splitlines())
    assert lines <= LINES, f"{lines} lines: split it along what it does"


def carries_a_licence(path: Path) -> bool:
    """Source that we wrote; the scripts under tests/ are input, and their line numbers are part of what is tested."""
    name = name_of(path)
    if name in ("Makefile", ".ci/run"):
        return True
    if path.suffix == ".toml":
        return name == "blender_manifest.toml"
    return path.suffix in COMMENT and not (name.startswith("tests/") and path.suffix != ".py")


@pytest.mark.parametrize("path", [f for f in FILES if carries_a_licence(f)], ids=name_of)
def test_source_begins_with_its_licence(path: Path) -> None:
    first = (text_of(path) or "").splitlines()[:2]
    if first and first[0].startswith("#!"):
        first = first[1:]
    assert first[:1] == [COMMENT.get(path.suffix, "# ") + LICENCE]


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    assert {project["version"], manifest["version"]} == {VERSION}


def test_no_file_names_a_machine_or_a_registry() -> None:
    itself = Path(__file__).resolve()
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in FILES
        if path != itself
        for number, line in enumerate((text_of(path) or "").splitlines(), 1)
        if REGISTRY.search(line) or any(home in line for home in HOMES)
    ]
    assert found == []


# ===== Links


def without_code(markdown: str) -> str:
    markdown = re.sub(r"^( *)(```+|~~~+).*?^ *\2 *$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: "x" * len(code[0]), markdown)


def links_of(markdown: str) -> Iterator[str]:
    """The targets of links and images that stay inside the repository."""
    text = without_code(markdown)
    patterns = (
        r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)",
        r"^\[[^\]]+\]:\s*(\S+)",
        r"<(?:a|img)\s[^>]*(?:href|src)=\"([^\"]+)\"",
    )
    for pattern in patterns:
        for target in re.findall(pattern, text, re.MULTILINE):
            if not re.match(r"[a-z][a-z+.-]*:", target):
                yield target


def anchors_of(markdown: str) -> set[str]:
    """The names under which the headings of a page can be linked to, as GitHub makes them."""
    text = re.sub(r"^( *)(```+|~~~+).*?^ *\2 *$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    anchors: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = sum(a == words or re.fullmatch(re.escape(words) + r"-\d+", a) is not None for a in anchors)
        anchors.add(f"{words}-{count}" if count else words)
    return anchors


def broken_links(page: Path, root: Path = ROOT) -> list[str]:
    """The links of a page that lead to no file of the repository, or to no heading of that file."""
    broken = []
    for target in links_of(page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page.resolve()
        leads_somewhere = path.exists() and path.is_relative_to(root.resolve())
        if leads_somewhere and anchor and path.suffix == ".md":
            leads_somewhere = anchor in anchors_of(path.read_text(encoding="utf-8"))
        if not leads_somewhere:
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", [f for f in FILES if f.suffix == ".md"], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The first page\n\n## What `make demo` does, twice\n\n"
        "[up](#the-first-page) [code](#what-make-demo-does-twice)\n"
        "[gone](missing.md) ![picture](gone.png) [heading](#no-such-heading) [out](../outside.md)\n\n"
        "`[not a link](in-code.md)` [web](https://example.org/x)\n\n```\n[nor](this.md)\n# nor a heading\n```\n",
        encoding="utf-8",
    )
    assert broken_links(page, tmp_path) == ["missing.md", "gone.png", "#no-such-heading", "../outside.md"]


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
