# SPDX-License-Identifier: GPL-3.0-or-later
"""Print an apt source for this Debian's backports, made from the source that already serves Debian itself.

    python3 scripts/backports_source.py bookworm

The mirror, the key and every other option are the machine's own; only the suite and the component change. The first
line printed is the kind of file it belongs into, `sources` (deb822) or `list` (one line). Exit status: 0 printed,
3 backports are there already, 4 apt knows no source of this Debian.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PRESENT, NO_SOURCE = 3, 4


def entries(release: str) -> list[tuple[Path, int]]:
    """Where apt found the component main of `release`: (file, number) of each source, as apt itself read them.

    The number is a line of a `.list` file and a stanza of a `.sources` file, both from 1.
    """
    order = ["apt-get", "indextargets", "--format", "$(SOURCESENTRY)|$(ORIGIN)"]
    conditions = ["Created-By: Packages", f"Codename: {release}", "Component: main"]
    printed = subprocess.run([*order, *conditions], check=True, capture_output=True, text=True).stdout
    places = []
    for line in printed.splitlines():
        place, _, origin = line.partition("|")
        file, _, number = place.rpartition(":")
        # Other publishers name their suites after Debian's too; only Debian's own carries this origin.
        if origin.startswith("Debian"):
            places.append((Path(file), int(number)))
    return places


def backports_of_stanza(text: str, number: int, release: str) -> str:
    """The deb822 stanza `number` of a `.sources` file, for the backports of `release`."""
    stanzas = [s for s in re.split(r"\n(?:[ \t]*\n)+", text) if re.search(r"^[^#\s]", s, re.MULTILINE)]
    kept = []
    for line in stanzas[number - 1].splitlines():
        if line.startswith("#") or not line.strip():
            continue
        key = line.partition(":")[0].strip().lower()
        value = {"types": "deb", "suites": f"{release}-backports", "components": "main"}.get(key)
        kept.append(f"{line.partition(':')[0]}: {value}" if value and not line[0].isspace() else line)
    return "\n".join(kept) + "\n"


def backports_of_line(text: str, number: int, release: str) -> str:
    """Line `number` of a one-line-style `.list` file, for the backports of `release`."""
    found = re.match(r"deb\s+(\[[^\]]*\]\s+)?(\S+)\s", text.splitlines()[number - 1].strip())
    if not found:
        raise ValueError(f"line {number} is no deb source")
    return f"deb {found[1] or ''}{found[2]} {release}-backports main\n"


def main(release: str) -> int:
    if entries(f"{release}-backports"):
        return PRESENT
    for file, number in entries(release):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".sources":
            print("sources", backports_of_stanza(text, number, release), sep="\n", end="")
        else:
            print("list", backports_of_line(text, number, release), sep="\n", end="")
        return 0
    return NO_SOURCE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
