"""The tape: what backward() and grad() give, keep, refuse and leave alone."""

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, GraphError, ShapeError
from minigrad.op import OPS


def leaf(*values):
    return mg.tensor(list(values), mg.float64, requires_grad=True)


# -- accumulation ----------------------------------------------------------------------


def test_a_tensor_that_is_used_twice_gets_both_gradients():
    x = leaf(3.0)
    (x * x + 2 * x).backward()
    assert x.grad.tolist() == [8.0]


@pytest.mark.parametrize("uses", [1, 2, 3, 4, 7])
def test_many_uses_are_summed_and_no_cotangent_is_overwritten(uses):
    x, y = leaf(1.0, 2.0), leaf(5.0, 6.0)
    shared = mg.tensor([1.0, 10.0], mg.float64)
    total = x + y
    for _ in range(uses - 1):
        total = total + x
    total.backward(shared)
    assert x.grad.tolist() == [uses, 10.0 * uses]
    assert y.grad.tolist() == shared.tolist() == [1.0, 10.0]


def test_two_leaves_may_share_one_cotangent():
    x, y = leaf(1.0), leaf(2.0)
    (x + y).sum().backward()
    (x + x).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([3.0], [1.0])


def test_backward_accumulates_and_none_resets():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    first = x.grad
    (3 * x).sum().backward()
    assert first.tolist() == [2.0, 4.0] and x.grad.tolist() == [5.0, 7.0]
    x.grad = None
    assert x.grad is None
    (3 * x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_grad_leaves_every_grad_alone():
    x = leaf(1.0)
    x.grad = leaf(7.0)
    mg.grad(x * x, x)
    assert x.grad.tolist() == [7.0]


def test_infinities_that_cancel_give_no_warning():
    x = mg.zeros(1, requires_grad=True)
    (x.sqrt() - 2 * x.sqrt()).sum().backward()
    assert np.isnan(x.grad.tolist())


# -- one pass, or more -----------------------------------------------------------------


def test_a_second_pass_needs_the_graph_to_be_retained():
    x = leaf(2.0)
    y = (x * x).exp()
    y.backward(retain_graph=True)
    first = x.grad.tolist()
    y.backward()
    assert x.grad.tolist() == [2 * first[0]]
    with pytest.raises(GraphError, match="retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [2 * first[0]]
    with pytest.raises(GraphError, match="retain_graph=True"):
        (y * 2).backward()


def test_only_what_was_walked_is_let_go():
    x = leaf(2.0)
    h = x * x
    (g,) = mg.grad((3 * h).sum(), h)
    h.backward(g)
    assert x.grad.tolist() == [12.0]


def test_a_freed_tensor_is_still_a_place_to_stop_at_but_not_to_pass():
    x, w = leaf(2.0, 3.0), leaf(5.0)
    _, k = (x * x).split(1)
    k.sum().backward()
    assert mg.grad((w * k).sum(), k)[0].tolist() == [5.0]
    y = (w * k * x).sum()
    # x stands behind k too, and may do so behind each other pair: that is forgotten.
    for inputs in ([k, x], [x], [w], [k, w]):
        with pytest.raises(GraphError, match="already walked"):
            mg.grad(y, inputs)
    with pytest.raises(GraphError, match="already walked"):
        y.backward()


def test_create_graph_retains_and_its_gradients_can_be_differentiated():
    x = leaf(2.0)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = mg.grad(y, x, create_graph=True)
        assert y.tolist() == [expected]


def test_backward_with_create_graph_gives_a_grad_with_a_history():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    assert mg.grad(x.grad, x)[0].tolist() == [12.0]
    x.grad = None


@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
@pytest.mark.parametrize("recorded", ["rn", "nr", "rnr", "rrn", "nrn"])
def test_a_grad_keeps_its_history_when_a_plain_pass_adds_to_it(recorded):
    found = []
    for library in (mg, torch):
        x = library.tensor([2.0, -0.5], requires_grad=True)
        for kind in recorded:
            y = x**3 if kind == "r" else 5 * x**2  # a constant to the derivative
            y.sum().backward(create_graph=kind == "r")
        grad = x.grad
        x.grad = None
        (grad**2).sum().backward()
        found.append((grad.tolist(), x.grad.tolist()))
        x.grad = None
    assert found[0] == found[1]


def test_plain_passes_that_add_to_a_history_leave_nothing_behind():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    before = x.grad._node
    for _ in range(3):
        (x * 2.0).backward()
    assert x.grad._node is before and x.grad.tolist() == [18.0]
    assert mg.grad(x.grad, x)[0].tolist() == [12.0]
    x.grad = None


def test_without_create_graph_nothing_has_a_history():
    x, g = leaf(2.0), leaf(1.0)
    for y in (x + 1, x * 3, x):
        found = mg.grad(y, x, g)[0]
        assert not found.requires_grad
    (x + 1).backward(g)
    assert not x.grad.requires_grad


def test_with_create_graph_the_cotangent_keeps_its_history():
    x, g = leaf(2.0), leaf(5.0)
    (found,) = mg.grad(x * x, x, g, create_graph=True)
    assert [d.tolist() for d in mg.grad(found, [x, g])] == [[10.0], [4.0]]


# -- what is asked for -----------------------------------------------------------------


def test_inputs_may_be_intermediate_repeated_or_the_output():
    x = leaf(2.0, 3.0)
    h = x * x
    y = (h * h).sum()
    found = mg.grad(y, [h, x, h, y])
    expected = [[8.0, 18.0], [32.0, 108.0], [8.0, 18.0], 1.0]
    assert [g.tolist() for g in found] == expected


def test_outputs_may_be_several_and_repeated():
    x = leaf(2.0)
    y, z = x * x, 3 * x
    ones = [mg.ones(1, dtype=mg.float64)] * 3
    assert mg.grad([y, z, y], x, ones)[0].tolist() == [11.0]


def test_inputs_may_be_a_generator():
    layer = nn.Linear(2, 1)
    found = mg.grad(layer(mg.ones(1, 2)).sum(), layer.parameters())
    assert [g.shape for g in found] == [(1, 2), (1,)]


def test_unused_inputs_raise_or_are_none():
    x, unused = leaf(2.0), leaf(1.0)
    with pytest.raises(GraphError, match=r"input 1.*allow_unused=True"):
        mg.grad(x * x, [x, unused])
    found = mg.grad(x * x, [x, unused], allow_unused=True)
    assert found[0].tolist() == [4.0] and found[1] is None


def test_what_is_not_asked_for_is_not_computed(monkeypatch):
    def explode(*_):
        raise AssertionError("nobody asked for this")

    x, w = leaf(2.0), leaf(3.0)
    monkeypatch.setitem(OPS["mul"].vjps, "y", explode)
    assert mg.grad(x * w, x)[0].tolist() == [3.0]
    w.requires_grad_(False)
    (x * w).backward()
    assert x.grad.tolist() == [3.0]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: (2 * x).backward(), GraphError, "only a scalar"),
        (lambda x: (2 * x).backward(mg.ones(3)), ShapeError, "shape (2,)"),
        (lambda x: (2 * x).backward(mg.ones(2)), DTypeError, "must be float64"),
        (lambda x: (2 * x).backward(np.ones(2)), DTypeError, "must be a Tensor"),
        (lambda x: mg.ones(2).sum().backward(), GraphError, "does not require grad"),
        (lambda x: mg.grad(x.sum(), mg.ones(2)), GraphError, "input 0 does not"),
        (lambda x: mg.grad([x.sum()], x, []), ShapeError, "1 outputs need"),
        (lambda x: mg.grad(3.0, x), DTypeError, "output must be a Tensor"),
        (lambda x: mg.grad(x.sum(), None), DTypeError, "input 0 must be a Tensor"),
        (lambda x: setattr(x, "grad", np.ones(2)), DTypeError, "grad must be a Tensor"),
        (lambda x: setattr(x, "grad", mg.ones(3)), ShapeError, "shape (2,)"),
        (lambda x: setattr(x * 2, "grad", x), GraphError, "only a leaf"),
        (lambda x: (x * 2).requires_grad_(False), GraphError, "only a leaf"),
    ],
)
def test_bad_requests(call, error, match):
    with pytest.raises(error) as caught:
        call(leaf(1.0, 2.0))
    assert match in str(caught.value)


# -- several outputs -------------------------------------------------------------------

SEVERAL = {
    "split": lambda x: x.split([1, 3], 1),
    "unbind": lambda x: x.unbind(0),
    "chunk": lambda x: x.chunk(2, -1),
    "max": lambda x: x.max(1)[:1],
    "min": lambda x: x.min(0, keepdim=True)[:1],
}


@pytest.mark.parametrize("used", ["the first", "the last", "all"])
@pytest.mark.parametrize("name", SEVERAL)
def test_an_output_that_nobody_used_has_no_gradient(name, used):
    data = np.random.default_rng(0).standard_normal((3, 4))

    def run(x):
        parts = SEVERAL[name](x)
        chosen = {"the first": parts[:1], "the last": parts[-1:], "all": parts}[used]
        return tuple(part * part for part in chosen)

    x = mg.tensor(data, requires_grad=True)
    assert mg.gradcheck(run, [x])
    assert mg.gradgradcheck(run, [x])


def test_a_missing_cotangent_stays_missing(monkeypatch):
    x = leaf(1.0, 2.0)
    vjp, seen = OPS["split"].vjps["x"], []

    def watch(gs, *rest):
        seen.append([g is None for g in gs])
        return vjp(gs, *rest)

    monkeypatch.setitem(OPS["split"].vjps, "x", watch)
    mg.split(x, 1)[1].sum().backward()
    assert seen == [[True, False]]
    assert x.grad.tolist() == [0.0, 1.0]


# -- all of the gradients, or none -----------------------------------------------------


@pytest.mark.parametrize("earlier", [None, 7.0], ids=["no grad yet", "a grad already"])
def test_a_vjp_that_raises_leaves_every_grad_as_it_was(monkeypatch, earlier):
    x, w = leaf(2.0), leaf(3.0)
    for p in (x, w):
        p.grad = None if earlier is None else leaf(earlier).detach()
    before = x.grad, w.grad
    y = x.tanh() * w

    def explode(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(OPS["tanh"].vjps, "x", explode)
    with pytest.raises(KeyboardInterrupt):
        y.backward()
    assert (x.grad, w.grad) == before
    assert mg.is_grad_enabled()


def test_a_parameter_that_is_assigned_leaves_the_old_graph_right():
    p = nn.Parameter([3.0])
    y = (p * p).sum()
    p.assign([100.0])
    y.backward(retain_graph=True)
    assert y.item() == 9.0 and p.grad.tolist() == [6.0]
    p.grad = None
    (p * p).sum().backward()
    assert p.grad.tolist() == [200.0]
    with pytest.raises(ShapeError, match="expected an array of shape"):
        p.assign([1.0, 2.0])


def test_a_gradient_does_not_change_when_the_next_one_comes():
    p = nn.Parameter([3.0])
    (p * p).sum().backward()
    kept = p.grad.numpy()
    (p * p).sum().backward()
    assert kept.tolist() == [6.0] and p.grad.tolist() == [12.0]


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(
    "name", ["amax", "logsumexp", "mean", "norm", "std", "sum", "var"]
)
def test_a_list_of_dims_may_change_before_the_backward(name, recorded):
    x = mg.tensor(np.arange(9.0).reshape(3, 3) ** 2, requires_grad=True)
    found = []
    for changed in (False, True):
        dims = [0]
        y = (getattr(x, name)(dim=dims, keepdim=True) * x).sum()
        if changed:
            dims[0] = 1
        slope = mg.grad(y, x, create_graph=recorded)[0]
        found.append(slope.tolist())
    assert found[0] == found[1]
