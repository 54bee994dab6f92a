"""To the bit: chunks are the whole, a row is itself in any batch, on any threads.

numpy's products give a row other bits in another batch, so the plain twin does not
promise this.
"""

from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import EXACT, FLOAT64_RTOL, exact_error, relative_error
from minigrad import _backend
from minigrad.fused import lower
from minigrad.fused.combine import add_to_products
from minigrad.fused.passes import without
from minigrad.fused.plan import INSIDE

from .fused_steps import Recipe, arrays_of, pull, random_recipe, run

pytestmark = pytest.mark.skipif(_backend.PURE, reason="numpy's products promise less")

PLAIN = Recipe(
    (("gates", 0, 0), ("add", 5, 1), ("product", 6, 0)), (("tanh", 0),), (0,), False
)
NORM = Recipe(
    (("norm", 0, 0), ("softmax", 4, 0), ("mul", 4, 5)), (("leaky", 0),), (0, 1), True
)
# What a step captures has a row for each example: it is cut like the batch.
OWN = ("own", "own one", "mask")
RECIPES = {"plain": PLAIN, "norm": NORM, **{str(i): random_recipe(i) for i in range(4)}}
each_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
each_dtype = pytest.mark.parametrize(
    "dtype", [np.float32, np.float64], ids=["f32", "f64"]
)
each_direction = pytest.mark.parametrize("reverse", [False, True], ids=["on", "back"])


def same(found, expected):
    return all(
        exact_error(a.detach(), b.detach()) == EXACT
        for a, b in zip(found, expected, strict=True)
    )


def rows(arrays, chosen):
    """The arrays of some examples."""
    carries, xs, w = arrays
    own = {k: a[chosen] if k in OWN else a for k, a in w.items()}
    return [c[chosen] for c in carries], [x[:, chosen] for x in xs], own


@each_recipe
@each_dtype
@each_direction
def test_any_chunks_are_the_whole(recipe, dtype, reverse):
    n_steps = 11
    arrays = arrays_of(recipe, n_steps, 3)
    carries, xs, w = arrays
    whole, _ = run(recipe, arrays, dtype=dtype, reverse=reverse)
    n = len(carries)
    for cuts in ([0, 1, 11], [0, 4, 5, 11], range(12)):
        pieces = list(pairwise(cuts))
        state, ys = carries, []
        for first, last in reversed(pieces) if reverse else pieces:
            part = state, [x[first:last] for x in xs], w
            outputs, _ = run(recipe, part, dtype=dtype, reverse=reverse)
            state = [c.detach().numpy() for c in outputs[:n]]
            ys.append(outputs[n:])
        joined = [
            mg.cat(list(y)) for y in zip(*(ys[::-1] if reverse else ys), strict=True)
        ]
        assert same([*map(mg.tensor, state), *joined], whole)


@each_recipe
@each_dtype
def test_a_row_has_its_bits_in_any_batch(recipe, dtype):
    arrays = arrays_of(recipe, 5, 33)
    whole, _ = run(recipe, arrays, dtype=dtype)
    n = len(recipe.carries)
    for batch in (1, 2, 3, 7, 8, 16, 17, 32):
        chosen = slice(33 - batch, None)
        some, _ = run(recipe, rows(arrays, chosen), dtype=dtype)
        expected = [y[chosen] if i < n else y[:, chosen] for i, y in enumerate(whole)]
        assert same(some, expected)


def test_a_sum_of_two_products_is_added_up_in_one_order():
    u, w = (mg.randn(300, 300, generator=i) * 0.1 for i in range(2))
    x, h = mg.randn(5, 8, 300, generator=2), mg.zeros(8, 300)
    alone, _ = mg.scan(lambda c, x: (mg.tanh(x @ u + c @ w), c), h, x)
    u.requires_grad_()
    recorded, _ = mg.scan(lambda c, x: (mg.tanh(x @ u + c @ w), c), h, x)
    assert same([alone], [recorded])


@each_recipe
@each_dtype
@each_direction
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_what_nothing_is_asked_of_has_the_same_bits(recipe, dtype, reverse, ragged):
    # From a few rows on, it leaves the products of x in the loop.
    for batch in (INSIDE - 1, INSIDE, 19):
        arrays = arrays_of(recipe, 7, batch)
        lengths = np.arange(batch) % 8 if ragged else None
        options = {"dtype": dtype, "reverse": reverse, "lengths": lengths}
        nothing = [False] * sum(map(len, arrays))
        recorded, _ = run(recipe, arrays, **options)
        alone, _ = run(recipe, arrays, wanted=nothing, **options)
        assert same(alone, recorded)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("hidden", [1, 5, 16, 40])
def test_a_row_of_a_wide_product_has_its_bits_in_any_batch(hidden, dtype):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return mg.tensor(rng.standard_normal(shape).astype(dtype) / 4)

    w, u, xs, h = (
        draw(hidden, hidden),
        draw(7, hidden),
        draw(6, 33, 7),
        draw(33, hidden),
    )

    def step(h, x):
        return ((h @ w + x @ u).tanh(),) * 2

    _, whole = mg.scan(step, h, xs)
    for batch in range(1, 33):
        _, some = mg.scan(step, h[:batch], xs[:, :batch])
        assert same([some], [whole[:, :batch]])


@each_recipe
@each_dtype
@each_direction
def test_with_lengths_a_row_is_what_it_is_alone(recipe, dtype, reverse):
    lengths = [4, 0, 7, 1, 7, 3]
    arrays = arrays_of(recipe, 7, 6)
    found, _ = run(recipe, arrays, dtype=dtype, lengths=lengths, reverse=reverse)
    n = len(recipe.carries)
    for row, length in enumerate(lengths):
        if not length:
            continue
        carries, xs, w = rows(arrays, slice(row, row + 1))
        part = carries, [x[:length] for x in xs], w
        alone, _ = run(recipe, part, dtype=dtype, reverse=reverse)
        expected = [
            y[row : row + 1] if i < n else y[:length, row : row + 1]
            for i, y in enumerate(found)
        ]
        assert same(alone, expected)


@pytest.fixture
def threads():
    before = _backend.loop.get_num_threads()
    yield _backend.loop.set_num_threads
    _backend.loop.set_num_threads(before)


@each_recipe
@each_dtype
@pytest.mark.parametrize("ragged", [False, True])
def test_any_number_of_threads(recipe, dtype, ragged, threads):
    batch = 29
    arrays = arrays_of(recipe, 6, batch)
    lengths = np.arange(batch) % 7 if ragged else None
    found = []
    for n in (1, 2, 3, 4):
        threads(n)
        outputs, leaves = run(recipe, arrays, dtype=dtype, lengths=lengths)
        found.append([*outputs, *pull(outputs, leaves)])
    assert all(same(other, found[0]) for other in found[1:])


def test_threads_that_share_large_products(threads):
    """Sizes at which there is enough to do for several threads."""
    rng = np.random.default_rng(0)
    w, u, xs, h = (
        mg.tensor(rng.standard_normal(s).astype(np.float32) / 8, requires_grad=True)
        for s in ((96, 96), (50, 96), (20, 48, 50), (48, 96))
    )
    found = []
    for n in (1, 2, 3, 4):
        threads(n)
        end, ys = mg.scan(lambda h, x: ((h @ w + x @ u).tanh(),) * 2, h, xs)
        slopes = mg.grad((ys * ys).sum() + end.sum(), [w, u, xs, h])
        found.append([end, ys, *slopes])
    assert all(same(other, found[0]) for other in found[1:])


@pytest.mark.parametrize("cell", [seq.LSTM, seq.GRU, seq.RNN])
@pytest.mark.parametrize("batch", [1, 3, INSIDE, 40])
def test_what_is_added_where_a_product_is_made_has_the_same_bits(
    cell, batch, monkeypatch
):
    done = []

    def spy(items):
        add_to_products(items)
        done.append(any(any(item.added) for item in items.items))

    monkeypatch.setattr(lower, "add_to_products", spy)
    # More than one cut of a product, and of a size that nothing is kept of.
    layer = cell(70, 300 + batch, generator=0)
    x = mg.randn(3, batch, 70, generator=1)
    with mg.no_grad():
        found = layer(x)[0]
        assert done[-1]
        with without("sums in products"):
            expected = layer(x)[0]
    assert same([found], [expected])


SUMS = {
    "p + a": lambda p, q, a, b: p + a,
    "a + p": lambda p, q, a, b: a + p,
    "q + p": lambda p, q, a, b: q + p,
    "p + p": lambda p, q, a, b: p + p,
    "p + p + a": lambda p, q, a, b: p + p + a,
    "q + p + q": lambda p, q, a, b: q + p + q,
    "q + a + p": lambda p, q, a, b: q + a + p,
    "a + q + p": lambda p, q, a, b: a + q + p,
    "q + p + a": lambda p, q, a, b: q + p + a,
    "p + a + q": lambda p, q, a, b: p + a + q,
    "q + a + p + b": lambda p, q, a, b: q + a + p + b,
    "p + a + b + 2 a": lambda p, q, a, b: p + a + b + 2 * a,
    "p + a + q + b": lambda p, q, a, b: p + a + q + b,
    "q + a + (p + b)": lambda p, q, a, b: q + a + (p + b),
    "(p + a) (p + b)": lambda p, q, a, b: (p + a) * (p + b),
    "a - p": lambda p, q, a, b: a - p,
    "q b + p": lambda p, q, a, b: q * b + p,
    "tanh(q) + p": lambda p, q, a, b: mg.tanh(q) + p,
    "a part": lambda p, q, a, b: mg.cat([p[:, 4:] + a[4:], q[:, 8:]], -1),
}


@pytest.mark.parametrize("combined", [True, False], ids=["combined", "one by one"])
@pytest.mark.parametrize("returned", [True, False], ids=["returned", "alone"])
@pytest.mark.parametrize("second", ["product", "sequence"])
@pytest.mark.parametrize("total", SUMS.values(), ids=SUMS)
def test_any_sum_with_a_product_has_the_same_bits(total, second, returned, combined):
    def step(carry, x):
        h, k = carry
        p, q = h @ w, k @ u if second == "product" else x
        h = mg.tanh(total(p, q, a, b)) + x
        return (h, mg.tanh(q)), p if returned else h

    def run():
        return mg.scan(step, tuple(hs), xs)[1]

    n = 12
    hs, xs = mg.randn(2, 9, n, generator=0), mg.randn(4, 9, n, generator=1)
    (w, u), (a, b) = mg.randn(2, n, n, generator=2), mg.randn(2, n, generator=3)
    with without(*(() if combined else ["combined opcodes"])):
        found = run()
        with without("sums in products"):
            assert same([found], [run()])


RESTS = {
    "x (1 - y)": lambda x, y, z: x * (1 - y) + z * (1 - y),
    "x y (1 - y)": lambda x, y, z: x * y * (1 - y),
    "y x (1 - y)": lambda x, y, z: (1 - y) * (y * x),
    "y y (1 - y)": lambda x, y, z: y * y * (1 - y),
    "x z (1 - y)": lambda x, y, z: x * z * (1 - y),
    "(x + x y) (1 - y)": lambda x, y, z: (x + x * y) * (1 - y),
    "(x y + x) (1 - y)": lambda x, y, z: (x * y + x) * (1 - y),
    "(x y + z) (1 - y)": lambda x, y, z: (x * y + z) * (1 - y),
    "(x z + x) (1 - y)": lambda x, y, z: (x * z + x) * (1 - y),
    "(1 - y) (1 - y)": lambda x, y, z: (1 - y) * (1 - y),
    "(1 - y) (1 - z)": lambda x, y, z: (1 - y) * (1 - z),
    "x (2 - y)": lambda x, y, z: x * (2 - y),
    "x (y - 1)": lambda x, y, z: x * (y - 1),
    "x y (1 - z)": lambda x, y, z: x * y * (1 - z),
    "1 - y, too": lambda x, y, z: x * (1 - y) + (1 - y),
    "x y, too": lambda x, y, z: (x * y + x * y * (1 - y)) * mg.sigmoid(x * y),
    "a part": lambda x, y, z: mg.cat([(1 - y)[:, 4:], x[:, :4]], -1) * (1 - y),
    "x a part": lambda x, y, z: mg.cat([x[:, 4:], (1 - y)[:, 4:8] * z[:, :4]], -1),
    "1 - a part": lambda x, y, z: x * mg.cat([1 - y[:, 4:], x[:, :4]], -1),
    "1 - a part, too": lambda x, y, z: (
        mg.cat([r := 1 - y[:, 4:], x[:, :4]], -1) + mg.cat([r * z[:, 4:], y[:, :4]], -1)
    ),
    "a part y (1 - y)": lambda x, y, z: mg.cat([x * y, z], -1)[:, 12:] * (1 - y),
}


@pytest.mark.parametrize("formula", RESTS.values(), ids=RESTS)
def test_a_product_with_what_is_left_of_one_is_the_same_in_one_opcode(formula):
    def step(h, x):
        h = mg.sigmoid(formula(x, mg.sigmoid(h), mg.tanh(h)) + x)
        return h, h

    def run():
        h, xs = mg.randn(9, 12, generator=0).double(), mg.randn(4, 9, 12, generator=1)
        leaves = h.detach().requires_grad_(), xs.double().requires_grad_()
        ys = mg.scan(step, *leaves)[1]
        return [ys.detach(), *mg.grad((ys * ys).sum(), leaves)]

    found = run()
    with without("combined opcodes"):
        expected = run()
    for y, z in zip(found, expected, strict=True):
        assert relative_error(y.numpy(), z.numpy()) <= FLOAT64_RTOL


FED = {
    "pow": lambda x: x.abs() ** 1.5,
    "expm1": mg.expm1,
    "log": lambda x: x.abs().log(),
    "log1p": lambda x: mg.log1p(x.abs()),
    "rsqrt": lambda x: x.abs().rsqrt(),
    "sin": mg.sin,
    "silu": mg.silu,
    "softplus": mg.softplus,
    "layer_norm": lambda x: mg.layer_norm(x, (17,)),
    "mul and add": lambda x: x * 0.3 + x,
    "square": lambda x: x * x,
    "mul by two names": lambda x: (x * x).clone(),
    "tanh": lambda x: mg.tanh(x) * mg.sigmoid(x),
}


@each_dtype
@pytest.mark.parametrize("fed", FED.values(), ids=FED)
def test_what_a_product_of_x_is_made_of_has_the_bits_of_the_loop(fed, dtype):
    w = mg.tensor(np.eye(17), dtype=dtype)
    xs = 3 * mg.randn(9, INSIDE, 17, dtype=dtype, generator=0)
    h = mg.zeros(INSIDE, 2, dtype=dtype)

    def step(h, x):
        y = fed(x)
        return h, (y @ w) * (x + y)

    inside = mg.scan(step, h, xs)[1]
    whole = mg.scan(step, h.requires_grad_(), xs.requires_grad_())[1]
    assert same([inside], [whole])


@each_dtype
def test_a_rest_that_a_gradient_reads_changes_no_bits(dtype):
    def step(carry, x):
        a, b = carry
        c = x * (1 - b) + x
        return (a, mg.tanh(b + x)), c * a

    start = mg.randn(2, 3, 17, dtype=dtype, generator=0)
    xs = mg.randn(5, 3, 17, dtype=dtype, generator=1)
    alone = mg.scan(step, tuple(start), xs)[1]
    recorded = mg.scan(step, tuple(start.requires_grad_()), xs.requires_grad_())[1]
    assert same([alone], [recorded])
