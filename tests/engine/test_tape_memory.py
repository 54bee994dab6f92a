"""The tape's memory: nothing lives longer than it must, and no chain is too long."""

import contextlib
import sys
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, tape
from minigrad.errors import MinigradError
from minigrad.op import OPS

DEEP = 10**6
pytestmark = pytest.mark.usefixtures("no_collector")


def leaf(*shape):
    x = np.random.default_rng(0).uniform(0.5, 1.5, shape)
    return mg.tensor(x, requires_grad=True)


# -- no cycles -------------------------------------------------------------------------


def forward(x):
    return (x @ x.T).exp().sum()


def several(x):
    first, *_, last = x.split(1)
    return (first * last).sum() + x.max(0).values.sum()


def through_scan(x):
    carry, ys = mg.scan(lambda c, x: (c * x, c + x), mg.ones_like(x[0]), x)
    return (carry + ys).sum()


def second_derivative(x):
    (g,) = mg.grad(forward(x), x, create_graph=True)
    return (g * g).sum()


def with_index(x):
    return x[np.array([0, 0])].logsumexp(-1).sum()


FUNCTIONS = [forward, several, through_scan, second_derivative, with_index]


@pytest.mark.parametrize("walked", [False, True], ids=["dropped", "after backward"])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_graph_dies_with_its_output(function, walked):
    x = leaf(3, 3)
    y = function(x)
    refs = [weakref.ref(y), weakref.ref(y._data)]
    refs += [weakref.ref(v) for v in y._node.values]
    if walked:
        y.backward()
    del y
    assert [ref() for ref in refs] == [None] * len(refs)
    refs = [weakref.ref(x), weakref.ref(x._data)]
    del x
    assert [ref() for ref in refs] == [None, None]


def test_a_program_dies_with_its_name():
    program, captured = mg.trace(forward, leaf(2, 2))
    ref = weakref.ref(program)
    del program, captured
    assert ref() is None


def test_a_module_and_its_optimiser_die_with_their_names():
    layer = nn.Linear(2, 2)
    sgd = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(mg.ones(1, 2)).sum().backward()
    sgd.step()
    refs = [weakref.ref(layer), weakref.ref(sgd), weakref.ref(layer.weight)]
    del layer, sgd
    assert [ref() for ref in refs] == [None] * 3


# -- what a pass lets go ---------------------------------------------------------------


@pytest.mark.parametrize("retain", [False, True])
def test_the_values_between_are_freed_though_the_output_is_held(retain):
    x = leaf(3)
    h = x.exp()
    ref = weakref.ref(h._data)
    y = h.sum()
    del h
    assert ref() is not None
    y.backward(retain_graph=retain)
    assert (ref() is None) is not retain


def test_values_are_freed_as_the_walk_passes(monkeypatch):
    x = leaf(3)
    h = x.exp()
    k = h.tanh()
    y = (k * 2).sum()
    ref, alive = weakref.ref(k._data), []
    del k
    vjp = OPS["exp"].vjps["x"]

    def watch(*args):
        alive.append(ref() is not None)
        return vjp(*args)

    monkeypatch.setitem(OPS["exp"].vjps, "x", watch)
    y.backward()
    assert alive == [False]


def test_a_loss_that_is_held_does_not_hold_its_graph():
    x = leaf(3)
    total, refs = 0.0, []
    for _ in range(3):
        loss = (x * x.exp()).sum()
        refs += [weakref.ref(v) for v in loss._node.args if isinstance(v, np.ndarray)]
        loss.backward()
        total = total + loss
    assert [ref() for ref in refs] == [None] * 3
    assert len(tape.reachable([total._node])) == 6


def test_an_unused_output_does_not_keep_the_graph():
    x = leaf(4)
    a, b = (x * 2).split(2)
    ref = weakref.ref(b)
    del b
    assert ref() is None
    a.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 0.0, 0.0]


def assert_flat(step, n_steps=1000):
    """A leak leaves a block a step at least; free lists are full after a while."""

    def blocks_after(n):
        for _ in range(n):
            step()
        return sys.getallocatedblocks()

    before = blocks_after(2000)
    assert blocks_after(n_steps) - before < 1000


def test_memory_is_flat_over_a_thousand_training_steps():
    layer = nn.Linear(3, 3)
    adam = optim.Adam(layer.parameters(), lr=0.01)
    x = mg.ones(2, 3)

    def step():
        adam.zero_grad()
        carry, ys = mg.scan(lambda c, x: (layer(c) * x, c), mg.ones(2, 3), x)
        ((carry * carry).mean() + ys.tanh().sum()).backward()
        nn.clip_grad_norm_(layer.parameters(), 1.0)
        adam.step()

    assert_flat(step)


def test_memory_is_flat_over_a_hundred_thousand_training_steps():
    layer = nn.Linear(1, 1)
    sgd = optim.SGD(layer.parameters(), lr=1e-3, momentum=0.9)
    x, target = mg.tensor([[2.0]]), mg.tensor([[3.0]])

    def step():
        sgd.zero_grad()
        mg.mse_loss(layer(x), target).backward()
        sgd.step()

    assert_flat(step, n_steps=10**5)


def test_memory_is_flat_over_a_thousand_failing_steps():
    x = leaf(2, 3)

    def step():
        y = (x * x).sum()
        y.backward()
        for failing in (lambda: x.exp() @ x, y.backward, lambda: x[5]):
            with contextlib.suppress(MinigradError):
                failing()

    assert_flat(step)


# -- depth -----------------------------------------------------------------------------


def long_chain(n):
    x = mg.ones(1, requires_grad=True)
    y = x
    for _ in range(n):
        y = y * 1.0
    return x, y


def test_a_chain_of_a_million_nodes_forward_backward_and_gone():
    x, y = long_chain(DEEP)
    y.backward()
    assert x.grad.tolist() == [1.0]


def test_a_chain_of_a_million_nodes_is_freed_without_a_pass():
    x, y = long_chain(DEEP)
    ref = weakref.ref(x._data)
    del x, y
    assert ref() is None


@pytest.mark.parametrize(
    "step",
    [
        lambda y: y + y * 0.0,
        lambda y: mg.cat([y, y])[1:],
        lambda y: y.split(1)[0],
    ],
    ids=["a ladder", "joined and cut", "pieces"],
)
def test_long_chains_of_other_shapes(step):
    x = mg.ones(1, requires_grad=True)
    y = x
    for _ in range(DEEP // 50):
        y = step(y)
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [1.0]
    del y


def test_a_long_chain_of_second_order():
    x, y = long_chain(DEEP // 50)
    (g,) = mg.grad(y * y, x, create_graph=True)
    (second,) = mg.grad(g, x)
    assert second.tolist() == [2.0]
