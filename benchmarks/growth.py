"""How the cost of an LSTM grows with its steps, and with its batch: one picture."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import median

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

import minigrad as mg
import seq
from benchmarks import ours
from benchmarks.measure import Subject, measure

HIDDEN = 16
N_STEPS = 100
"""The steps where the batch grows; the batch is 1 where the steps do."""
STEPS = [10, 100, 1_000, 10_000, 100_000, 1_000_000]
BATCHES = [1, 4, 16, 64, 256, 1024, 4096]
Line = list[tuple[int, float]]
"""(size, seconds of one call)."""


def draw(path: Path, quick: bool = False) -> None:
    """Measure, print how steep each line ends, and write the picture.

    With `quick`, without the last two sizes of each.
    """
    steps, batches = (STEPS[:-2], BATCHES[:-2]) if quick else (STEPS, BATCHES)
    rounds = 3 if quick else 5
    with tqdm(total=len(steps + batches) * rounds, leave=False, disable=None) as bar:
        by_steps = lines(steps, lambda n: (n, 1), rounds, bar.update)
        by_batch = lines(batches, lambda n: (N_STEPS, n), rounds, bar.update)
    for axis, found in (("T", by_steps), ("B", by_batch)):
        for name, line in found.items():
            print(f"{axis}, {name}: time ~ {axis}^{steepness(line):.2f} at the end")
    picture(by_steps, by_batch).savefig(path)


def lines(
    sizes: list[int],
    shape: Callable[[int], tuple[int, int]],
    rounds: int,
    tick: Subject,
) -> dict[str, Line]:
    """The median time of one call at each size, (T, B) being its shape."""
    found: dict[str, Line] = {name: [] for name in SUBJECTS}
    for size in sizes:
        subjects = {name: make(*shape(size)) for name, make in SUBJECTS.items()}
        times = measure(subjects, rounds=rounds, tick=tick)
        for name, seconds in times.items():
            found[name].append((size, median(seconds)))
    return found


def steepness(line: Line) -> float:
    """The slope in logarithms over the last two steps: 1 is linear.

    >>> steepness([(10, 9.0), (100, 10.0), (1000, 100.0), (10000, 1000.0)])
    1.0
    """
    (size, seconds), (last_size, last) = line[-3], line[-1]
    return math.log(last / seconds) / math.log(last_size / size)


def picture(by_steps: dict[str, Line], by_batch: dict[str, Line]) -> Figure:
    """Two panels, both axes logarithmic, with a dashed line that is linear."""
    matplotlib.rcParams["font.size"] = 11
    figure = Figure(figsize=(10, 4.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    _panel(left, by_steps, "time steps T", "batch 1")
    _panel(right, by_batch, "batch B", f"{N_STEPS} steps")
    title = f"One call of an LSTM, input and hidden size {HIDDEN}, float32, one thread"
    figure.suptitle(title)
    return figure


def _panel(axes: Axes, found: dict[str, Line], label: str, title: str) -> None:
    for marker, (name, line) in zip("os", found.items(), strict=True):
        sizes, seconds = zip(*line, strict=True)
        axes.loglog(sizes, seconds, marker=marker, label=name)
        linear = [seconds[-1] * size / sizes[-1] for size in sizes]
        is_last = marker == "s"
        axes.loglog(sizes, linear, "--", color="0.6", label="linear" * is_last)
    axes.set_xlabel(label)
    axes.set_ylabel("seconds per call")
    axes.set_title(title)
    axes.grid(True, which="major", color="0.9")
    axes.legend(frameon=False)


def _train(n_steps: int, batch: int) -> Subject:
    x, g = (mg.randn(n_steps, batch, HIDDEN, generator=s).numpy() for s in (1, 2))
    return ours.train(seq.LSTM(HIDDEN, HIDDEN, generator=0), x, g)


def _infer(n_steps: int, batch: int) -> Subject:
    x = mg.randn(n_steps, batch, HIDDEN, generator=1).numpy()
    return ours.infer(seq.LSTM(HIDDEN, HIDDEN, generator=0), x)


SUBJECTS: dict[str, Callable[[int, int], Subject]] = {
    "forward and backward": _train,
    "forward, nothing recorded": _infer,
}
