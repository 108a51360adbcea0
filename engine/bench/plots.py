"""Plots of results.json as SVG and PNG: `plots.py results.json`. Run by the venv's Python, which has matplotlib."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

# The same colour for a tool in every plot; readable in print and with any eyesight.
COLOURS = {"build": "#0072b2", "ninja": "#009e73", "bazel": "#e69f00", "turbo": "#cc79a7", "moon": "#56b4e9"}


def measured(case: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows with figures, by row and tool."""
    return {(row["row"], row["peer"]): row for row in case["rows"] if row.get("samples") and not row["wrong"]}


def bars(case: dict[str, Any], quantity: str, label: str, folder: Path) -> None:
    """One group of bars a row, one bar a tool, with minimum and maximum."""
    figures = measured(case)
    rows = [row for row in case["titles"] if any(key[0] == row for key in figures)]
    peers = [peer for peer in COLOURS if any(key[1] == peer for key in figures)]
    if not rows:
        return
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.22 * len(rows) * (len(peers) + 1)))
    height = 0.8 / len(peers)
    for index, peer in enumerate(peers):
        found = [(place, figures[row, peer][quantity]) for place, row in enumerate(rows) if (row, peer) in figures]
        places = [place + index * height for place, _ in found]
        medians = [max(value["median"], 1e-4) for _, value in found]
        below = [max(0.0, median - value["minimum"]) for median, (_, value) in zip(medians, found)]
        above = [max(0.0, value["maximum"] - median) for median, (_, value) in zip(medians, found)]
        axes.barh(places, medians, height, xerr=(below, above), label=peer, color=COLOURS[peer],
                  error_kw={"elinewidth": 0.8})
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(rows))], [case["titles"][row] for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(f"{label}, median; lines from minimum to maximum")
    axes.set_title(case["title"])
    axes.legend()
    save(figure, folder / f"{case['name']}-{quantity}")


def growth(cases: list[dict[str, Any]], folder: Path) -> None:
    """CPU time and memory against the number of targets, one line a row and tool."""
    points: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    for case in cases:
        targets = int(case["name"].partition("-")[2])
        for key, figures in measured(case).items():
            points.setdefault(key, []).append((targets, figures["cpu"]["median"], figures["memory"] or 0))
    if not points:
        return
    figure, sides = pyplot.subplots(1, 2, figsize=(12, 5))
    marks = dict(zip(dict.fromkeys(row for row, _ in points), "osv^Dx*"))
    for (row, peer), found in sorted(points.items()):
        found.sort()
        places = [point[0] for point in found]
        for axes, values in zip(sides, ([p[1] for p in found], [p[2] / 1e6 or float("nan") for p in found])):
            axes.plot(places, values, marker=marks[row], color=COLOURS[peer], label=f"{peer}, {row}")
    for axes, label in zip(sides, ("CPU-seconds", "peak memory, MB")):
        axes.set(xscale="log", yscale="log", xlabel="targets", ylabel=label)
        axes.legend(fontsize="small")
    save(figure, folder / "growth")


def save(figure: Any, stem: Path) -> None:
    """Writes both formats."""
    figure.tight_layout()
    for ending in (".svg", ".png"):
        figure.savefig(stem.with_name(stem.name + ending), dpi=120)
    pyplot.close(figure)


def main(path: Path) -> None:
    """Draws everything that the file has figures for."""
    # Without a date, and with names by content, so that equal results give equal files.
    matplotlib.rcParams["svg.hashsalt"] = "bench"
    cases = json.loads(path.read_text())["cases"]
    for case in cases:
        if not case["name"].startswith("growth-"):
            bars(case, "wall", "seconds", path.parent)
            bars(case, "cpu", "CPU-seconds", path.parent)
    growth([case for case in cases if case["name"].startswith("growth-")], path.parent)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
