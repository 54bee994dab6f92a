"""The compiled kernels and their plain twins: the same numbers from both."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, ULP, float32_limit, relative_error
from minigrad import _kernels, _kernels_py
from minigrad.errors import IndexRangeError

EDGES = [0.0, -0.0, 1.0, 40.0, 88.7, 88.8, 100.0, 103.9, 200.0, 709.0, 710.0, 745.0]
EDGES += [1e-45, 1e-30, 1e30, np.inf, np.nan]


# By name, what each is called with beside the array.
FUNCTIONS = {
    **dict.fromkeys(("exp", "tanh", "sigmoid", "log", "log1p", "expm1", "silu"), ()),
    **dict.fromkeys(("sign", "relu"), ()),
    "softplus": (1.5, 20.0),
    "clip": (-1.5, 0.5),
    "leaky_relu": (0.25,),
    "hardsigmoid": (),
}
GRADIENTS = {
    **dict.fromkeys(("relu_grad", "tanh_grad", "sigmoid_grad", "abs_grad"), ()),
    "silu_grad": (),
    "softplus_grad": (1.5, 2.0),
    "clip_grad": (-1.5, 0.5),
    "leaky_relu_grad": (0.25,),
    "hardsigmoid_grad": (),
}


def draws(dtype):
    """Every magnitude that the dtype has, the ordinary ones, and the edges."""
    rng = np.random.default_rng(0)
    bits = rng.bytes(4000 * np.dtype(dtype).itemsize)
    edges = np.array([*EDGES, *np.negative(EDGES)]).astype(dtype)
    ordinary = rng.uniform(-110, 110, 4000).astype(dtype)
    return np.concatenate([np.frombuffer(bits, dtype), ordinary, edges])


def ulps(x, y):
    """How far apart, in units in the last place; 0 for the same infinity or NaN."""
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    far = np.abs(x.astype(np.longdouble) - y) / np.spacing(np.maximum(abs(x), abs(y)))
    return np.where(same, 0, np.where(np.isfinite(x) & np.isfinite(y), far, np.inf))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", FUNCTIONS)
def test_the_kernels_agree_everywhere(kernel, dtype):
    x = draws(dtype)
    with np.errstate(all="ignore"):
        fast, plain = (
            getattr(twin, kernel)(x, *FUNCTIONS[kernel])
            for twin in (_kernels, _kernels_py)
        )
        assert fast.dtype == plain.dtype == dtype
        assert ulps(fast, plain).max() <= ULP


@pytest.mark.parametrize("twin", [_kernels, _kernels_py], ids=["compiled", "plain"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", FUNCTIONS)
def test_the_layout_does_not_matter_to_a_kernel(kernel, dtype, twin):

    def function(x):
        with np.errstate(all="ignore"):
            return getattr(twin, kernel)(x, *FUNCTIONS[kernel])

    x = np.linspace(-3, 3, 24).astype(dtype).reshape(4, 6)
    expected = function(x)
    x.flags.writeable = False
    for index in (np.s_[::2, ::-1], np.s_[:, 1], np.s_[1, 2], np.s_[2:2], np.s_[None]):
        found = function(np.asarray(x[index]))
        assert found.shape == x[index].shape and found.dtype == dtype
        assert np.array_equal(found, expected[index], equal_nan=True)
    assert np.array_equal(function(x.T), expected.T, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(128, 128), (130, 127), (17, 1001), (20000, 1)])
def test_a_large_transposed_matrix_is_read_as_it_stands(shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    found = _kernels.relu(x.T)
    assert found.flags.c_contiguous and np.array_equal(found, np.maximum(x.T, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "rows", "width"),
    [(5, 40, 3), (1, 7, 2), (5, 0, 3), (5, 4, 0), (0, 0, 2)],
    ids=str,
)
def test_rows_are_added_in_the_same_order(n, rows, width, dtype):
    rng = np.random.default_rng(0)
    index = rng.integers(0, max(n, 1), rows)
    source = rng.standard_normal((width, rows)).astype(dtype).T
    source[: rows // 8] = np.inf
    found = [twin.add_rows(source, index, n) for twin in (_kernels, _kernels_py)]
    assert found[0].shape == (n, width) and found[0].dtype == dtype
    assert np.array_equal(*found, equal_nan=True)
    strided = np.repeat(index, 2)[::2]
    assert np.array_equal(
        _kernels.add_rows(source, strided, n), found[0], equal_nan=True
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transposed_matrices_are_read_in_their_order(dtype):
    """In blocks, and what is over; where no other thread runs, and where one may."""
    sizes = [*itertools.product(range(1, 22), repeat=2), (130, 131)]
    for n, m in sizes:
        grad = np.arange(n * m, dtype=dtype).reshape(m, n).T
        step = _kernels.sgd(
            np.zeros((n, m), dtype), grad, None, (1, 0, 0, 1, False, True)
        )
        assert np.array_equal(step, -grad), (n, m)


# -- gradients -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", GRADIENTS)
def test_gradients_in_one_pass(kernel, dtype):
    rng = np.random.default_rng(0)
    g, y = rng.uniform(-3, 3, (2, 40, 7)).astype(dtype)
    y[0, :2] = 0.0, np.nan
    twins = [getattr(twin, kernel) for twin in (_kernels, _kernels_py)]
    for pair in ((g, y), (g.T, y.T), (g[::2], y[1::2])):
        fast, plain = (twin(*pair, *GRADIENTS[kernel]) for twin in twins)
        assert fast.dtype == dtype
        close(fast, plain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_of_logits_agrees(dtype):
    x = draws(dtype)
    x = x[np.abs(x) < 1e30]
    with np.errstate(all="ignore"):
        for t in (0.0, 1.0, 0.25, 1 - 2.0**-20):
            target = np.full_like(x, t)
            fast, plain = (
                twin.logit_loss(x, target) for twin in (_kernels, _kernels_py)
            )
            assert fast.dtype == dtype and ulps(fast, plain).max() <= ULP
            fast, plain = (
                twin.logit_loss_grad(x, target) for twin in (_kernels, _kernels_py)
            )
            close(fast, plain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("name", ["label_loss", "label_pick"])
def test_losses_of_labels_agree(name, reduction, dtype):
    rng = np.random.default_rng(0)
    for shape in ((7, 5), (2, 40), (6,), (2, 3, 4)):
        x = rng.normal(0, 2, shape).astype(dtype)
        n = x.shape[min(x.ndim - 1, 1)]
        target = rng.integers(0, n, x.shape[:1] * (x.ndim > 1) + x.shape[2:])
        if target.ndim:
            target.flat[0] = -100
        fast, plain = (
            getattr(twin, name)(x, target, -100, reduction)
            for twin in (_kernels, _kernels_py)
        )
        assert fast.dtype == dtype
        close(fast, plain)
        fast, plain = (
            getattr(twin, f"{name}_grad")(fast, x, target, -100, reduction)
            for twin in (_kernels, _kernels_py)
        )
        assert fast.dtype == dtype
        close(fast, plain)


def close(found, expected):
    """As near as two orders of the same sums are, by the tolerance policy."""
    is_double = found.dtype == np.float64
    limit = FLOAT64_RTOL if is_double else float32_limit(0.0)
    assert found.shape == expected.shape
    assert relative_error(found, expected) <= limit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("x", [0.0, 1.5, "array"], ids=str)
@pytest.mark.parametrize("y", [0.0, "array", "other dtype"], ids=str)
def test_a_choice(x, y, dtype):
    rng = np.random.default_rng(0)
    condition = rng.random((5, 7)) < 0.5
    first, second = rng.uniform(-1, 1, (2, 5, 7)).astype(dtype)
    given = first if x == "array" else x
    other = {"array": second, "other dtype": second.astype(np.int64)}.get(y, y)
    found = _kernels.where(condition, given, other)
    expected = np.where(condition, given, other)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)


# -- reductions ------------------------------------------------------------------------

SHAPES = [(6, 5), (3, 40, 7), (2, 3, 300), (1, 2000), (5, 1), (4, 130, 130)]
AXES = [(0,), (1,), (-1,), (0, 1)]
EXTREME = [np.nan, np.inf, -np.inf, 1e30]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin", "logsumexp"])
def test_reductions_agree(name, keepdims, dtype):
    for x, axes in arrays(dtype):
        if name == "prod":  # of few factors: of many, each rounding counts
            x = x[..., :7]
            axes = (x.ndim - 1,)
        fast = getattr(_kernels, name)(x, axes, keepdims)
        assert fast.dtype == dtype
        close(fast, getattr(_kernels_py, name)(x.astype(np.float64), axes, keepdims))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("odd", [1.0, 0.0, np.inf, -np.inf, np.nan, 1e-37])
def test_the_gradient_of_a_product_agrees(odd, dtype):
    rng = np.random.default_rng(0)
    for shape, axis in [((5, 40), 1), ((40, 5), 0), ((3, 6, 4), 1), ((7, 1), 1)]:
        x = rng.uniform(0.8, 1.2, shape).astype(dtype)
        x[0], x[-1, 0] = odd, 0.0
        g = rng.uniform(0.5, 1.5, x.sum(axis).shape).astype(dtype)
        wide_g, wide = g.astype(np.float64), x.astype(np.float64)
        with np.errstate(all="ignore"):
            y = _kernels.prod(x, (axis,), False)
            fast = _kernels.prod_grad(g, x, y, (axis,))
            plain = _kernels_py.prod_grad(wide_g, wide, wide.prod(axis), (axis,))
            plain = plain.astype(dtype)  # 0 where it underflows
        assert fast.dtype == dtype
        # One by one: of those with a factor that is odd, the others say nothing.
        ours, theirs = (np.moveaxis(of, axis, -1) for of in (fast, plain))
        for line, expected in zip(ours, theirs, strict=True):
            close(line, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cumsum"])
def test_what_keeps_the_shape_agrees(name, dtype):
    for x, axes in arrays(dtype):
        if name == "cumsum" and len(axes) > 1:
            continue
        wide = x.astype(np.float64)
        fast, plain = getattr(_kernels, name)(x, axes), getattr(_kernels_py, name)
        assert fast.dtype == dtype
        close(fast, plain(wide, axes))
        if name == "cumsum":
            continue
        g = np.cos(np.arange(x.size)).reshape(x.shape).astype(dtype)
        exact = getattr(_kernels_py, f"{name}_grad")
        close(
            getattr(_kernels, f"{name}_grad")(g, fast, axes),
            exact(g.astype(np.float64), fast.astype(np.float64), axes),
        )


def arrays(dtype):
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = rng.uniform(0.1, 3, shape).astype(dtype)  # no sum cancels
        for axes in AXES:
            axes = tuple(axis % len(shape) for axis in axes)
            yield x, axes
            yield np.asfortranarray(x), axes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", EXTREME, ids=str)
@pytest.mark.parametrize(
    "name", ["amax", "amin", "softmax", "log_softmax", "logsumexp"]
)
def test_extreme_numbers_stay_what_they_are(name, value, dtype):
    for shape in ((3, 70), (70, 3)):
        x = np.linspace(-1, 1, 210).astype(dtype).reshape(shape)
        x[1, 1] = value
        x[2] = -np.inf
        for axes in ((0,), (1,)):
            more = (False,) if name in ("amax", "amin", "logsumexp") else ()
            with np.errstate(all="ignore"):
                fast, plain = (
                    getattr(twin, name)(x, axes, *more)
                    for twin in (_kernels, _kernels_py)
                )
            close(fast, plain)


def test_a_long_sum_in_float32_does_not_drift():
    x = np.full(10_000_000, 0.1, np.float32)
    (exact,) = x[:1].astype(np.float64) * x.size
    assert abs(_kernels.sum(x, (0,), False) - exact) / exact <= float32_limit(0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_every_length_are_exact_where_no_number_is_rounded(dtype):
    rng = np.random.default_rng(0)
    for n in (*range(1, 600, 7), 1023, 1024, 1025, 4000, 5119, 40_000, 262_147):
        x = rng.integers(-3, 4, (3, n)).astype(dtype)
        assert np.array_equal(_kernels.sum(x, (1,), False), x.sum(1, np.int64))


# -- layer norm, indexing, Adam --------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "dims"),
    [((6, 5, 8), 1), ((600, 3, 4), 2), ((0, 4), 1), ((7,), 1)],
    ids=str,
)
def test_layer_norm_agrees(shape, dims, dtype):
    rng = np.random.default_rng(0)
    x, g = rng.uniform(-2, 2, (2, *shape)).astype(dtype)
    weight, bias = rng.uniform(-2, 2, (2, *shape[-dims:])).astype(dtype)
    found = []
    for twin in (_kernels, _kernels_py):
        y, moments = twin.layer_norm(x, weight, bias, 1e-5)
        dx = twin.layer_norm_grad_x(g, x, weight, moments)
        dw = twin.layer_norm_grad_weight(g, x, moments, weight.shape)
        found.append((y, moments, dx, dw))
    for fast, plain in zip(*found, strict=True):
        assert fast.dtype == dtype
        close(fast, plain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_indexing_agrees_to_the_last_bit(axis, dtype):
    rng = np.random.default_rng(0)
    x = (9 * rng.standard_normal((4, 5, 6))).astype(dtype)
    shape = [4, 5, 6]
    shape[axis] = 9
    index = rng.integers(0, x.shape[axis], shape)
    src = (9 * rng.standard_normal(shape)).astype(dtype)
    expected = np.take_along_axis(x, index, axis)
    for given in (x, np.asfortranarray(x)):
        assert np.array_equal(_kernels.gather(given, axis, index), expected)
    found = [x.copy(), x.copy()]
    for twin, out in zip((_kernels, _kernels_py), found, strict=True):
        twin.scatter(out, axis, index, src)
    assert np.array_equal(*found)
    part = np.zeros((8, 5, 12), dtype)[::2, :, ::2]  # not row after row
    part[:] = x
    _kernels.scatter(part, axis, index, src)
    assert np.array_equal(part, found[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 5), 1), ((70, 100), 1), ((70, 100), 0), ((3, 2000), 1)]
)
def test_an_index_out_of_range_is_found_wherever_it_stands(shape, axis, dtype):
    x = mg.Tensor(np.zeros(shape, dtype))
    for place in (0, 1, x.numel() // 2, x.numel() - 1):
        for wrong in (-1, shape[axis], 1 << 40, -(1 << 40)):
            index = np.zeros(shape, np.int64)
            index.flat[place] = wrong
            assert _kernels.gather(x.numpy(), axis, index) is None
            with pytest.raises(IndexRangeError):
                x.gather(axis, mg.Tensor(index))


@pytest.mark.parametrize("twin", [_kernels, _kernels_py], ids=["compiled", "plain"])
def test_an_index_outside(twin):
    for index, is_outside in (
        ([0, 4], False),
        ([0, 5], True),
        ([-1], True),
        ([], False),
    ):
        assert twin.outside(np.array(index, np.int64), 0, 5) is is_outside


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("with_most", [False, True])
def test_adam_agrees(with_most, dtype):
    rng = np.random.default_rng(0)
    options = (0.1, 0.999, 0.001, 0.01, 0.03, 1e-8, 0.99, 0.1)
    for shape in ((), (3,), (17, 5), (20_000,)):
        found = []
        value, grad, mean = rng.uniform(-1, 1, (3, *shape)).astype(dtype)
        for twin in (_kernels, _kernels_py):
            state = [np.array(mean * factor) for factor in (1, mean, mean / 2)]
            most = state[2] if with_most else None
            new = twin.adam(value, grad, state[0], state[1], most, options)
            found.append([np.asarray(new), *state])
        for fast, plain in zip(*found, strict=True):
            close(fast, plain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_agrees(decay, first, nesterov, dtype):
    rng = np.random.default_rng(0)
    options = (0.01, decay, 0.9, 0.7, nesterov, first)
    for shape in ((), (3,), (17, 5), (20_000,)):
        value, grad, start = rng.uniform(-1, 1, (3, *shape)).astype(dtype)
        # One that is not in row-major order is read as it is meant.
        for given in (start, None, np.array(start, order="F")):
            found = []
            for twin in (_kernels, _kernels_py):
                average = None if given is None else np.copy(given, order="K")
                new = twin.sgd(value, np.array(grad, order="F"), average, options)
                found.append([np.asarray(new), average])
            close(found[0][0], found[1][0])
            if given is not None:
                close(found[0][1], found[1][1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_square_sum_agrees(dtype):
    rng = np.random.default_rng(0)
    for shape in ((), (0,), (3,), (17, 5), (20_000,)):
        x = np.asarray(rng.uniform(-9, 9, shape)).astype(dtype)
        for given in (x, x.T, x[::2] if x.ndim else x):
            found = _kernels.square_sum(given)
            assert found == pytest.approx(_kernels_py.square_sum(given), rel=1e-12)
    huge = np.full(5, 3e30, np.float32)
    assert _kernels.square_sum(huge) == pytest.approx(4.5e61)
    assert math.isnan(_kernels.square_sum(np.array([1.0, math.nan])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [9, 17, 33, 50, 127])
def test_layer_norm_rounds_alike_at_the_end_of_a_row(n, dtype):
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 64, n)).astype(dtype)
    weight, bias = rng.standard_normal((2, n)).astype(dtype)
    for array in (x, g, weight, bias):
        array[..., -1] = array[..., 0]
    y, moments = _kernels.layer_norm(x, weight, bias, 1e-5)
    for found in (
        y,
        _kernels.layer_norm_grad_x(g, x, weight, moments),
        _kernels.layer_norm_grad_weight(g, x, moments, (n,)),
    ):
        assert np.array_equal(found[..., -1], found[..., 0])
