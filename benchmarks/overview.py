"""How many times as fast as torch each op is, at every size: one picture."""

import math
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import quotient
from benchmarks.results import Row, Run

PARTS = {"forward": "forward, recorded", "gradients": "forward and backward"}
BESIDE = "torch"
LEAST, MOST = 1 / 16, 16.0
"""The ends of the colour scale; what is beyond has the colour of the end."""


def draw(run: Run, path: Path) -> None:
    """Write the picture."""
    picture(run).savefig(path)


def picture(run: Run) -> Figure:
    """A table for each part: a line an op, a column a size, a colour for the ratio."""
    matplotlib.rcParams["font.size"] = 8
    names = list(dict.fromkeys(r.name for r in run.rows if r.part in PARTS))
    figure = Figure(figsize=(9, 1.2 + 0.16 * len(names)), dpi=120, layout="constrained")
    axes = figure.subplots(1, len(PARTS), sharey=True)
    for one, (part, title) in zip(axes, PARTS.items(), strict=True):
        _panel(one, [row for row in run.rows if row.part == part], names, title)
    figure.suptitle(f"Times as fast as {BESIDE}, float32, one thread")
    return figure


def _panel(axes: Axes, rows: list[Row], names: list[str], title: str) -> None:
    sizes = sorted({row.size for row in rows})
    found = [[math.nan] * len(sizes) for _ in names]
    for row in rows:
        ratio = quotient(row, BESIDE)
        if ratio is not None:
            x, y = sizes.index(row.size), names.index(row.name)
            found[y][x] = math.log2(ratio)
            axes.text(x, y, f"{ratio:.2g}", ha="center", va="center")
    low, high = math.log2(LEAST), math.log2(MOST)
    axes.imshow(found, cmap="RdYlGn", vmin=low, vmax=high, aspect="auto")
    axes.set_xticks(range(len(sizes)), ["x".join(map(str, size)) for size in sizes])
    axes.set_yticks(range(len(names)), names)
    axes.set_title(title)
