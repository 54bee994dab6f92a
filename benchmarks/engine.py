"""What an op costs: arrays so small that only the bookkeeping is left."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

import minigrad as mg
from benchmarks.case import Case, Makers
from benchmarks.measure import Subject
from benchmarks.results import OURS

CHAIN = 1000

Line = Callable[[Any, Any, Any], Any]


def add(library: Any, x: Any, y: Any) -> Any:
    """One op, recorded."""
    return x + y


def chain(library: Any, x: Any, y: Any) -> Any:
    """A chain of ops, recorded; on ones, so that no number gets extreme."""
    for _ in range(CHAIN):
        x = x * y
    return x


def chain_gradients(library: Any, x: Any, y: Any) -> Any:
    """The chain and its gradients."""
    gradients = mg.grad if library is mg else torch.autograd.grad
    return gradients(chain(library, x, y).sum(), [x, y])


def chain_unrecorded(library: Any, x: Any, y: Any) -> Any:
    """The chain under no_grad."""
    with library.no_grad():
        return chain(library, x, y)


LINES: dict[str, Line] = {
    "add, recorded": add,
    f"{CHAIN} mul, no_grad": chain_unrecorded,
    f"{CHAIN} mul, gradients": chain_gradients,
}
"""What to run, by the name it has in the table."""


def cases() -> Iterator[Case]:
    """Every line, on 4x4 arrays."""
    for name in LINES:
        yield Case("engine", name, (4, 4), partial(engine_makers, name))


def engine_makers(name: str) -> Makers:
    """One line in both libraries."""
    return {
        OURS: lambda: _subject(LINES[name], mg),
        "torch": lambda: _subject(LINES[name], torch),
    }


def _subject(line: Line, library: Any) -> Subject:
    x = library.ones(4, 4, requires_grad=True)
    y = library.ones(4, 4, requires_grad=True)
    return lambda: line(library, x, y)
