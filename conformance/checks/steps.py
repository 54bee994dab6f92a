"""Steps for `scan`: what a layer's cell doesn't do, and steps that look alike.

Two versions of a step have the same code and refer to different things: a number, a
tensor, a function. What was traced of the first must not be run for the second.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg

from ..cases import stream
from ..tape import MINIGRAD, Run, Tensors

T, N = 7, 3
Step = Callable[[Any, Any], Any]
Make = Callable[[Tensors, int], Step]


@dataclass(frozen=True)
class StepCase:
    """make(tensors, version): a step (h, x) -> h, all (B, N)."""

    name: str
    make: Make

    @property
    def id(self) -> str:
        """What names it, such as "scan/softmax"."""
        return f"scan/{self.name}"

    def run(self, version: int, ragged: bool, reverse: bool) -> Run:
        """The outputs of a version, on its own data."""
        leaves = self.leaves(version)
        step = self.make(leaves, version)

        def both(h: Any, x: Any) -> Any:
            return (step(h, x),) * 2

        lengths = _lengths(leaves) if ragged else None
        h, ys = mg.scan(both, leaves["h"], leaves["x"], lengths, reverse)
        return Run(MINIGRAD, leaves, {"h": h, "ys": ys})

    def by_hand(self, version: int, ragged: bool, reverse: bool) -> Run:
        """The same, called here step by step."""
        leaves = self.leaves(version)
        step = self.make(leaves, version)
        h, ys = leaves["h"], [leaves["h"]] * T
        lengths = _lengths(leaves) if ragged else np.full(len(h), T)
        for t in reversed(range(T)) if reverse else range(T):
            live = mg.Tensor(t < lengths[:, None])
            new = step(h, leaves["x"][t])
            h, ys[t] = mg.where(live, new, h), mg.where(live, new, 0.0)
        return Run(MINIGRAD, leaves, {"h": h, "ys": mg.stack(ys)})

    def is_fused(self) -> bool:
        """Whether one loop runs it."""
        leaves = self.leaves(0)
        step = self.make(leaves, 0)
        both = leaves["h"], leaves["x"]
        (found,) = mg.explain(lambda h, x: (step(h, x),) * 2, *both)
        return found.reason is None and found.backward is not None

    def leaves(self, version: int) -> Tensors:
        """The state, the input and what a step may refer to."""
        rng = stream(self.id, version)
        batch = 5 + version
        shapes = {"h": (batch, N), "x": (T, batch, N), "own": (batch, N), "v": (N,)}
        shapes |= {"a": (N, N), "b": (N, N), "column": (N, 1)}
        return MINIGRAD.leaves({n: rng.normal(0, 0.5, s) for n, s in shapes.items()})


def _lengths(leaves: Tensors) -> Any:
    """Unsorted, with an empty row."""
    return np.arange(len(leaves["h"])) * 3 % (T + 1)


def _number(w: Tensors, version: int) -> Step:
    k = (0.5, 2.0)[version]
    return lambda h, x: mg.tanh(h * k + x)


def _flag(w: Tensors, version: int) -> Step:
    gated = (True, False)[version]
    return lambda h, x: mg.tanh(h + x) * (mg.sigmoid(x) if gated else 1.0)


def _word(w: Tensors, version: int) -> Step:
    name = ("tanh", "sigmoid")[version]
    return lambda h, x: {"tanh": mg.tanh, "sigmoid": mg.sigmoid}[name](h + x)


def _list(w: Tensors, version: int) -> Step:
    scales = [0.5, (0.25, -1.0)[version]]
    return lambda h, x: mg.tanh(h * scales[0] + x * scales[1])


def _default(w: Tensors, version: int) -> Step:
    def step(h: Any, x: Any, k: float = (0.5, -0.5)[version]) -> Any:
        return mg.tanh(h * k + x)

    return step


def _partial(w: Tensors, version: int) -> Step:
    def step(h: Any, x: Any, k: float) -> Any:
        return mg.tanh(h * k + x)

    return functools.partial(step, k=(0.5, -0.5)[version])


def _function(w: Tensors, version: int) -> Step:
    def double(x: Any) -> Any:
        return x * 2.0

    def square(x: Any) -> Any:
        return x * x

    f = (double, square)[version]
    return lambda h, x: mg.tanh(f(x) + h)


def _tensors(w: Tensors, version: int) -> Step:
    a, b = (w["a"], w["b"]) if version else (w["b"], w["a"])
    return lambda h, x: mg.tanh(h @ a + x @ b)


def _dict(w: Tensors, version: int) -> Step:
    weights = {"second": w["a"], "first": w["b"]}
    return lambda h, x: mg.tanh(h @ weights["first"]) + x @ weights["second"]


def _two_terms(w: Tensors, version: int) -> Step:
    a, b = w["a"], w["b"]
    return lambda h, x: mg.tanh(h @ a + mg.sin(h) @ b + x)


def _two_products(w: Tensors, version: int) -> Step:
    a, b = w["a"], w["b"]
    return lambda h, x: mg.tanh(h @ a) * mg.sigmoid(h @ b + x)


def _rows(w: Tensors, version: int) -> Step:
    own, v = w["own"], w["v"]
    return lambda h, x: mg.tanh(h * own + x * mg.sigmoid(own)) * v


def _rows_and_weights(w: Tensors, version: int) -> Step:
    own, a = w["own"], w["a"]
    return lambda h, x: mg.tanh((x * own) @ a + h)


def _columns(w: Tensors, version: int) -> Step:
    return lambda h, x: mg.tanh(mg.cat([h[:, 1:], x[:, :1] * h[:, :1]], -1)) + x


def _pieces(w: Tensors, version: int) -> Step:
    def step(h: Any, x: Any) -> Any:
        one, two = h.split([1, 2], -1)
        return mg.tanh(mg.cat([two * x[:, 1:], one], -1) + x)

    return step


def _softmax(w: Tensors, version: int) -> Step:
    def step(h: Any, x: Any) -> Any:
        large = (900 * x).logsumexp(-1, True) / 900  # whose exponentials overflow
        return (h + x).softmax(-1) - x.log_softmax(-1) * h + large

    return step


def _reductions(w: Tensors, version: int) -> Step:
    def step(h: Any, x: Any) -> Any:
        total = h.sum(-1, True) - h.amax(-1, True) * (x * x).mean(-1, True)
        return mg.tanh(x * total + h.amin(-1, True) - x.logsumexp(-1, True))

    return step


def _numbers(w: Tensors, version: int) -> Step:
    return lambda h, x: mg.tanh(2 - h / 3) * (1 - x) + (x * x + 0.5) ** 1.5


def _differences(w: Tensors, version: int) -> Step:
    return lambda h, x: mg.tanh(h * (x - h) + (h - x) * mg.sigmoid(x) - x * 0.5)


def _choices(w: Tensors, version: int) -> Step:
    def step(h: Any, x: Any) -> Any:
        kept = mg.where(h > x, h.clamp(-0.5, 0.25), mg.softplus(x))
        lower = mg.where(h < 0.5 * x, h, 2 * x)
        return mg.tanh(kept - mg.maximum(h, x) + mg.relu(h - 0.1) + lower)

    return step


def _bounds(w: Tensors, version: int) -> Step:
    return lambda h, x: mg.tanh(3 * h.clamp(-0.1, 0.2) + x) + mg.hardtanh(x, -0.2, 0.1)


def _shared(w: Tensors, version: int) -> Step:
    def step(h: Any, x: Any) -> Any:
        both = h * x
        return mg.tanh(both + mg.sin(both)) - mg.sigmoid(both) * (1 - both)

    return step


def _functions(w: Tensors, version: int) -> Step:
    def step(h: Any, x: Any) -> Any:
        waves = mg.sin(h) * mg.cos(x) + mg.expm1(mg.tanh(h)) - mg.silu(x)
        return mg.tanh(waves + mg.log1p(h * h) + mg.sqrt(x * x + 1) / mg.exp(-h.abs()))

    return step


def _column(w: Tensors, version: int) -> Step:
    column = w["column"]
    return lambda h, x: mg.tanh(x + (h @ column) * h)


def _batch(w: Tensors, version: int) -> Step:
    return lambda h, x: mg.tanh(h + x / h.shape[0])


STEPS = tuple(
    StepCase(make.__name__.strip("_").replace("_", "-"), make)
    for make in (
        *(_number, _flag, _word, _list, _default, _partial, _function, _batch),
        *(_tensors, _dict, _two_terms, _two_products, _column),
        *(_rows, _rows_and_weights, _columns, _pieces, _softmax, _reductions),
        *(_numbers, _differences, _choices, _bounds, _shared, _functions),
    )
)
