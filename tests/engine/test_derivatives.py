"""vjp, jvp, hvp, jacobian and hessian: against each other, and against differences."""

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FINITE_DIFFERENCE, FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.gradchecks import STEP

RNG = np.random.default_rng(5)
X, Y = RNG.uniform(0.5, 1.5, (2, 3)), RNG.uniform(0.5, 1.5, 3)
W = mg.tensor(RNG.uniform(-1, 1, (3, 4)), requires_grad=True)


def two(x, y):
    """Two outputs, of which one ignores an input; every kind of op."""
    z = mg.softmax(x @ W, -1)
    return (z * (x * y).sum() + mg.relu(x)[:, :1], (y**3 / (1 + y)).tanh())


def one(x, y):
    a, b = two(x, y)
    return (a * a).sum() * b.logsumexp(0) + x.max()


def data(*arrays):
    return tuple(mg.tensor(a, mg.float64) for a in arrays)


def draw(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return data(*(rng.standard_normal(s) for s in shapes))


def close(a, b):
    return relative_error(a.detach().numpy(), b.detach().numpy()) <= FLOAT64_RTOL


def inner(us, vs):
    return sum((u * v).sum() for u, v in zip(us, vs, strict=True))


def test_pushing_and_pulling_are_adjoint():
    xs = data(X, Y)
    ys, pull = mg.vjp(two, *xs)
    ts, us = draw(X.shape, Y.shape, seed=1), draw(*(y.shape for y in ys), seed=2)
    again, pushed = mg.jvp(two, xs, ts)
    assert all(map(close, again, ys))
    assert close(inner(us, pushed), inner(pull(us), ts))
    assert all(map(close, pull(us), pull(list(us))))


def test_a_jvp_is_a_difference():
    xs, ts, h = data(X, Y), draw(X.shape, Y.shape), STEP
    _, pushed = mg.jvp(two, xs, ts)
    ends = [two(*(x + s * h * t for x, t in zip(xs, ts, strict=True))) for s in (1, -1)]
    for p, up, down in zip(pushed, *ends, strict=True):
        slope = ((up - down) / (2 * h)).detach().numpy()
        assert relative_error(p.detach().numpy(), slope) <= FINITE_DIFFERENCE


def test_the_rows_of_a_jacobian_make_its_products():
    xs = data(X, Y)
    ts = draw(X.shape, Y.shape)
    _, pushed = mg.jvp(two, xs, ts)
    blocks = mg.jacobian(two, *xs)
    for row, p, y in zip(blocks, pushed, two(*xs), strict=True):
        assert [b.shape for b in row] == [(*y.shape, *x.shape) for x in xs]
        total = sum(
            b.reshape(-1, t.numel()) @ t.reshape(-1)
            for b, t in zip(row, ts, strict=True)
        )
        assert close(total.reshape(p.shape), p)


def test_a_hessian_is_symmetric_and_makes_the_hvp():
    xs, vs = data(X, Y), draw(X.shape, Y.shape)
    y, products = mg.hvp(one, xs, vs)
    assert close(y, one(*xs))
    blocks = mg.hessian(one, *xs)
    assert close(blocks[0][1].permute(2, 0, 1), blocks[1][0])
    for i, product in enumerate(products):
        total = sum(
            blocks[i][j].reshape(xs[i].numel(), -1) @ v.reshape(-1)
            for j, v in enumerate(vs)
        )
        assert close(total.reshape(product.shape), product)


def test_structures_follow_the_function_and_the_number_of_inputs():
    x, y = data(X, Y)
    assert mg.vjp(mg.exp, x)[0].shape == X.shape
    assert isinstance(mg.vjp(mg.exp, x)[1](x), tuple)
    assert mg.jvp(lambda x: (x,), (x,), (x,))[1][0].shape == X.shape
    assert mg.jacobian(mg.exp, x).shape == (2, 3, 2, 3)
    assert mg.jacobian(lambda x: (x, x), x)[1].shape == (2, 3, 2, 3)
    blocks = mg.jacobian(lambda x: [x, x * x], x)  # a list, as vjp and jvp take it
    assert len(blocks) == 2 and close(blocks[1], mg.jacobian(lambda x: x * x, x))
    assert mg.jacobian(mg.mul, x, y)[1].shape == (2, 3, 3)
    assert mg.jacobian(lambda x: x[:0], x).shape == (0, 3, 2, 3)
    assert mg.hessian(mg.sum, x).shape == (2, 3, 2, 3)
    assert mg.hessian(lambda x: (x.sum(),), x).shape == (2, 3, 2, 3)


def test_what_does_not_depend_on_an_input_has_zeros():
    x, y = data(X, Y)
    assert mg.vjp(lambda x, y: x * 2, x, y)[1](x)[1].tolist() == [0, 0, 0]
    assert mg.jvp(lambda x: mg.ones(2), (y,), (y,))[1].tolist() == [0, 0]
    assert mg.hvp(lambda x: x.sum(), (y,), (y,))[1][0].tolist() == [0, 0, 0]
    assert mg.jacobian(lambda x, y: (x, y), y, y)[0][1].tolist() == [[0] * 3] * 3


def test_a_capture_is_a_constant_even_if_it_came_from_the_input():
    x = mg.tensor(Y, requires_grad=True)
    square = x * x
    _, pull = mg.vjp(lambda a: a * square, x)
    assert close(pull(mg.ones_like(x))[0], square)
    _, pull = mg.vjp(lambda a, b: a * b.exp(), x, x)
    assert close(pull(mg.ones_like(x))[0], x.exp())


@pytest.mark.parametrize("name", ["vjp", "jvp", "hvp", "jacobian"])
def test_they_can_be_differentiated_by_inputs_directions_and_captures(name):
    def derived(x, t, w):
        def cubic(x):
            return (x**3 * w).sum()

        return {
            "vjp": lambda: mg.vjp(cubic, x)[1](t.sum())[0],
            "jvp": lambda: mg.jvp(cubic, (x,), (t,)),
            "hvp": lambda: mg.hvp(cubic, (x,), (t,))[1],
            "jacobian": lambda: mg.jacobian(cubic, x) * t,
        }[name]()

    leaves = [mg.tensor(x.numpy(), requires_grad=True) for x in draw(3, 3, 3)]
    assert mg.gradcheck(derived, leaves)
    assert mg.gradgradcheck(derived, leaves)


def test_one_inside_another():
    (x, t) = draw(3, 3)
    first = mg.jvp(lambda x: mg.jvp(lambda x: x**3, (x,), (t,))[1], (x,), (t,))[1]
    assert close(first, 6 * x * t * t)
    assert not first.requires_grad


def test_results_have_a_history_only_if_there_is_one_outside():
    (x,) = data(Y)
    leaf = mg.tensor(Y, requires_grad=True)
    for inputs, wanted in [((x,), False), ((leaf,), True)]:
        y, pull = mg.vjp(mg.exp, *inputs)
        found = [y, *pull(x), *mg.jvp(mg.exp, inputs, (x,)), mg.jacobian(mg.exp, leaf)]
        assert [z.requires_grad for z in found] == [wanted] * 4 + [True]
        with mg.no_grad():
            y, pull = mg.vjp(mg.exp, *inputs)
            found = [y, *pull(x), *mg.jvp(mg.exp, inputs, (x,))]
            assert not any(z.requires_grad for z in found)
            assert close(found[1], x * x.exp())
    assert mg.vjp(lambda x: x * leaf, x)[0].requires_grad
    assert leaf.grad is None


def test_they_can_be_traced():
    def pushed(x, t):
        return mg.jvp(lambda x: mg.softmax(x, -1), (x,), (t,))[1]

    x, t = draw((2, 3), (2, 3))
    program, captured = mg.trace(pushed, x, t)
    x, t = draw((2, 3), (2, 3), seed=9)
    (found,) = program.run(x.numpy(), t.numpy(), *captured)
    assert relative_error(found, pushed(x, t).numpy()) <= FLOAT64_RTOL


F32 = mg.ones(3)
BAD = {
    "no input": (lambda x: mg.vjp(mg.exp), ArgumentError, "give an input"),
    "an integer": (lambda x: mg.vjp(mg.exp, mg.arange(3)), DTypeError, "input 0 must"),
    "an array": (lambda x: mg.jacobian(mg.exp, Y), DTypeError, "not ndarray"),
    "an integer output": (
        lambda x: mg.jacobian(mg.argmax, x),
        DTypeError,
        "output 0 of the function must be float",
    ),
    "no tensor": (lambda x: mg.vjp(lambda x: 1.0, x), DTypeError, "not float"),
    "a cotangent's shape": (
        lambda x: mg.vjp(mg.sum, x)[1](x),
        ShapeError,
        "cotangent 0 must have the shape",
    ),
    "cotangents": (
        lambda x: mg.vjp(mg.exp, x)[1]((x, x)),
        ShapeError,
        "cotangents: 1 are needed, not 2",
    ),
    "a tangent's dtype": (
        lambda x: mg.jvp(mg.exp, (x,), (F32,)),
        DTypeError,
        "tangent 0 must be float64",
    ),
    "tangents": (
        lambda x: mg.jvp(mg.exp, (x,), ()),
        ShapeError,
        "tangents: 1 are needed, not 0",
    ),
    "no scalar": (lambda x: mg.hvp(mg.exp, (x,), (x,)), ShapeError, "one scalar"),
    "a hessian of no scalar": (
        lambda x: mg.hessian(lambda x: x**2, x),
        ShapeError,
        r"hessian: fn must return one scalar; it returned \[float64\(3,\)\]",
    ),
    "a hessian of two": (
        lambda x: mg.hessian(lambda x: [x.sum(), x.max()], x),
        ShapeError,
        "hessian: fn must return one scalar",
    ),
    "a vector's shape": (
        lambda x: mg.hvp(mg.sum, (x,), (x[:1],)),
        ShapeError,
        "vector 0 must have the shape",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests(name):
    call, error, match = BAD[name]
    with pytest.raises(error, match=match):
        call(*data(Y))
