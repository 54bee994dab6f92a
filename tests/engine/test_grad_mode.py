"""no_grad and enable_grad: nesting, exceptions, generators and threads."""

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import ArgumentError, GraphError

X = mg.ones(2, requires_grad=True)


def records():
    return (X * 2).requires_grad


def test_modes_nest():
    assert mg.is_grad_enabled() and records()
    with mg.no_grad():
        assert not mg.is_grad_enabled() and not records()
        with mg.enable_grad():
            assert mg.is_grad_enabled() and records()
            with mg.no_grad(), mg.no_grad():
                assert not records()
            assert records()
        assert not records()
    assert mg.is_grad_enabled() and records()


def test_one_guard_may_be_entered_again():
    guard = mg.no_grad()
    with guard:
        with mg.enable_grad(), guard:
            assert not records()
        assert not records()
    assert records()


@pytest.mark.parametrize("guard", [mg.no_grad, mg.enable_grad])
def test_an_exception_restores_the_mode(guard):
    with pytest.raises(ZeroDivisionError), guard():
        raise ZeroDivisionError
    assert records()


def test_as_a_decorator():
    @mg.no_grad()
    def off(fail=False):
        """What it does."""
        if fail:
            raise ZeroDivisionError
        return records()

    assert off() is False and off.__doc__ == "What it does."
    with pytest.raises(ZeroDivisionError):
        off(fail=True)
    assert records()
    assert mg.enable_grad()(off)() is False


def test_as_a_decorator_without_parentheses():
    @mg.no_grad
    def off(value):
        return records(), value

    @mg.enable_grad
    def on():
        return records()

    assert off(3) == (False, 3) and records()
    with mg.no_grad():
        assert on()
    with pytest.raises(ArgumentError, match="must be a function, not True"):
        mg.no_grad(True)
    with mg.no_grad():
        assert mg.enable_grad()(records)() is True


def test_a_generator_has_the_mode_and_its_consumer_does_not():
    @mg.no_grad()
    def steps():
        sent = yield records()
        try:
            yield sent, records()
        except ZeroDivisionError:
            yield "caught", records()
        return "done"

    generator = steps()
    assert next(generator) is False and records()
    assert generator.send("sent") == ("sent", False) and records()
    assert generator.throw(ZeroDivisionError) == ("caught", False) and records()
    with pytest.raises(StopIteration, match="done"):
        next(generator)
    assert records()


def test_a_generator_can_be_closed_and_can_raise():
    closed = []

    @mg.no_grad()
    def steps():
        try:
            yield 1
            raise ZeroDivisionError
        finally:
            closed.append(records())

    generator = steps()
    next(generator)
    generator.close()
    assert closed == [False] and records()
    with pytest.raises(ZeroDivisionError):
        list(steps())
    assert records()


def test_a_leaf_made_without_recording_is_a_leaf():
    with mg.no_grad():
        x = mg.ones(2, requires_grad=True)
        y = x * 2
    assert x.requires_grad and not y.requires_grad and y.is_leaf
    with pytest.raises(GraphError):
        y.sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_pass_works_where_nothing_is_recorded():
    y = X.exp().sum()
    with mg.no_grad():
        (g,) = mg.grad(y, X, create_graph=True)
        assert not mg.is_grad_enabled()
    assert g.requires_grad
    assert mg.grad(g.sum(), X)[0].shape == (2,)


def test_every_thread_has_a_mode_of_its_own():
    seen = {}

    def work():
        seen["fresh"] = records()
        with mg.no_grad():
            seen["inside"] = records()
            both.wait()
            both.wait()

    both = threading.Barrier(2, timeout=10)
    thread = threading.Thread(target=work)
    with mg.no_grad():
        thread.start()
        both.wait()
        with mg.enable_grad():
            seen["ours"] = records()
        both.wait()
        thread.join()
    assert seen == {"fresh": True, "inside": False, "ours": True}
    assert records()


def train(seed, results, start=None):
    """A few dozen steps of a small network; the parameters at the end."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((16, 5)), rng.integers(0, 3, 16)
    first = nn.Linear(5, 8, dtype=np.float64, generator=seed)
    second = nn.Linear(8, 3, dtype=np.float64, generator=seed + 1)
    parameters = [*first.parameters(), *second.parameters()]
    adam = optim.Adam(parameters, lr=0.01)
    if start:
        start.wait()
    for _ in range(60):
        adam.zero_grad()
        loss = mg.cross_entropy(second(mg.tanh(first(mg.tensor(x)))), y)
        loss.backward()
        with mg.no_grad():
            adam.step()
    results[seed] = [p.detach().numpy() for p in parameters]


def test_two_threads_train_two_models_as_one_after_the_other_would():
    alone, together = {}, {}
    for seed in (1, 2):
        train(seed, alone)
    start = threading.Barrier(2, timeout=10)
    threads = [
        threading.Thread(target=train, args=(seed, together, start)) for seed in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        for expected, found in zip(alone[seed], together[seed], strict=True):
            assert np.array_equal(expected, found)
