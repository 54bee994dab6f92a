"""An autograd engine to hold minigrad to: an object a number, a closure a derivative.

A tensor here is a numpy array of Scalars, so that numpy itself broadcasts, indexes,
sums and multiplies matrices. Nothing is shared with minigrad, and nothing is fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Scalar:
    """A number, and for each number it was made of, its share of a cotangent."""

    made = 0

    def __init__(self, value: float, *sources: tuple[Scalar, Callable[..., Scalar]]):
        self.value = float(value)
        self.sources = sources
        Scalar.made += 1

    def __add__(self, other: Any) -> Scalar:
        y = scalar(other)
        return Scalar(self.value + y.value, (self, lambda g: g), (y, lambda g: g))

    def __mul__(self, other: Any) -> Scalar:
        y = scalar(other)
        shares = (self, lambda g: g * y), (y, lambda g: g * self)
        return Scalar(self.value * y.value, *shares)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Scalar:
        return self * -1.0

    def __sub__(self, other: Any) -> Scalar:
        return self + -scalar(other)

    def __rsub__(self, other: Any) -> Scalar:
        return scalar(other) + -self

    def __truediv__(self, other: Any) -> Scalar:
        return self * scalar(other).inverse()

    def __rtruediv__(self, other: Any) -> Scalar:
        return scalar(other) * self.inverse()

    def inverse(self) -> Scalar:
        return (y := Scalar(1.0 / self.value, (self, lambda g: -g * y * y)))

    def exp(self) -> Scalar:
        return (y := Scalar(math.exp(self.value), (self, lambda g: g * y)))

    def log(self) -> Scalar:
        return Scalar(math.log(self.value), (self, lambda g: g / self))

    def tanh(self) -> Scalar:
        return (y := Scalar(math.tanh(self.value), (self, lambda g: g - g * y * y)))

    def __abs__(self) -> Scalar:
        return largest([self, -self])


def scalar(x: Any) -> Scalar:
    return x if isinstance(x, Scalar) else Scalar(x)


def largest(values: Sequence[Scalar]) -> Scalar:
    """The maximum; equal ones share the cotangent."""
    top = max(s.value for s in values)
    ties = [s for s in values if s.value == top]
    return Scalar(top, *((s, lambda g: g * (1.0 / len(ties))) for s in ties))


tensor = np.vectorize(Scalar, otypes=[object])
numbers = np.vectorize(lambda s: s.value, otypes=[float])


def elementwise(function: Callable[..., Array], *xs: Array) -> Array:
    """A function of arrays; numpy would take one of no dimensions out of its array."""
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    return function(*map(np.atleast_1d, xs)).reshape(shape)


def reduced(reduce: Callable[..., Scalar], x: Array, axis: int, keep: bool) -> Array:
    rows = np.moveaxis(x, axis, -1)
    made = [reduce(list(line)) for line in rows.reshape(-1, rows.shape[-1])]
    y = np.array(made, object).reshape(rows.shape[:-1])
    return np.expand_dims(y, axis) if keep else y


def gradients(y: Array, cotangent: Array, xs: Sequence[Array]) -> list[Array]:
    """The gradient of sum(y * cotangent) by each of xs, in Scalars again."""
    root = sum(y.ravel() * cotangent.ravel(), Scalar(0.0))
    totals = {root: Scalar(1.0)}
    for node in newest_first(root):
        for source, share in node.sources:
            totals[source] = totals.get(source, Scalar(0.0)) + share(totals[node])
    pick = np.vectorize(lambda s: totals.get(s) or Scalar(0.0), otypes=[object])
    return [pick(x) for x in xs]


def newest_first(root: Scalar) -> list[Scalar]:
    """All that the root was made of, each after everything made of it."""
    found, seen, stack = [], set(), [(root, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            found.append(node)
        elif node not in seen:
            seen.add(node)
            stack += [(node, True), *((source, False) for source, _ in node.sources)]
    return found[::-1]
