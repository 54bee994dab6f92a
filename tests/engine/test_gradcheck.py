"""The checker is checked: it rejects what is wrong, and names where."""

import re

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FINITE_DIFFERENCE, relative_error
from minigrad.errors import ArgumentError, DTypeError, MinigradError
from minigrad.gradchecks import STEP, GradcheckError
from minigrad.op import OPS, Array, Op

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
Y = np.array([[1.0, 2.0], [-1.0, 0.5], [0.25, 3.0]])


def leaf(array=X):
    return mg.tensor(array, requires_grad=True)


@pytest.fixture
def wrong():
    """Makes an op of its own for each wrong VJP, and takes them out of the table."""
    made = []

    def make(forward, **vjps):
        op = Op(forward, None, [])
        op.vjp(**vjps)
        made.append(op.name)
        return op

    yield make
    for name in made:
        del OPS[name]


def squared(x: Array) -> Array:
    return x * x


def product(x: Array, y: Array) -> Array:
    return np.matmul(x, y)


def cosine(x: Array) -> Array:
    return np.cos(x)


def right(g, y, x):
    return 2 * g * x


SQUARES = {
    "a factor of 2.001": lambda g, y, x: 2.001 * g * x,
    "the sign": lambda g, y, x: -2 * g * x,
    "half of it": lambda g, y, x: g * x,
    "zero": lambda g, y, x: 0 * g * x,
    "a constant": lambda g, y, x: g,
    "one element": lambda g, y, x: (
        2 * g * x + mg.ops.put(g[0, 0] / 100, (1, 2), x.shape)
    ),
    "NaN": lambda g, y, x: g * x * np.nan,
    "infinite": lambda g, y, x: g * x * np.inf,
    "transposed": lambda g, y, x: 2 * g * mg.reshape(x.T, x.shape),
}
PRODUCTS = {
    "y not transposed": (lambda g, z, x, y: g @ mg.reshape(y, (2, 3)), None),
    "x not transposed": (None, lambda g, z, x, y: mg.reshape(x, (3, 2)) @ g),
    "y forgotten": (lambda g, z, x, y: g @ mg.ones_like(y).T, None),
}


@pytest.mark.parametrize("name", SQUARES)
def test_a_wrong_gradient_is_rejected(wrong, name):
    op = wrong(squared, x=SQUARES[name])
    with pytest.raises(GradcheckError, match="finite differences say"):
        mg.gradcheck(op, [leaf()])
    assert mg.gradcheck(op, [leaf()], raise_exception=False) is False
    with pytest.raises(GradcheckError):
        mg.gradcheck(lambda x: op(x).exp().sum(), [leaf()])


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_wrong_gradient_of_a_product_is_rejected(wrong, name):
    x, y = PRODUCTS[name]
    rights = OPS["matmul"].vjps
    op = wrong(product, x=x or rights["x"], y=y or rights["y"])
    with pytest.raises(GradcheckError, match=f"input {int(x is None)}"):
        mg.gradcheck(op, [leaf(), leaf(Y)])


SECONDS = {
    "a factor of 2.001": lambda g, y, x: 2 * g * x + 0.0005 * (x - x.detach()),
    "the sign": lambda g, y, x: 2 * g * (2 * x.detach() - x),
    "a missing term": lambda g, y, x: 2 * g * x.detach(),
    "nothing left": lambda g, y, x: mg.tensor((2 * g * x).detach()),
    "the cotangent's term": lambda g, y, x: 2 * g.detach() * x,
    "half the cotangent's": lambda g, y, x: (g + g.detach()) * x,
}


@pytest.mark.parametrize("name", SECONDS)
def test_a_wrong_second_derivative_is_rejected(wrong, name):
    op = wrong(squared, x=SECONDS[name])
    assert mg.gradcheck(op, [leaf()])
    with pytest.raises(GradcheckError, match="finite differences say"):
        mg.gradgradcheck(op, [leaf()])
    assert mg.gradgradcheck(op, [leaf()], raise_exception=False) is False


def test_the_right_ones_pass(wrong):
    op = wrong(squared, x=right)
    assert mg.gradcheck(op, [leaf()]) and mg.gradgradcheck(op, [leaf()])
    op = wrong(product, **OPS["matmul"].vjps)
    assert mg.gradcheck(op, [leaf(), leaf(Y)])
    assert mg.gradgradcheck(op, [leaf(), leaf(Y)])


def test_a_gradient_that_stops_is_rejected():
    with pytest.raises(GradcheckError, match=r"is 0.0; finite differences say 2"):
        mg.gradcheck(lambda x: 2 * x.detach(), [leaf()])
    assert mg.gradcheck(lambda x: x.sign().detach(), [leaf()])


def test_a_jump_to_infinity_is_rejected():
    with pytest.raises(GradcheckError, match=r"\[1\].*is 1.0; .* say inf"):
        mg.gradcheck(lambda x: mg.where(x > 0.5, np.inf, x), [leaf(np.array([0, 0.5]))])


def test_the_message_names_the_worst_element(wrong):
    weights = mg.tensor([[0.0, 0.1, 0.0], [0.0, 0.0, 5.0]], mg.float64)
    op = wrong(cosine, x=lambda g, y, x: g * (weights - x.detach().tanh()))
    with pytest.raises(GradcheckError) as caught:
        mg.gradcheck(lambda a, x: (x * a, op(x) * a), [mg.ones_like(leaf()), leaf()])
    place, said, there = re.fullmatch(
        r"gradcheck: d (.*) \(flat indices\) is (.*); finite differences say (.*)",
        str(caught.value).splitlines()[0],
    ).groups()
    assert place == "output 1[5] / d input 1[5]"
    assert float(said) == 5.0 - np.tanh(X[1, 2])
    assert relative_error(float(there), -np.sin(X[1, 2])) <= FINITE_DIFFERENCE
    assert isinstance(caught.value, MinigradError)
    assert isinstance(caught.value, AssertionError)


def test_every_input_and_every_output_is_checked():
    def stops(stop_at):
        def function(*xs):
            parts = [x.detach() if i == stop_at[0] else x for i, x in enumerate(xs)]
            both = [parts[0] * parts[1], parts[0] + parts[1]]
            other = [xs[0] * xs[1], xs[0] + xs[1]]
            return tuple(
                b if j == stop_at[1] else o
                for j, (b, o) in enumerate(zip(both, other, strict=True))
            )

        return function

    for i in range(2):
        for j in range(2):
            with pytest.raises(GradcheckError, match=rf"output {j}.* input {i}"):
                mg.gradcheck(stops((i, j)), [leaf(), leaf(X + 3)])


def test_only_what_requires_grad_is_moved():
    fixed, ids = mg.tensor(X), mg.tensor([1, 0, 1])
    assert mg.gradcheck(
        lambda x, c, i, p: (x * c.detach() ** p)[i], [leaf(), fixed, ids, 2]
    )
    with pytest.raises(GradcheckError):
        mg.gradcheck(lambda x, c: x * c.detach(), [leaf(), leaf()])


def test_one_tensor_may_be_two_inputs():
    x = leaf()
    assert mg.gradcheck(lambda a, b: a * b.exp(), [x, x])
    assert mg.gradgradcheck(lambda a, b: a * b.exp(), [x, x])


def test_integer_outputs_and_empty_ones_are_passed_over():
    assert mg.gradcheck(lambda x: (x.argmax(1), x.max(1).values), [leaf()])
    assert mg.gradcheck(lambda x: x[:0], [leaf()])
    assert mg.gradgradcheck(lambda x: (x > 0, x * x), [leaf()])


@pytest.mark.parametrize("check", [mg.gradcheck, mg.gradgradcheck])
@pytest.mark.parametrize(
    ("function", "inputs", "error", "match"),
    [
        (mg.exp, [mg.ones(2, requires_grad=True)], DTypeError, "input is float32"),
        (lambda x: x.float(), [leaf()], DTypeError, "output is float32"),
        (mg.exp, [mg.tensor(X)], ArgumentError, "nothing to check"),
        (lambda x: x > 0, [leaf()], ArgumentError, "nothing to check"),
    ],
    ids=["float32 in", "float32 out", "nothing in", "nothing out"],
)
def test_what_can_not_be_checked_is_refused(check, function, inputs, error, match):
    with pytest.raises(error, match=match):
        check(function, inputs)


@pytest.mark.parametrize("check", [mg.gradcheck, mg.gradgradcheck])
def test_a_function_of_the_inputs_themselves_is_refused(check):
    net, x = mg.nn.Linear(3, 2, dtype=mg.float64), mg.tensor(X)
    with pytest.raises(ArgumentError, match="reads input 0 itself, not the argument"):
        check(lambda *parameters: net(x), [*net.parameters()])
    w = leaf()
    with pytest.raises(ArgumentError, match="reads input 1 itself"):
        check(lambda x, unused: x * w, [leaf(), w])
    assert check(lambda x: x * w, [leaf()])


def test_grads_and_inputs_are_left_alone():
    x = leaf()
    x.grad = mg.tensor(X)
    mg.gradgradcheck(mg.exp, [x])
    assert np.array_equal(x.grad.numpy(), X)
    assert np.array_equal(x.detach().numpy(), X)


# -- along random directions -----------------------------------------------------------


@pytest.mark.parametrize("name", SQUARES)
def test_a_random_direction_finds_what_every_entry_finds(wrong, name):
    op = wrong(squared, x=SQUARES[name])
    with pytest.raises(GradcheckError, match=r"d output 0\[\d\] / d input 0\[\d\]"):
        mg.gradcheck(op, [leaf()], directional=True)
    assert not mg.gradcheck(op, [leaf()], False, directional=True, seed=3)


@pytest.mark.parametrize("name", SECONDS)
def test_a_random_direction_finds_a_wrong_second_derivative(wrong, name):
    op = wrong(squared, x=SECONDS[name])
    with pytest.raises(GradcheckError, match=r"gradgradcheck: of the gradient, d out"):
        mg.gradgradcheck(op, [leaf()], directional=True)


def test_directions_call_the_function_twice_an_input_and_pass_what_is_right():
    calls = []

    def function(x, y, z):
        calls.append(1)
        return (x * y.sum()).exp().sum() / 1e3, x @ x.T, (y - y.detach()) * z

    big = np.random.default_rng(0).uniform(-1, 1, (40, 50))
    given = [leaf(big / 100), leaf(), mg.tensor(X)]
    with pytest.raises(GradcheckError):
        mg.gradcheck(function, given, directional=True)
    calls.clear()
    assert mg.gradcheck(lambda *xs: function(*xs)[:2], given, directional=True)
    assert len(calls) == 1 + 2 * 2
    assert mg.gradcheck(lambda x: x.detach().sign(), [leaf()], directional=True)


def test_directions_are_the_seed_s_and_have_no_small_component():
    seen = []

    def function(x):
        seen.append(x.detach().numpy())
        return x * 1

    for seed in (1, 1, 2):
        mg.gradcheck(function, [leaf()], directional=True, seed=seed)
    a, b, c = ((seen[i] - X) / STEP for i in (1, 4, 7))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    assert np.abs(a).min() > 0.4 and len(set(np.sign(a).ravel())) == 2


# -- what a failure says ---------------------------------------------------------------


def wrong_at_two_places(x, y):
    """Off by 1 at x[1], by 7 at y[2]."""
    small, large = mg.tensor([0.0, 1.0, 0.0]), mg.tensor([0.0, 0.0, 7.0])
    return x * 2 + (x - x.detach()) * small.double(), y + large.double() * y.detach()


def test_the_worst_of_all_is_named_and_not_the_first():
    with pytest.raises(GradcheckError, match=r"d output 1\[2\] / d input 1\[2\]"):
        mg.gradcheck(wrong_at_two_places, pair())


def pair():
    return [leaf(np.array([1.0, 2.0, 3.0])), leaf(np.array([0.1, np.pi, -1e-30]))]


def test_the_snippet_repeats_the_failure():
    message = said(lambda: mg.gradcheck(wrong_at_two_places, pair()))
    code = message.split("\n\n", 1)[1]
    assert f"from {__name__} import wrong_at_two_places as fn" in message
    head, _, rest = code.partition(f"from {__name__} import")
    code = head + rest.partition("\n")[2]
    again = said(lambda: exec(code, {"fn": wrong_at_two_places}))
    assert again == message


def test_the_snippet_of_an_op_and_of_a_function_without_a_name(wrong):
    op = wrong(squared, x=SQUARES["the sign"])
    x = mg.tensor(np.array([[np.inf, 0.5]]), requires_grad=True)
    message = said(lambda: mg.gradgradcheck(op, [x]))
    assert "mg.gradgradcheck(fn, inputs)" in message and "[[inf, 0.5]]" in message
    code = message.split("\n\n", 1)[1]
    assert said(lambda: exec(code, {})) == message
    given = [leaf(), 2, mg.tensor([True]), mg.zeros(0, 3)]
    message = said(lambda: mg.gradcheck(lambda x, *_: x.detach(), given))
    assert "fn = ...  # paste here: " in message and "test_gradcheck.py:" in message
    code = message.split("\n\n", 1)[1].replace("mg.gradcheck(", "got = (")
    scope = {}
    exec(code, scope)
    for a, b in zip(scope["got"][1], given, strict=True):
        assert a == b if isinstance(b, int) else np.array_equal(a.detach(), b.detach())
        assert isinstance(b, int) or (a.shape, a.dtype) == (b.shape, b.dtype)


def said(call):
    with pytest.raises(GradcheckError) as caught:
        call()
    return str(caught.value)
