"""A user's own op is checked when it is defined, and is an op like the others."""

import contextlib
import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, DTypeError
from minigrad.gradchecks import GradcheckError
from minigrad.op import OPS, Array, Arrays, Index
from minigrad.samples import floats, ints, sample

pytestmark = pytest.mark.usefixtures("op_table")


def scaled_cube(x: Array, y: Array, scale: float = 2.0) -> Array:
    return scale * x**3 + y


RIGHT = {
    "x": lambda g, z, x, y, scale: 3 * scale * x * x * g,
    "y": lambda g, z, x, y, scale: g,
}
SAMPLES = [sample(floats(2, 3), floats(3)), sample(floats(2), floats(2), scale=3.0)]


def define(forward=scaled_cube, samples=SAMPLES, **vjps):
    return mg.custom_op(samples, vjps or RIGHT)(forward)


def test_it_is_an_op_like_the_others():
    op = define()
    assert OPS["scaled_cube"] is op is copy.deepcopy(op)
    assert pickle.loads(pickle.dumps(op)) is op
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.tensor(1.0, requires_grad=True)
    op(x, y, scale=1.0).sum().backward()
    assert x.grad.tolist() == [3.0, 12.0] and y.grad.item() == 2.0
    program, _ = mg.trace(op, mg.ones(2), mg.ones(2))
    assert "scaled_cube(%0, %1, 2.0)" in str(program)
    assert mg.hessian(lambda x: op(x, x).sum(), mg.tensor(2.0)).item() == 24.0


def test_any_number_of_inputs_and_indices_and_outputs():
    def total(xs: Arrays) -> Array:
        return sum(xs)

    def rows(x: Array, index: Index) -> tuple[Array, Array]:
        return x[index], x * 2

    def spread(gs, ys, x, index):
        row, twice = gs
        found = mg.zeros_like(x) if twice is None else 2 * twice
        return found if row is None else found + mg.ops.put(row, (index,), x.shape)

    define(total, [sample([floats(2), floats(2)])], xs=lambda i, g, y, xs: g)
    define(rows, [sample(floats(4), ints(3, high=4))], x=spread)


WRONG = {
    "the first": ({"x": lambda g, z, x, y, s: 2 * s * x * x * g}, "the VJP by x is"),
    "the second": ({"y": lambda g, z, x, y, s: g * x}, "the VJP by y is"),
    "a parameter ignored": (
        {"x": lambda g, z, x, y, s: 6 * x * x * g},
        r"scaled_cube\(float64\(2,\), float64\(2,\), 3.0\): the VJP by x",
    ),
    "not made of ops": (
        {"x": lambda g, z, x, y, s: g * 3 * s * x.detach() ** 2},
        "the derivative of the VJPs by x is",
    ),
    "the cotangent stops": (
        {"y": lambda g, z, x, y, s: g.detach()},
        "the derivative of the VJPs by the cotangent of output 0",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_vjp_is_refused_and_leaves_no_op(name):
    vjps, match = WRONG[name]
    with pytest.raises(GradcheckError, match=match) as caught:
        define(**{**RIGHT, **vjps})
    assert "finite differences say" in str(caught.value)
    assert "OPS['scaled_cube']" in str(caught.value)
    assert "scaled_cube" not in OPS


def test_a_missing_vjp_is_refused():
    with pytest.raises(GradcheckError, match=r"the VJP by y is wrong.*is 0.0"):
        define(x=RIGHT["x"])


def test_it_may_be_defined_again_and_a_failure_keeps_the_one_before():
    first = define()
    second = define()
    assert OPS["scaled_cube"] is second is not first
    with pytest.raises(GradcheckError):
        define(x=RIGHT["y"], y=RIGHT["y"])
    assert OPS["scaled_cube"] is second


def test_bad_requests():
    def exp(x: Array) -> Array:
        return np.exp(x)

    with pytest.raises(ArgumentError, match="has an op named exp"):
        define(exp, x=lambda g, y, x: g * y)
    with pytest.raises(ArgumentError, match="no input is named"):
        define(z=RIGHT["x"])
    for samples in ([], [sample(floats(2), floats(2), kink=True)], [sample(1.0, 2.0)]):
        with pytest.raises(ArgumentError, match="no sample of scaled_cube has"):
            define(samples=samples)
    assert "scaled_cube" not in OPS


def test_a_method_may_be_a_vjp():
    class Rules:
        def x(self, g, y, x):
            return g * (x + x)

    @mg.custom_op([sample(floats(2, 3))], {"x": Rules().x})
    def squared(x: Array) -> Array:
        return x * x

    # So large that a node lets go of what no VJP looks at.
    x = mg.full((1 << 17,), 3.0, requires_grad=True)
    (g,) = mg.grad(squared(x * 1.0).sum(), x)
    assert g.numpy().min() == g.numpy().max() == 6


def test_a_forward_that_makes_other_floats_is_refused():
    with pytest.raises(DTypeError, match="twice makes float64 of float32"):

        @mg.custom_op([sample(floats(2, 3))], {"x": lambda g, y, x: g * 2.0})
        def twice(x: Array) -> Array:
            return x * np.float64(2.0)


def test_a_forward_may_make_what_is_no_float_and_float64_of_float64():
    def parted(x: Array) -> tuple[Array, Array]:
        return x * np.float32(2.0), x > 0

    def wide(x: Array) -> Array:
        return x * np.float64(2.0)

    define(parted, [sample(floats(2, 3))], x=lambda gs, ys, x: 2.0 * gs[0])
    define(wide, [sample(np.ones(3))], x=lambda g, y, x: 2.0 * g)


@pytest.mark.parametrize("watched", [False, True])
def test_a_vjp_that_gives_other_floats_is_refused(watched):
    @mg.custom_op([sample(floats(2, 3))], {"x": lambda g, y, x: (g * 2.0).to(g.dtype)})
    def doubled(x: Array) -> Array:
        return x * 2.0

    doubled.vjps["x"] = lambda g, y, x: (g * 2.0).double()
    x = mg.ones(3, requires_grad=True)
    y = doubled(x).sum()
    with (
        mg.detect_anomaly() if watched else contextlib.nullcontext(),
        pytest.raises(DTypeError, match="VJP of x gives float64, and the input is"),
    ):
        y.backward()
