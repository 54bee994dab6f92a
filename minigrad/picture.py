"""A picture of a program: its inputs on top, what is computed from them below."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .errors import ArgumentError, MissingExtraError, describe

if TYPE_CHECKING:
    from .program import Program

Boxes = list[tuple[str, str]]  # what kind, and the text
Edges = list[tuple[int, int]]  # from box to box, downwards
Places = list[tuple[float, float]]

WIDTH, HEIGHT = 2.3, 1.0  # of a box and the room around it, in inches
HALF = 0.22  # the height of a box is twice this, where HEIGHT is 1
FILLS = {"input": "#dbe9f6", "op": "#ffffff", "output": "#e2f0d9"}
FORMATS = (".pdf", ".png", ".svg")


def new_figure(path: Any, size: tuple[float, float], **options: Any) -> Any:
    """A figure of so many inches, to be saved at the path.

    options: matplotlib's. Raises MissingExtraError without matplotlib, which the extra
    `pictures` brings, and ArgumentError for a path that ends in none of FORMATS.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "a picture needs matplotlib; "
            "install it with: pip install 'minigrad[pictures]'"
        ) from error
    if os.path.splitext(path)[1] not in FORMATS:
        raise ArgumentError(f"the path must end in one of {FORMATS}, not {path}")
    return Figure(figsize=size, **options)


def draw(program: Program, path: Any) -> None:
    """See `Program.draw`."""
    boxes, edges = graph(program)
    places = layout(len(boxes), edges)
    size = [max((p[i] for p in places), default=0.0) + 1 for i in (0, 1)]
    figure = new_figure(path, (size[0] * WIDTH, size[1] * HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.5, size[0] - 0.5), ylim=(size[1] - 0.5, -0.5))
    axes.axis("off")
    for a, b in edges:
        arrow = {"arrowstyle": "-|>", "color": "#777777", "shrinkA": 0, "shrinkB": 0}
        (x, y), (to_x, to_y) = places[a], places[b]
        axes.annotate("", (to_x, to_y - HALF), (x, y + HALF), arrowprops=arrow)
    for (kind, text), (x, y) in zip(boxes, places, strict=True):
        frame = {"boxstyle": "round", "facecolor": FILLS[kind], "edgecolor": "#444444"}
        axes.text(x, y, text, ha="center", va="center", fontsize=9, bbox=frame)
    figure.savefig(path)


def graph(program: Program) -> tuple[Boxes, Edges]:
    """A box for each input and instruction, an edge for each value that one reads."""
    from .program import Var

    boxes: Boxes = [("input", f"{v}\n{v.type}") for v in program.inputs]
    maker = {v: i for i, v in enumerate(program.inputs)}
    edges: Edges = []
    for line in program.instructions:
        read = dict.fromkeys(maker[a] for a in line.args if isinstance(a, Var))
        edges += [(i, len(boxes)) for i in read]
        maker.update(dict.fromkeys(line.outputs, len(boxes)))
        kind = "op" if set(line.outputs).isdisjoint(program.outputs) else "output"
        args = [str(a) if isinstance(a, Var) else describe(a) for a in line.args]
        first, last = line.outputs[0], line.outputs[-1]
        made = f"{first}: {first.type}" if first == last else f"{first} … {last}"
        boxes.append((kind, f"{line.op.name}({', '.join(args)})\n{made}"))
    return boxes, edges


def layout(n: int, edges: Edges) -> Places:
    """(column, row) of each box: below all that it reads, and near the middle of it.

    Boxes are numbered so that every edge goes to a higher number.
    """
    sources: list[list[int]] = [[] for _ in range(n)]
    targets: list[list[int]] = [[] for _ in range(n)]
    rows = [0] * n
    for a, b in edges:
        sources[b].append(a)
        targets[a].append(b)
        rows[b] = max(rows[b], rows[a] + 1)
    for i in reversed(range(n)):  # what has no source stands just above its first use
        if not sources[i] and targets[i]:
            rows[i] = min(rows[j] for j in targets[i]) - 1
    columns = [0.0] * n
    for row in range(max(rows, default=0) + 1):
        taken = -1.0
        here = [i for i in range(n) if rows[i] == row]
        wish = {i: _middle([columns[j] for j in sources[i]]) for i in here}
        for i in sorted(here, key=lambda i: wish[i]):
            columns[i] = taken = max(wish[i], taken + 1)
    return list(zip(columns, map(float, rows), strict=True))


def _middle(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
