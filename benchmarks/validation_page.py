# SPDX-License-Identifier: GPL-3.0-or-later
"""The table and the plots of docs/validation.md, from what a run of `make test-long` has found.

    python -m benchmarks.validation_page output/validation

Plots are drawn where matplotlib is installed (the extra `docs` of pyproject.toml).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/validation.md"
IMAGES = ROOT / "docs/images"
GHIA = ROOT / "tests/validation/ghia_1982.json"
BEGIN, END = "<!-- make test-long writes from here -->", "<!-- to here -->"
COLUMNS = ("case", "setup", "expected", "found", "accepted", "test")
TITLES = ("case", "set-up", "expected", "found", "accepted", "test")
#: The order of the cases in the table, by how their names begin.
ORDER = ("V4", "V5", "V6", "V7", "V10", "V11", "Symmetry", "Mass")


def rows(folder: Path) -> list[dict[str, str]]:
    """Every recorded row, by case."""
    found = [row for file in sorted(folder.glob("*.json")) for row in json.loads(file.read_text("utf-8"))]

    def place(row: dict[str, str]) -> int:
        return next(
            (i for i, start in enumerate(ORDER) if row["case"].split(",")[0].split(" ")[0] == start), len(ORDER)
        )

    return sorted(found, key=place)


def table(found: list[dict[str, str]]) -> str:
    lines = ["| " + " | ".join(TITLES) + " |", "|" + "---|" * len(TITLES)]
    for row in found:
        cells = [f"`{row[c]}`" if c == "test" else row[c] for c in COLUMNS]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def written(page: str, text: str) -> str:
    """The page with the part between the marks replaced."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


# ===== Plots. Each takes a figure and the arrays of the recorded tests, whose names say which they are.

Curves = dict[str, Any]


def cavity(figure: Any, curves: dict[str, Curves]) -> None:
    """Profiles through the middle, against the table."""
    ghia = json.loads(GHIA.read_text("utf-8"))
    left, right = figure.subplots(1, 2)
    cases = sorted((c for name, c in curves.items() if "lid_driven" in name), key=lambda c: int(c["reynolds"]))
    for color, case in zip(("tab:blue", "tab:red"), cases, strict=True):
        reynolds = str(int(case["reynolds"]))
        left.plot(case["u"], case["at"], color=color, label=f"Re {reynolds}")
        left.plot(ghia["u"][reynolds], ghia["z"], "o", color=color, markersize=4)
        right.plot(case["at"], case["v"], color=color, label=f"Re {reynolds}")
        right.plot(ghia["x"], ghia["v"][reynolds], "o", color=color, markersize=4)
    left.set(xlabel="u at x = 1/2", ylabel="z", title="Lid-driven cavity; dots: Ghia et al.")
    right.set(xlabel="x", ylabel="w at z = 1/2")
    left.legend()


def outline(axes: Any, phi: Any, voxel: float, color: str, label: str) -> None:
    at = (np.arange(len(phi)) + 0.5) * voxel
    axes.contour(at, at, phi.T, levels=[0.0], colors=[color], linewidths=1)
    axes.plot([], [], color=color, label=label)


def zalesak(figure: Any, curves: dict[str, Curves]) -> None:
    """The slotted disk after its turn."""
    (case,) = (c for name, c in curves.items() if "zalesak" in name)
    axes = figure.subplots(1, 1)
    angle = math.asin(2.5 / 15)
    around = np.linspace(-math.pi / 2 + angle, 3 * math.pi / 2 - angle, 200)
    x = np.concatenate([[52.5], 50 + 15 * np.cos(around), [47.5, 47.5, 52.5]])
    z = np.concatenate([[85], 75 + 15 * np.sin(around), [75 - 15 * math.cos(angle), 85, 85]])
    axes.plot(x, z, "k", linewidth=0.8, label="exact")
    shown = {"MacCormack, cubic lookup": "tab:blue", "MacCormack": "tab:orange", "semi-Lagrangian": "tab:red"}
    for name, color in shown.items():
        outline(axes, case[name], 1.0, color, name)
    axes.set(aspect="equal", xlim=(30, 70), ylim=(50, 95), title="Zalesak's disk, 100², one turn")
    axes.legend(fontsize=7, loc="lower right")


def vortex(figure: Any, curves: dict[str, Curves]) -> None:
    """The disk wound up, and unwound."""
    (case,) = (c for name, c in curves.items() if "single_vortex" in name)
    left, right = figure.subplots(1, 2)
    outline(left, case["half"], 1 / len(case["half"]), "tab:blue", "128²")
    left.set(aspect="equal", title="Single vortex, half time, 128²")
    turn = np.linspace(0, 2 * math.pi, 200)
    right.plot(0.5 + 0.15 * np.cos(turn), 0.75 + 0.15 * np.sin(turn), "k", linewidth=0.8, label="exact")
    for n, color in ((64, "tab:red"), (128, "tab:orange"), (256, "tab:blue")):
        outline(right, case[f"end_{n}"], 1 / n, color, f"{n}²")
    right.set(aspect="equal", xlim=(0.3, 0.7), ylim=(0.55, 0.95), title="the end, T = 8")
    right.legend(fontsize=7)


def growth(figure: Any, curves: dict[str, Curves]) -> None:
    """The shear layer's wave over time, and Taylor-Green's error over voxels."""
    left, right = figure.subplots(1, 2)
    for name, case in sorted(curves.items()):
        if "v10" in name:
            label = "advection and projection" if "without" in name else "advection-reflection"
            left.semilogy(case["time"], case["strength"] / case["strength"][0], label=label)
    time = np.array([0.0, 12.0])
    left.semilogy(time, np.exp(0.1897 * time), "k--", linewidth=0.8, label="0.1897 U₀/δ")
    left.set(xlabel="t U₀/δ", ylabel="strength of the wave", title="Kelvin–Helmholtz, α = 0.4446")
    left.legend(fontsize=7)
    for name, case in sorted(curves.items()):
        if "taylor_green" in name:
            label = "advection-reflection, dt ~ h" if "reflection" in name else "advection and projection, dt ~ h²"
            right.loglog(case["sizes"], case["errors"], "o-", label=label)
    sizes = np.array([32.0, 128.0])
    right.loglog(sizes, 1e-3 * (32 / sizes) ** 2, "k--", linewidth=0.8, label="order 2")
    right.set(xlabel="voxels along a side", ylabel="error of u", title="Taylor–Green, t = 1")
    right.legend(fontsize=7)


def heated(figure: Any, curves: dict[str, Curves]) -> None:
    """Isotherms of the heated cavities."""
    cases = [(name, c) for name, c in sorted(curves.items()) if "v11" in name]
    for axes, (name, case) in zip(np.atleast_1d(figure.subplots(1, len(cases))), cases, strict=True):
        heat = case["temperature"]
        at = (np.arange(len(heat)) + 0.5) / len(heat)
        axes.contour(at, at, heat.T, levels=np.linspace(-0.45, 0.45, 10), cmap="coolwarm")
        axes.set(aspect="equal", title="Heated cavity, Ra " + ("10⁴" if "1e4" in name else "10³"))


PLOTS: dict[str, tuple[Callable[[Any, dict[str, Curves]], None], tuple[float, float]]] = {
    "cavity": (cavity, (9, 4)),
    "zalesak": (zalesak, (4.5, 4.5)),
    "vortex": (vortex, (9, 4.5)),
    "growth": (growth, (9, 4)),
    "heated": (heated, (9, 5)),
}


def draw(folder: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("No matplotlib here: the plots stay as they are (pip install the extra `docs` of pyproject.toml).")
        return
    curves = {file.stem: dict(np.load(file)) for file in sorted(folder.glob("*.npz"))}
    for name, (plot, size) in PLOTS.items():
        figure = Figure(figsize=size, layout="constrained")
        try:
            plot(figure, curves)
        except (ValueError, KeyError) as error:
            print(f"validation_{name}.png stays as it is: this run has not all of its cases ({error}).")
            continue
        figure.savefig(IMAGES / f"validation_{name}.png", dpi=100, metadata={"Software": None})
        print(f"docs/images/validation_{name}.png")


def main() -> int:
    if len(sys.argv) != 2 or not (found := rows(Path(sys.argv[1]))):
        print("usage: python -m benchmarks.validation_page FOLDER, which make test-long fills", file=sys.stderr)
        return 2
    PAGE.write_text(written(PAGE.read_text("utf-8"), table(found)), encoding="utf-8")
    print(table(found))
    draw(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
