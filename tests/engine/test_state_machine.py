"""Random graphs, walked at random, beside an engine that has nothing in common."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error

from . import naive

SHAPES = [(), (3,), (1, 3), (2, 1), (2, 3), (3, 2), (2, 2, 3)]
LARGEST = 3.0  # what is larger is scaled down, so that long graphs stay finite
RECENT = 8  # what most ops are applied to, so that graphs grow deep
ELEMENTS = 40  # of one tensor, below
SCALARS = 8_000  # of the naive engine; then the graph is let go

pick = st.integers(0, 1 << 16)


class Pair(NamedTuple):
    """One tensor in both engines."""

    ours: mg.Tensor
    theirs: Any


UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "neg": (operator.neg, operator.neg),
    "abs": (abs, abs),
    "exp": (mg.exp, np.exp),
    "log": (lambda x: mg.log(abs(x) + 0.5), lambda x: np.log(abs(x) + 0.5)),
    "sqrt": (
        lambda x: mg.sqrt(x * x + 0.5),
        lambda x: np.exp(np.log(x * x + 0.5) * 0.5),
    ),
    "tanh": (mg.tanh, np.tanh),
    "sigmoid": (mg.sigmoid, lambda x: 1.0 / (1.0 + np.exp(-x))),
    "cube": (lambda x: x**3, lambda x: x * x * x),
    "numbers": (lambda x: 2.0 - x / 3.0 + 0.5 * x, lambda x: 2.0 - x / 3.0 + 0.5 * x),
}
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (operator.add, operator.add),
    "sub": (operator.sub, operator.sub),
    "mul": (operator.mul, operator.mul),
    "div": (lambda x, y: x / (y * y + 1.0), lambda x, y: x / (y * y + 1.0)),
    "maximum": (
        mg.maximum,
        np.frompyfunc(lambda x, y: naive.largest([x, y]), 2, 1),
    ),
}


def softmax(xs: list[naive.Scalar]) -> naive.Scalar:
    return xs[0].exp() / sum(x.exp() for x in xs)


REDUCE: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (mg.sum, sum),
    "mean": (mg.mean, lambda xs: sum(xs) / float(len(xs))),
    "amax": (mg.amax, naive.largest),
    "logsumexp": (mg.logsumexp, lambda xs: sum(x.exp() for x in xs).log()),
    "first of softmax": (
        lambda x, d, keep: mg.softmax(x, d).split(1, d)[0].sum(d, keep),
        softmax,
    ),
}
# What only moves elements is written once: a Tensor and an array take the same.
MOVE: dict[str, Callable[[Any], Any]] = {
    "T": lambda x: x.T,
    "flat": lambda x: x.reshape(-1),
    "column": lambda x: x.reshape(-1, 1),
    "first": lambda x: x[:1],
    "last": lambda x: x[-1],
    "backwards": lambda x: x[..., ::-1],
    "again": lambda x: x[[0, -1, 0]],
    "new": lambda x: x[None],
    "masked": lambda x: x[np.arange(len(x)) % 2 == 0],
}


class Graphs(RuleBasedStateMachine):
    """A pool of tensors that grows by ops on its members, and by their gradients."""

    @initialize(seed=pick)
    def start(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.leaves: list[Pair] = []
        self.sums: list[Any] = []
        self.pool: list[Pair] = []
        naive.Scalar.made = 0
        for shape in ((2, 3), (3,), ()):
            self.add_leaf(shape)

    def add_leaf(self, shape: tuple[int, ...]) -> None:
        values = self.rng.uniform(-1.5, 1.5, shape)
        leaf = Pair(mg.tensor(values, requires_grad=True), naive.tensor(values))
        self.leaves.append(leaf)
        self.sums.append(np.zeros(shape))
        self.pool.append(leaf)

    def choose(self, number: int, fits: Callable[[Any], bool] = lambda x: True) -> Any:
        """A member of the pool, often a new one; None if none fits."""
        fitting = [pair for pair in reversed(self.pool) if fits(pair.ours)]
        near = fitting[: RECENT if number % 4 else None]
        return near[number // 4 % len(near)] if near else None

    def add(self, ours: mg.Tensor, theirs: Any) -> None:
        pair = Pair(ours, np.asarray(theirs, object))
        assert_same(ours, pair.theirs)
        largest = np.abs(ours.detach().numpy()).max()
        if largest > LARGEST:
            factor = float(1.0 / largest)
            pair = Pair(ours * factor, np.asarray(pair.theirs * factor, object))
        self.pool.append(pair)
        if naive.Scalar.made > SCALARS:
            self.let_go()

    def let_go(self) -> None:
        self.pool = list(self.leaves)
        naive.Scalar.made = 0

    @rule(shape=st.sampled_from(SHAPES))
    def leaf(self, shape: tuple[int, ...]) -> None:
        if len(self.leaves) < 6:
            self.add_leaf(shape)

    @rule(name=st.sampled_from(sorted(UNARY)), at=pick)
    def unary(self, name: str, at: int) -> None:
        x = self.choose(at)
        ours, theirs = UNARY[name]
        self.add(ours(x.ours), naive.elementwise(theirs, x.theirs))

    @rule(name=st.sampled_from(sorted(BINARY)), at=pick, other=pick)
    def binary(self, name: str, at: int, other: int) -> None:
        x = self.choose(at)
        y = self.choose(other, lambda y: broadcast(x.ours.shape, y.shape))
        ours, theirs = BINARY[name]
        self.add(ours(x.ours, y.ours), naive.elementwise(theirs, x.theirs, y.theirs))

    @rule(at=pick, other=pick)
    def matmul(self, at: int, other: int) -> None:
        x = self.choose(at, lambda x: x.ndim > 0)
        inner = x.ours.shape[-1]
        y = self.choose(other, lambda y: y.ndim in (1, 2) and y.shape[0] == inner)
        if y is not None and x.ours.numel() * y.ours.numel() < ELEMENTS:
            self.add(x.ours @ y.ours, x.theirs @ y.theirs)

    @rule(name=st.sampled_from(sorted(REDUCE)), at=pick, axis=pick, keep=st.booleans())
    def reduction(self, name: str, at: int, axis: int, keep: bool) -> None:
        x = self.choose(at, lambda x: x.ndim > 0)
        ours, theirs = REDUCE[name]
        axis %= x.ours.ndim
        self.add(ours(x.ours, axis, keep), naive.reduced(theirs, x.theirs, axis, keep))

    @rule(name=st.sampled_from(sorted(MOVE)), at=pick)
    def move(self, name: str, at: int) -> None:
        x = self.choose(at, lambda x: 0 < x.ndim < 4)
        self.add(MOVE[name](x.ours), MOVE[name](x.theirs))

    @rule(at=pick, other=pick, axis=pick)
    def cat(self, at: int, other: int, axis: int) -> None:
        x = self.choose(at, lambda x: x.ndim > 0 and x.numel() < 10)
        axis %= x.ours.ndim
        rest = without(x.ours.shape, axis)
        y = self.choose(
            other,
            lambda y: (
                y.ndim == x.ours.ndim
                and y.numel() < 10
                and without(y.shape, axis) == rest
            ),
        )
        parts = [x, y, x]
        self.add(
            mg.cat([part.ours for part in parts], axis),
            np.concatenate([part.theirs for part in parts], axis),
        )

    @rule(at=pick)
    def detach(self, at: int) -> None:
        x = self.choose(at)
        self.add(x.ours.detach(), naive.tensor(naive.numbers(x.theirs)))

    @rule(at=pick, keep=st.integers(0, 7))
    def backward(self, at: int, keep: int) -> None:
        """Accumulate in the leaves; without the graph kept, it is let go."""
        y = self.choose(at, lambda x: x.requires_grad)
        cotangent = self.rng.uniform(-1.0, 1.0, y.ours.shape)
        y.ours.backward(mg.tensor(cotangent), retain_graph=keep > 0)
        found = naive.gradients(y.theirs, cotangent, [x.theirs for x in self.leaves])
        self.sums = [
            total + naive.numbers(g) for total, g in zip(self.sums, found, strict=True)
        ]
        for leaf, total in zip(self.leaves, self.sums, strict=True):
            ours = leaf.ours.grad
            assert_close(np.zeros(total.shape) if ours is None else ours, total)
        if not keep:
            self.let_go()

    @rule(at=pick, leaf=pick)
    def gradient(self, at: int, leaf: int) -> None:
        """A gradient joins the pool: what is made of it is of a higher order."""
        y = self.choose(at, lambda x: x.requires_grad and x.numel() < 20)
        x = self.leaves[leaf % len(self.leaves)]
        seed = mg.tensor(self.rng.uniform(-1.0, 1.0, y.ours.shape))
        (g,) = mg.grad(y.ours, x.ours, seed, create_graph=True, allow_unused=True)
        if g is not None:
            (expected,) = naive.gradients(y.theirs, seed.numpy(), [x.theirs])
            self.add(g, expected)

    @rule()
    def zero(self) -> None:
        for i, leaf in enumerate(self.leaves):
            leaf.ours.grad = None
            self.sums[i] = np.zeros(leaf.ours.shape)


def broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return int(np.prod(np.broadcast_shapes(a, b))) < ELEMENTS
    except ValueError:
        return False


def without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def assert_same(ours: mg.Tensor, theirs: Any) -> None:
    assert_close(ours.detach(), naive.numbers(theirs))


def assert_close(found: Any, expected: Any) -> None:
    """Within the policy; all that is fed is of order one, and so is what may cancel."""
    beside = (np.shape(expected) and [np.ones_like(expected)]) or [1.0]
    ours, theirs = np.stack([found, *beside]), np.stack([expected, *beside])
    assert relative_error(ours, theirs) <= FLOAT64_RTOL


Graphs.TestCase.settings = settings(max_examples=60, stateful_step_count=200)
TestGraphs = Graphs.TestCase
