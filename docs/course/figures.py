"""Draw the figures of the course: `python docs/course/figures.py`.

The sketches are drawn here; what is measured is drawn by the pages themselves, which
are run as the tests run them.
"""

import contextlib
import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from seq.experiments import pictures
from seq.figures import new_figure

HERE = Path(__file__).parent
PAGES = sorted(HERE.glob("[0-9]*.md"))
STATE, INPUT, OUTPUT = "#dbe8f5", "#eeeeee", "#fbe3d3"
FORWARD, BACKWARD = "#333333", pictures.COLORS[1]
COLORS = 64  # all that a line drawing needs


class Sketch:
    """Boxes with a name, and arrows from one to another, on axes of so many boxes."""

    def __init__(self, axes: Any, width: float, height: float) -> None:
        axes.set(xlim=(-0.5, width - 0.5), ylim=(-0.4, height - 0.6))
        axes.axis("off")
        self.axes = axes
        self.half_widths: dict[tuple[float, float], float] = {}

    def box(self, x: float, y: float, text: str, color: str) -> tuple[float, float]:
        """A box around a text; returns its place, for arrows."""
        frame = {"boxstyle": "round,pad=0.35", "facecolor": color, "edgecolor": "#777"}
        place = {"ha": "center", "va": "center"}
        self.axes.text(x, y, text, fontsize=10, bbox=frame, **place)
        self.half_widths[x, y] = 8 + 2.8 * len(text)  # in points, roughly
        return x, y

    def arrow(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        color: str = FORWARD,
        bend: float = 0.0,
    ) -> None:
        """An arrow that leaves room for the boxes at both of its ends."""
        level = start[1] == end[1] and not bend
        room = [self.half_widths[place] if level else 15 for place in (start, end)]
        style = {
            "arrowstyle": "->",
            "color": color,
            "shrinkA": room[0],
            "shrinkB": room[1],
            "connectionstyle": f"arc3,rad={bend}",
        }
        self.axes.annotate("", end, start, arrowprops=style)

    def chain(
        self, y: float, names: list[str], *, reverse: bool = False
    ) -> list[tuple[float, float]]:
        """Activations side by side, each handed to the next one in time."""
        boxes = [self.box(x, y, name, STATE) for x, name in enumerate(names)]
        ordered = boxes[::-1] if reverse else boxes
        for before, after in pairwise(ordered):
            self.arrow(before, after)
        return boxes


def steps(name: str, n: int = 4) -> list[str]:
    """The names of n steps, such as a⟨1⟩."""
    return [f"{name}⟨{t}⟩" for t in range(1, n + 1)]


def unrolled(path: Path) -> None:
    """A network as a loop, and its steps side by side."""
    figure = new_figure(path, (9, 3))
    left, right = figure.subplots(1, 2, width_ratios=(1, 4))
    loop = Sketch(left, 1.5, 3)
    x, a = loop.box(0, 0, "x", INPUT), loop.box(0, 1, "a", STATE)
    y = loop.box(0, 2, "ŷ", OUTPUT)
    loop.arrow(x, a)
    loop.arrow(a, y)
    loop.axes.annotate(
        "",
        (0.14, 0.92),
        (0.14, 1.08),
        arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=-2.5"},
    )
    loop.axes.text(0.5, 1, "$W_{aa}$", va="center")
    loop.axes.text(0.1, 0.45, "$W_{ax}$")
    loop.axes.text(0.1, 1.45, "$W_{ya}$")
    along = Sketch(right, 5, 3)
    states = along.chain(1, ["a⟨0⟩", *steps("a")])
    for x_t, a_t, y_t in zip(steps("x"), states[1:], steps("ŷ"), strict=True):
        along.arrow(along.box(a_t[0], 0, x_t, INPUT), a_t)
        along.arrow(a_t, along.box(a_t[0], 2, y_t, OUTPUT))
    save(figure, path)


def through_time(path: Path) -> None:
    """The losses above the steps, and the way that the gradient goes back."""
    figure = new_figure(path, (7, 4.2))
    sketch = Sketch(figure.add_subplot(), 5, 4)
    states = sketch.chain(0, ["a⟨0⟩", *steps("a")])
    total = sketch.box(2.5, 3, "L = Σ L⟨t⟩", "white")
    for a_t, y_t, l_t in zip(states[1:], steps("ŷ"), steps("L"), strict=True):
        output = sketch.box(a_t[0], 1, y_t, OUTPUT)
        loss = sketch.box(a_t[0], 2, l_t, "white")
        for start, end in ((a_t, output), (output, loss), (loss, total)):
            sketch.arrow(start, end)
        sketch.arrow(output, a_t, BACKWARD, bend=0.5)
        sketch.arrow(loss, output, BACKWARD, bend=0.5)
    for before, after in pairwise(states[1:]):
        sketch.arrow(after, before, BACKWARD, bend=-0.6)
    save(figure, path)


def shapes(path: Path) -> None:
    """The five shapes: which steps read, and which say something."""
    kinds = {
        "one to one": ([0], [0], 1),
        "one to many": ([0], [0, 1, 2], 3),
        "many to one": ([0, 1, 2], [2], 3),
        "many to many, T_x = T_y": ([0, 1, 2], [0, 1, 2], 3),
        "many to many, T_x ≠ T_y": ([0, 1], [2, 3, 4], 5),
    }
    figure = new_figure(path, (12, 2.6))
    widths = [max(n, 2) for _, _, n in kinds.values()]
    all_axes = figure.subplots(1, 5, width_ratios=widths)
    for axes, (name, (reads, says, n)) in zip(all_axes, kinds.items(), strict=True):
        sketch = Sketch(axes, n, 3)
        axes.set_title(name, fontsize=10)
        states = sketch.chain(1, ["a"] * n)
        for t in reads:
            sketch.arrow(sketch.box(t, 0, "x", INPUT), states[t])
        outputs = [sketch.box(t, 2, "ŷ", OUTPUT) for t in says]
        for t, output in zip(says, outputs, strict=True):
            sketch.arrow(states[t], output)
        if len(says) > len(reads) or n == 5:  # what is written is read again
            for output, t in zip(outputs, says[1:], strict=False):
                sketch.arrow(output, states[t], "#999999")
    save(figure, path)


def directions(path: Path) -> None:
    """Two chains, one from each end, under one row of outputs."""
    figure = new_figure(path, (7, 4.2))
    sketch = Sketch(figure.add_subplot(), 4, 4)
    forwards = sketch.chain(1, [f"a→⟨{t}⟩" for t in range(1, 5)])
    backwards = sketch.chain(2, [f"a←⟨{t}⟩" for t in range(1, 5)], reverse=True)
    for t in range(4):
        x = sketch.box(t, 0, steps("x")[t], INPUT)
        y = sketch.box(t, 3, steps("ŷ")[t], OUTPUT)
        sketch.arrow(x, forwards[t])
        sketch.arrow(x, backwards[t], bend=-0.5)
        sketch.arrow(forwards[t], y, bend=0.5)
        sketch.arrow(backwards[t], y)
    save(figure, path)


def deep(path: Path) -> None:
    """Three recurrent layers under two that aren't connected in time."""
    figure = new_figure(path, (7, 6))
    sketch = Sketch(figure.add_subplot(), 4, 7)
    below = [sketch.box(t, 0, name, INPUT) for t, name in enumerate(steps("x"))]
    for layer in (1, 2, 3):
        chain = sketch.chain(layer, steps(f"a[{layer}]"))
        connect(sketch, below, chain)
        below = chain
    for layer in (4, 5):
        boxes = [sketch.box(t, layer, "tanh", "white") for t in range(4)]
        connect(sketch, below, boxes)
        below = boxes
    outputs = [sketch.box(t, 6, name, OUTPUT) for t, name in enumerate(steps("ŷ"))]
    connect(sketch, below, outputs)
    save(figure, path)


def connect(sketch: Sketch, below: Any, above: Any) -> None:
    """An arrow from each box to the one above it."""
    for start, end in zip(below, above, strict=True):
        sketch.arrow(start, end)


def save(figure: Any, path: Path) -> None:
    """Write the picture, without empty margins."""
    figure.savefig(path, dpi=100, bbox_inches="tight")


SKETCHES = {
    "unrolled.png": unrolled,
    "through-time.png": through_time,
    "shapes.png": shapes,
    "directions.png": directions,
    "deep.png": deep,
}


def draw(folder: Path) -> None:
    """Draw all of them into the folder; raise for a page that doesn't run."""
    for name, sketch in SKETCHES.items():
        sketch(folder / name)
    run = runpy.run_path(str(HERE.parents[1] / "tests" / "documents.py"))
    with contextlib.chdir(folder):
        for page in PAGES:
            run["run_document"](page)
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            few = image.convert("RGB").quantize(COLORS)
        few.save(path, optimize=True)


if __name__ == "__main__":
    draw(HERE)
