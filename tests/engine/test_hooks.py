"""Hooks read, or replace, a gradient on its way, once it is complete."""

import gc
import weakref

import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GraphError, ShapeError


def leaf(*values):
    return mg.tensor(list(values), mg.float64, requires_grad=True)


@pytest.fixture
def seen():
    return []


def test_a_hook_sees_the_complete_gradient_once(seen):
    x = leaf(1.0, 2.0)
    middle = x * 3
    middle.register_hook(lambda g: seen.append(("middle", g.tolist())))
    x.register_hook(lambda g: seen.append(("x", g.tolist())))
    (middle * middle + middle.exp() * 0 + x).sum().backward()
    assert seen == [("middle", [6.0, 12.0]), ("x", [19.0, 37.0])]
    assert x.grad.tolist() == [19.0, 37.0]


def test_what_a_hook_returns_goes_on_and_to_the_next_hook(seen):
    x = leaf(1.0, 2.0)
    middle = x * 3
    middle.register_hook(lambda g: g * 10)
    middle.register_hook(lambda g: seen.append(g.tolist()))
    middle.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: -g)
    middle.sum().backward()
    assert seen == [[10.0, 10.0]] and x.grad.tolist() == [-33.0, -33.0]
    assert not x.grad.requires_grad


def test_a_hook_runs_in_every_pass_until_it_is_removed(seen):
    x = leaf(1.0)
    handles = [x.register_hook(lambda g, n=n: seen.append(n)) for n in range(3)]
    (x * 2).backward()
    handles[1].remove()
    handles[1].remove()
    (x * 2).backward()
    assert seen == [0, 1, 2, 0, 2]


def test_a_hook_may_remove_itself(seen):
    x = leaf(1.0)
    once = x.register_hook(lambda g: (seen.append(1), once.remove())[1])
    x.register_hook(lambda g: seen.append(2))
    for _ in range(2):
        (x * 2).backward()
    assert seen == [1, 2, 2]


def test_outputs_inputs_of_grad_and_one_output_of_many(seen):
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = (x * 1).split(2)
    for name, tensor in ("a", a), ("b", b):
        tensor.register_hook(lambda g, name=name: seen.append((name, g.tolist())))
    y = (b * b).sum()
    y.register_hook(lambda g: 2 * g)
    (found,) = mg.grad(y, b, retain_graph=True)
    assert found.tolist() == [12.0, 16.0]
    y.backward()
    assert x.grad.tolist() == [0.0, 0.0, 12.0, 16.0]
    assert seen == [("b", [12.0, 16.0])] * 2


def test_a_pass_that_does_not_need_the_gradient_does_not_call(seen):
    x, y = leaf(1.0), leaf(2.0)
    middle = x * 2
    middle.register_hook(seen.append)
    x.register_hook(seen.append)
    other = x * 3
    other.register_hook(seen.append)
    mg.grad([middle * y, other], y)
    assert seen == []


def test_a_replacement_brings_no_history_into_a_pass_that_records_none():
    x, other = leaf(1.0), leaf(5.0)
    mine = other * 2
    x.register_hook(lambda g: mine)
    (x * 2).backward()
    assert x.grad.tolist() == [10.0] and not x.grad.requires_grad


def test_a_hook_takes_part_in_create_graph():
    x, scale = leaf(2.0), leaf(3.0)
    middle = x * x
    middle.register_hook(lambda g: g * scale * x.detach())
    (first,) = mg.grad(middle, x, create_graph=True)
    assert first.tolist() == [24.0]
    assert [g.tolist() for g in mg.grad(first, [x, scale])] == [[12.0], [8.0]]


def test_a_parameter_keeps_its_hook_over_steps(seen):
    layer = mg.nn.Linear(2, 1)
    layer.weight.register_hook(lambda g: seen.append(1))
    optimiser = mg.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        layer(mg.ones(1, 2)).sum().backward()
        optimiser.step()
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("hook", "error", "match"),
    [
        (lambda g: g.sum(), ShapeError, "what a hook returns must have the shape"),
        (lambda g: g.float(), DTypeError, "what a hook returns must be float64"),
        (lambda g: 1.0, DTypeError, "what a hook returns must be a Tensor"),
        (lambda g: 1 / 0, ZeroDivisionError, "division"),
    ],
    ids=["shape", "dtype", "type", "its own"],
)
def test_a_hook_that_fails_leaves_every_grad_alone(hook, error, match):
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    middle = x * 2
    middle.register_hook(hook)
    with pytest.raises(error, match=match):
        (middle * y).sum().backward()
    assert x.grad is None and y.grad is None


def test_a_tensor_without_a_gradient_takes_no_hook():
    with pytest.raises(GraphError, match="requires grad"):
        mg.ones(2).register_hook(print)


def test_hooks_die_with_the_graph_and_handles_keep_nothing():
    class Hook:
        def __call__(self, g):
            return None

    gc.disable()
    try:
        x, hook = leaf(1.0), Hook()
        gone, middle = weakref.ref(hook), x * 2
        handle = middle.register_hook(hook)
        middle.backward()
        handle.remove()
        del hook
        assert gone() is None
        hook = Hook()
        gone = weakref.ref(hook)
        middle.register_hook(hook)
        del hook, middle, handle
        assert gone() is None
    finally:
        gc.enable()
