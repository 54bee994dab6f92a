"""Pictures of what was measured, with matplotlib."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seq.figures import new_figure, save_figure
from seq.files import FilePath

Array = np.ndarray[Any, Any]

COLORS = ["#1f5a94", "#c44e1c", "#3a8a3f", "#7a4fa3", "#8a6d1f", "#555555"]


def curves(
    path: FilePath,
    lines: Mapping[str, tuple[Any, Any]],
    x: str,
    y: str,
    *,
    log: str = "",
    title: str = "",
) -> None:
    """Draw lines by name, each of its x and its y; log: "x", "y" or "xy".

    Raises MissingExtraError without matplotlib, ArgumentError for a path that doesn't
    end in .pdf, .png or .svg; so do all that draw here.
    """
    figure = new_figure(path, (7, 4))
    axes = figure.add_subplot(xlabel=x, ylabel=y, title=title)
    draw_lines(axes, lines, log)
    save_figure(path, figure)


def draw_lines(axes: Any, lines: Mapping[str, tuple[Any, Any]], log: str = "") -> None:
    """The lines of `curves`, on axes that there are."""
    for i, (name, (xs, ys)) in enumerate(lines.items()):
        mark = "o-" if len(xs) < 15 else "-"
        color = COLORS[i % len(COLORS)]
        axes.plot(xs, ys, mark, markersize=4, color=color, label=name)
    if all(np.issubdtype(np.asarray(xs).dtype, np.integer) for xs, _ in lines.values()):
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axis in log:
        getattr(axes, f"set_{axis}scale")("log")
    axes.grid(alpha=0.3)
    axes.legend()


def matrix(
    path: FilePath,
    values: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    x: str = "",
    y: str = "",
    title: str = "",
) -> None:
    """Draw a matrix of numbers >= 0 as shades, with the names of rows and columns."""
    size = (2 + 0.38 * len(columns), 1.4 + 0.3 * len(rows))
    figure = new_figure(path, (max(size[0], 5), max(size[1], 3)))
    axes = figure.add_subplot(xlabel=x, ylabel=y, title=title)
    shades = axes.imshow(values, cmap="Blues", aspect="auto", vmin=0)
    figure.colorbar(shades)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    save_figure(path, figure)


def rolls(path: FilePath, pieces: Mapping[str, Array], lowest: int) -> None:
    """Draw piano rolls by name, each bool (T, keys), one above the other."""
    figure = new_figure(path, (9, 2.4 * len(pieces)))
    all_axes = figure.subplots(len(pieces), 1, squeeze=False)[:, 0]
    for axes, (name, roll) in zip(all_axes, pieces.items(), strict=True):
        t, key = np.nonzero(roll)
        axes.plot(t, key + lowest, "s", color=COLORS[0], markersize=2.5)
        axes.set(title=name, ylabel="MIDI note", xlim=(-1, len(roll)))
        axes.grid(alpha=0.3)
    all_axes[-1].set_xlabel("step")
    save_figure(path, figure)
