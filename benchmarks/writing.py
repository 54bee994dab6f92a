"""What does not decide the cost: how a cell is written, and by whom. And threads."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

import minigrad as mg
import seq
from benchmarks import cells, ours
from benchmarks.case import Case, Makers, Size
from benchmarks.kinds import KINDS, Problem, problem
from benchmarks.results import OURS

OWN = {"LSTM": cells.own_lstm, "GRU": cells.own_gru, "RNN": cells.own_rnn}


def cases(sizes: Iterable[Size]) -> Iterator[Case]:
    """One gate a line beside stacked gates; a user's cell beside the built-in one."""
    for size in sizes:
        yield Case("writing", "LSTM, a gate a line", size, partial(by_gates, size))
    for name, size in product(OWN, sizes):
        yield Case("writing", f"{name}, a user's", size, partial(own, name, size))


def thread_cases(sizes: Iterable[Size], n_threads: int) -> Iterator[Case]:
    """Ours on all threads beside ours on one."""
    for name, size in product(KINDS, sizes):
        yield Case("threads", name, size, partial(threads, name, size, n_threads))


def by_gates(size: Size, dtype: str = "float32") -> Makers:
    """The LSTM written one gate a line, with the weights of the stacked one."""
    p = problem("LSTM", size, dtype)
    gates = [part for w in p.weights for part in np.split(w, 4)]
    return _beside("stacked", cells.lstm_by_gates, gates, p)


def own(name: str, size: Size, dtype: str = "float32") -> Makers:
    """A user's cell with the equations, and the weights, of a built-in one."""
    p = problem(name, size, dtype)
    return _beside("built in", OWN[name], p.weights, p)


def threads(name: str, size: Size, n_threads: int, dtype: str = "float32") -> Makers:
    """The same training step on so many threads and on one."""
    p = problem(name, size, dtype)
    run = ours.train(p.layer, p.x, p.g)
    return {
        OURS: lambda: ours.on_threads(n_threads, run),
        "1 thread": lambda: ours.on_threads(1, run),
    }


def _beside(other: str, cell: seq.Cell, weights: list[Any], p: Problem) -> Makers:
    dtype = p.x.dtype
    layer = seq.Recurrent(cell, p.x.shape[-1], p.g.shape[-1], dtype=dtype)
    for parameter, value in zip(layer.parameters(), weights, strict=True):
        parameter.assign(mg.Tensor(value))
    return {
        OURS: lambda: ours.train(layer, p.x, p.g),
        other: lambda: ours.train(p.layer, p.x, p.g),
    }
