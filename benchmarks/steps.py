"""What users run: optimiser and training steps, beside torch's, and an import."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minigrad as mg
from benchmarks.case import Case, Makers
from benchmarks.measure import Subject
from benchmarks.needs import IMPORT_LIMIT
from benchmarks.results import OURS

BYTE_CODE = Path(__file__).parents[1] / ".benchmarks" / "pycache"
ADAM = [(100, 10_000), (10_000, 100)]
"""(tensors, elements of each)."""
PERCEPTRON = (64, 128, 128, 10)
"""Batch and widths."""
LSTM = (64, 1, 32)
"""Steps, batch and width."""


def cases(quick: bool) -> Iterator[Case]:
    """Every line; with `quick`, without the 10^4 tensors."""
    yield Case("steps", "import", (), imports, alike=False)
    for size in ADAM[: 1 if quick else 2]:
        yield Case("steps", "Adam", size, partial(adam, size))
    yield Case("steps", "perceptron", PERCEPTRON, perceptron, same=1e-3)
    yield Case("steps", "LSTM, eager", LSTM, lstm, same=1e-3)


def imports() -> Makers:
    """A process that imports minigrad, beside one that imports numpy and waits.

    Both find their byte code, as they do where they are installed.
    """

    def subject(code: str) -> Subject:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": str(BYTE_CODE)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", code]
        return lambda: subprocess.run(command, env=env, check=True)

    return {
        OURS: lambda: subject("import minigrad"),
        IMPORT_LIMIT: lambda: subject("import numpy, time; time.sleep(0.02)"),
        "numpy": lambda: subject("import numpy"),
    }


def adam(size: tuple[int, int]) -> Makers:
    """A step; torch's fused=True, which is its fastest."""
    count, n = size

    def ours() -> Subject:
        made = [mg.nn.Parameter(np.ones(n, np.float32)) for _ in range(count)]
        for parameter in made:
            parameter.grad = mg.full((n,), 0.1)
        return _first(mg.optim.Adam(made).step, made)

    def theirs() -> Subject:
        made = [torch.nn.Parameter(torch.ones(n)) for _ in range(count)]
        for parameter in made:
            parameter.grad = torch.full((n,), 0.1)
        return _first(torch.optim.Adam(made, fused=True).step, made)

    return {OURS: ours, "torch": theirs}


def _first(step: Callable[[], object], made: list[Any]) -> Subject:
    def run() -> Any:
        step()
        return made[0]

    return run


def perceptron() -> Makers:
    """The loss of two layers, and its gradients."""
    batch, *widths = PERCEPTRON
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((batch, widths[0]))]
    for pair in itertools.pairwise(widths):
        arrays += [rng.standard_normal(pair) * 0.1, np.zeros(pair[1])]
    target = rng.integers(0, widths[-1], batch)

    def loss(library: Any, x: Any, v: Any, a: Any, w: Any, b: Any, y: Any) -> Any:
        return library.cross_entropy(library.relu(x @ v + a) @ w + b, y)

    return _training(loss, arrays, target)


def lstm() -> Makers:
    """The sum of the last state of a loop over the steps, and its gradients."""
    n_steps, batch, width = LSTM
    rng = np.random.default_rng(0)
    shapes = [(n_steps, batch, width), (width, 4 * width), (width, 4 * width)]
    arrays = [rng.standard_normal(shape) * 0.3 for shape in (*shapes, 4 * width)]

    def loss(library: Any, xs: Any, v: Any, w: Any, bias: Any, y: Any) -> Any:
        h = c = library.zeros(batch, width)
        for t in range(n_steps):
            i, f, g, o = library.chunk(xs[t] @ v + h @ w + bias, 4, -1)
            c = library.sigmoid(f) * c + library.sigmoid(i) * library.tanh(g)
            h = library.sigmoid(o) * library.tanh(c)
        return h.sum()

    return _training(loss, arrays, None)


def _training(loss: Callable[..., Any], arrays: list[Any], target: Any) -> Makers:
    """The loss and the gradient of every array but the first, in both libraries."""

    def subject(library: Any, grad: Any, make: Any) -> Subject:
        x, *rest = (make(np.asarray(a, np.float32)) for a in arrays)
        weights = [w.requires_grad_() for w in rest]
        labels = None if target is None else make(target)

        def run() -> Any:
            y = loss(library, x, *weights, labels)
            return y, *grad(y, weights)

        return run

    class Torch:
        """torch's functions, those of its nn.functional among them."""

        cross_entropy = staticmethod(torch.nn.functional.cross_entropy)

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

    return {
        OURS: lambda: subject(mg, mg.grad, mg.Tensor),
        "torch": lambda: subject(Torch(), torch.autograd.grad, torch.tensor),
    }
