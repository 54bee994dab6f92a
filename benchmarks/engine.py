"""What an op costs: arrays so small that only the bookkeeping is left."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
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
    if library is not mg and library is not torch:
        from autograd.core import make_vjp

        vjp, z = make_vjp(lambda both: chain(library, *both).sum(), (x, y))
        return vjp(library.ones_like(z))
    gradients = mg.grad if library is mg else torch.autograd.grad
    return gradients(chain(library, x, y).sum(), [x, y])


def chain_unrecorded(library: Any, x: Any, y: Any) -> Any:
    """The chain under no_grad, if there is such a thing."""
    if library is np:
        return chain(library, x, y)
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
    """One line in the libraries that have it."""
    line = LINES[name]
    makers = {OURS: lambda: _subject(line, mg), "torch": lambda: _subject(line, torch)}
    if line is chain_unrecorded:
        makers["numpy"] = lambda: _in_arrays(line, np)
    if line is chain_gradients:
        makers["HIPS autograd"] = _in_hips
    return makers


def _subject(line: Line, library: Any) -> Subject:
    x = library.ones(4, 4, requires_grad=True)
    y = library.ones(4, 4, requires_grad=True)
    return lambda: line(library, x, y)


def _in_arrays(line: Line, library: Any) -> Subject:
    x, y = np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)
    return lambda: line(library, x, y)


def _in_hips() -> Subject:
    from autograd import numpy as box

    return _in_arrays(chain_gradients, box)
