"""Lengths: what is beyond a row's end must cost nothing."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks import ours
from benchmarks.case import Case, Makers, Size
from benchmarks.kinds import problem
from benchmarks.results import OURS


def cases(sizes: Iterable[Size]) -> Iterator[Case]:
    """Ragged beside padded; shorter rows beside longer ones. Only where rows differ."""
    for name, makers in (("1..T", beside_padded), ("1..T/4", shorter)):
        for size in sizes:
            if size[1] > 1:
                label = f"LSTM, rows of {name}"
                yield Case("lengths", label, size, partial(makers, size), alike=False)


def lengths(n_steps: int, batch: int) -> Any:
    """Uniform in 1..n_steps, in no order; the same at every call."""
    return np.random.default_rng(3).integers(1, n_steps, batch, endpoint=True)


def beside_padded(size: Size) -> Makers:
    """Ragged beside the same call without lengths."""
    return _beside(size, {OURS: 1, "padded": None})


def shorter(size: Size) -> Makers:
    """A quarter as long beside ragged and padded."""
    return _beside(size, {OURS: 4, "1..T": 1, "padded": None})


def _beside(size: Size, parts: dict[str, int | None]) -> Makers:
    p = problem("LSTM", size)
    n_steps, batch = size[:2]

    def maker(part: int | None) -> Any:
        ends = None if part is None else lengths(max(n_steps // part, 1), batch)
        return lambda: ours.train(p.layer, p.x, p.g, ends)

    return {name: maker(part) for name, part in parts.items()}
