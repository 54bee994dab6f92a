"""In a step, tensors and tuples are of their own classes, with what was set on them."""

import typing

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error

from .traced_steps import B, N, T, check, draw


@pytest.mark.parametrize("make", [mg.nn.Parameter, mg.tensor], ids=["own", "plain"])
def test_a_stand_in_is_of_the_class_of_the_tensor(make):
    weight = make(np.eye(N))

    def step(h, x):
        h = h @ weight
        return (h + x if isinstance(weight, mg.nn.Parameter) else h * x), h

    check(step)


def test_what_is_set_on_a_tensor_is_read_and_a_number_of_it_is_part_of_the_key(traces):
    weight = mg.nn.Parameter(np.eye(N))

    def step(h, x):
        return h @ weight * getattr(weight, "scale", 1.0) + x, h

    check(step)
    for weight.scale in (2.0, 3.0, 2.0):
        check(step)
    assert len(traces) == 3
    weight.scale = mg.ones(N, dtype=mg.float64, requires_grad=True)
    check(step, leaves=[weight, weight.scale])
    (found,) = mg.explain(step, draw(B, N), draw(T, B, N))
    assert found.uncached == "an attribute 'scale' of a tensor is a Tensor"


class Loud(mg.nn.Parameter):
    scale = 2.0


class Pair(typing.NamedTuple):
    x: mg.Tensor
    mask: mg.Tensor


class Masked(Pair):
    scale = 2.0


def test_a_class_of_the_users_is_read_at_each_call(monkeypatch):
    weight, xs = Loud(np.eye(N)), draw(T, B, N)

    def reads_a_tensor(h, x):
        return h @ weight * weight.scale + x, h

    def reads_a_tuple(h, x):
        return h * x.mask + x.x * x.scale, h

    for scale in (2.0, 3.0):
        monkeypatch.setattr(Loud, "scale", scale)
        monkeypatch.setattr(Masked, "scale", scale)
        for step, given in (reads_a_tensor, xs), (reads_a_tuple, Masked(xs, xs)):
            found = mg.scan(step, draw(B, N), given)[0]
            with mg.eager_loops():
                expected = mg.scan(step, draw(B, N), given)[0]
            assert relative_error(found.detach(), expected.detach()) <= FLOAT64_RTOL
    (found,) = mg.explain(reads_a_tensor, draw(B, N), xs)
    assert found.uncached == "a tensor is a Loud"
    (found,) = mg.explain(reads_a_tuple, draw(B, N), Masked(xs, xs))
    assert found.uncached == "it is given a Masked, a class with more than names"


def test_a_step_that_is_given_names_only_is_traced_once(traces):
    def step(h, x):
        return h * x.mask + x.x, h

    xs = draw(T, B, N)
    for _ in range(2):
        mg.scan(step, draw(B, N), Pair(xs, xs))
    assert len(traces) == 1


def test_what_is_set_on_a_parameter_of_a_layer_is_seen_at_the_next_call():
    @seq.cell
    def scaled(x: "I", h: "H", *, w: "H I", u: "H H"):  # noqa: F722, F821
        return x @ w.T + h @ u.T * getattr(u, "scale", 1.0)

    layer, x = seq.Recurrent(scaled, N, N, dtype=mg.float64), draw(T, B, N)
    for scale in (None, None, 2.0, 2.0, 3.0):
        if scale:
            layer.u_l0.scale = scale
        found = layer(x)[0]
        with mg.eager_loops():
            expected = layer(x)[0]
        assert relative_error(found.detach(), expected.detach()) <= FLOAT64_RTOL
