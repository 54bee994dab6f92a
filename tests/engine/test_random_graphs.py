"""Random graphs: shared tensors, broadcasts and pieces, as no sample has them."""

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error

SHAPES = [(3, 3), (3,), (1, 3)]
MAPS = [
    mg.tanh,
    mg.sigmoid,
    lambda x: x.exp() * 0.3,
    lambda x: (x * x + 1).log(),
    lambda x: (x * x + 0.5).sqrt(),
    lambda x: x**3 * 0.1,
    lambda x: x / (x**2 + 1),
    lambda x: x.T,
    lambda x: x.softmax(-1),
    lambda x: x.log_softmax(0),
    lambda x: x.logsumexp(0, True),
    lambda x: x.sum(-1, True),
    lambda x: x[..., np.array([0, -1, 0])],
    lambda x: x.expand(3, 3).unbind(1)[2],
    lambda x: x.expand(3, 3).split([1, 2])[1][0],
]
JOINS = [
    lambda x, y: x + y,
    lambda x, y: x * y,
    lambda x, y: x - 2 * y,
    lambda x, y: mg.where(x.detach() > 0, x, y),
    lambda x, y: mg.cat([x.expand(3, 3), y.expand(3, 3)], 1)[:, 1:4],
    lambda x, y: mg.stack([x.expand(3, 3), y.expand(3, 3)]).mean(0),
    lambda x, y: x.expand(3, 3) @ y.expand(3, 3),
]


def graph(seed):
    """A function of three tensors: nine random steps, each on what is there."""

    def function(*leaves):
        rng = np.random.default_rng(seed)
        pool = list(leaves)

        def pick():
            return pool[rng.integers(len(pool))]

        for _ in range(9):
            if rng.random() < 0.5:
                pool.append(MAPS[rng.integers(len(MAPS))](pick()))
            else:
                pool.append(JOINS[rng.integers(len(JOINS))](pick(), pick()))
        return pool[-1] + sum(x.sum() for x in pool)

    return function


def leaves_of(seed):
    rng = np.random.default_rng(seed)
    return [mg.tensor(rng.uniform(-1, 1, s), requires_grad=True) for s in SHAPES]


@pytest.mark.parametrize("seed", range(20))
def test_derivatives_are_what_finite_differences_say(seed):
    assert mg.gradcheck(graph(seed), leaves_of(seed))
    assert mg.gradgradcheck(graph(seed), leaves_of(seed))


@pytest.mark.parametrize("seed", range(60))
def test_a_traced_derivative_holds_for_other_values(seed):
    def slopes(*leaves):
        return mg.grad(graph(seed)(*leaves).sum(), leaves, create_graph=True)

    program, captured = mg.trace(slopes, *leaves_of(seed))
    program.check()
    others = leaves_of(seed + 1000)
    found = program.run(*(x.detach().numpy() for x in others), *captured)
    for y, expected in zip(found, slopes(*others), strict=True):
        # A program runs the forwards, which may add up in another order than kernels.
        assert relative_error(y, expected.detach().numpy()) <= FLOAT64_RTOL
