"""The loop's kernels: right in every dtype and shape, the same bits in any company."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from conformance.policy import ULP
from minigrad import _backend, _loop, _loop_py
from minigrad._loop_py import OPCODES, ROWS, ROWWISE
from minigrad.errors import ArgumentError, DTypeError, ShapeError

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


@pytest.fixture(autouse=True)
def number_of_threads():
    n = _loop.get_num_threads()
    yield
    _loop.set_num_threads(n)


def draw(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check(found, expected, dtype):
    assert found.dtype == dtype and found.shape == expected.shape
    if found.size:
        scale = abs(expected).max()
        assert abs(found - expected).max() <= TOLERANCE[dtype] * scale


def same_bits(x, y):
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


# -- products --------------------------------------------------------------------------

SHAPES = [(1, 1, 1), (2, 3, 5), (3, 7, 33), (5, 256, 32), (13, 257, 31), (32, 300, 65)]
SHAPES += [(1, 600, 200), (2, 600, 200), (3, 513, 129), (40, 2200, 17), (700, 12, 40)]
SHAPES += [(9, 1024, 48), (40, 1536, 17), (0, 4, 4), (4, 0, 4), (4, 4, 0)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_of_any_shape(shape, dtype):
    m, k, n = shape
    x, w = draw(m, k, dtype=dtype), draw(k, n, dtype=dtype, seed=1)
    expected = (x.astype(np.float64) @ w).astype(dtype)
    check(_loop.product(x, _loop.pack(w), n), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weight_may_be_any_view(dtype):
    x, w = draw(5, 70, dtype=dtype), draw(140, 150, dtype=dtype, seed=1)
    base = _loop.product(x, _loop.pack(w[:70, :50].copy()), 50)
    views = [
        w[:70, :50],
        np.asfortranarray(w[:70, :50]),
        w[:70, :50][::-1].copy()[::-1],
    ]
    views += [np.repeat(w[:70, :50], 2, 1)[:, ::2], w[:70, 49::-1][:, ::-1]]
    for view in views:
        view.flags.writeable = False
        assert same_bits(_loop.product(x, _loop.pack(view), 50), base)
    packed = _loop.pack(w.T[:70])
    assert (packed.inner, packed.width, packed.dtype) == (70, 140, dtype)


def test_a_product_keeps_the_leading_axes():
    x, w = draw(3, 4, 5), draw(5, 6, seed=1)
    found = _loop.product(x, _loop.pack(w), 6)
    assert found.shape == (3, 4, 6)
    assert same_bits(found[1, 2:3], _loop.product(x[1, 2:3], _loop.pack(w), 6))
    assert same_bits(found[:, ::2], _loop.product(x[:, ::2], _loop.pack(w), 6))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 31, 256, 300, 1024, 2500])
def test_the_bits_of_a_row_depend_on_nothing_else(k, dtype):
    x, w = draw(40, k, dtype=dtype), draw(k, 131, dtype=dtype, seed=1)
    packed = _loop.pack(w)
    whole = _loop.product(x, packed, 131)
    for n in range(1, 41):
        first = (n * 7) % (41 - n)
        part = _loop.product(x[first : first + n], packed, 131)
        assert same_bits(part, whole[first : first + n])


@pytest.mark.parametrize("dtype", DTYPES)
def test_how_far_apart_rows_are_changes_no_bit(dtype):
    """Rows at a multiple of 4096 bytes are copied, others read where they are."""
    x, w = draw(40, 1024, dtype=dtype), draw(1024, 131, dtype=dtype, seed=1)
    expected = _loop.product(x, _loop.pack(w), 131)
    x, w = np.pad(x, ((0, 0), (0, 1))), np.pad(w, ((0, 1), (0, 0)))
    assert same_bits(_loop.product(x, _loop.pack(w), 131), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_number_of_threads_changes_no_bit(dtype):
    x, y = draw(1000, 200, dtype=dtype), draw(1000, 300, dtype=dtype, seed=1)
    wide, w = draw(8, 700, dtype=dtype), draw(700, 9000, dtype=dtype, seed=2)
    packed, packed_wide = _loop.pack(y[:200]), _loop.pack(w)
    results = []
    for n in (1, 2, 3, 4):
        _loop.set_num_threads(n)
        results.append(
            [
                _loop.product(x, packed, 300),
                _loop.product(wide, packed_wide, 9000),
                _loop.gram(x, y),
                _loop.gram(y, x),
                _loop.sum_rows(np.tile(y, (20, 3))),
            ]
        )
    for other in results[1:]:
        assert all(map(same_bits, other, results[0]))


# -- sums over rows --------------------------------------------------------------------

SUMS = [(0, 3, 4), (1, 1, 1), (5, 12, 32), (255, 13, 33), (256, 1, 200), (257, 700, 3)]
SUMS += [(1000, 25, 129), (300, 7, 80), (9, 0, 4), (9, 4, 0)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    SUMS,
    ids=str,
)
def test_sums_of_any_shape(shape, dtype):
    m, k, n = shape
    x, y = draw(m, k, dtype=dtype), draw(m, n, dtype=dtype, seed=1)
    expected = (x.T.astype(np.float64) @ y).astype(dtype)
    check(_loop.gram(x, y), expected, dtype)
    start = draw(k, n, dtype=dtype, seed=2)
    out = start.copy()
    assert _loop.gram(x, y, out) is out
    check(out, (start + expected).astype(dtype), dtype)
    expected = y.sum(0, dtype=np.float64).astype(dtype)
    check(_loop.sum_rows(y), expected, dtype)
    start = draw(n, dtype=dtype, seed=3)
    out = start.copy()
    assert _loop.sum_rows(y, out) is out
    check(out, (start + expected).astype(dtype), dtype)


def test_sums_take_leading_axes_and_columns_of_others():
    x, y = draw(4, 30, 20), draw(4, 30, 50, seed=1)
    whole = _loop.gram(x.copy(), y[..., 5:20].copy())
    assert same_bits(_loop.gram(x, y[..., 5:20]), whole)
    assert same_bits(_loop.gram(x, y)[:, 5:20].copy(), whole)
    assert same_bits(_loop.gram(x[..., ::2], y), _loop.gram(x, y)[::2].copy())
    assert same_bits(_loop.sum_rows(y[..., 5:20]), _loop.sum_rows(y)[5:20].copy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 255, 256, 300, 1100])
def test_a_sum_of_rows_can_be_continued_with_earlier_ones(rows, dtype):
    x, y = draw(rows, 30, dtype=dtype), draw(rows, 50, dtype=dtype, seed=1)
    whole, total = _loop.gram(x, y), _loop.sum_rows(x)
    for late in range(0, rows, _loop.GRAM_ROWS):
        at = rows - late
        out = _loop.gram(x[at:], y[at:])
        assert same_bits(_loop.gram(x[:at], y[:at], out), whole)
        assert same_bits(_loop.sum_rows(x[:at], _loop.sum_rows(x[at:])), total)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "widths", [(), (0,), (13,), (5, 12, 700), (700, 0, 24)], ids=str
)
def test_sums_together_have_the_bits_of_each_alone(widths, threads, dtype):
    _loop.set_num_threads(threads)
    y = draw(1100, 129, dtype=dtype, seed=9)
    xs = [draw(1100, k, dtype=dtype, seed=k) for k in widths]
    alone = [*(_loop.gram(x, y) for x in xs), _loop.sum_rows(y)]
    assert all(map(same_bits, _loop.sums((*xs, y), True), alone))
    assert all(map(same_bits, _loop.sums((*xs, y), False), alone[:-1]))
    late = _loop.sums([x[76:] for x in (*xs, y)], True)
    found = _loop.sums([x[:76] for x in (*xs, y)], True, late)
    assert all(a is b for a, b in zip(found, late, strict=True))
    assert all(map(same_bits, found, alone))


def test_sums_together_are_those_of_the_twin():
    rows = [draw(4, 30, n, dtype=np.float64, seed=n) for n in (3, 40, 17)]
    for total in (True, False):
        pairs = zip(_loop.sums(rows, total), _loop_py.sums(rows, total), strict=True)
        for found, expected in pairs:
            check(found, expected, np.float64)


# -- functions -------------------------------------------------------------------------


def run(name, *args):
    """An opcode on numbers, as rows of 40: two vectors and a half of float32."""
    dtype, n = args[0].dtype, args[0].size
    rows = -(-n // 40)
    buffers = []
    for x in args:
        buffers.append(np.zeros((rows, 40), dtype))
        buffers[-1].reshape(-1)[:n] = x
    operands = [[i, 0] if i < len(args) else [-1, -1] for i in range(3)]
    line = [OPCODES[name], len(args), 0, *(v for place in operands for v in place)]
    n_buffers = len(args) + 1
    machine = _loop.Machine(
        dtype,
        [ROWS] * n_buffers,
        [40] * n_buffers,
        [False] * n_buffers,
        [ROWWISE, 1, 40, 1, *line],
        0,
    )
    out = np.empty((rows, 40), dtype)
    machine.run([*buffers, out], [], np.array([rows]), False)
    return out.reshape(-1)[:n]


def points(dtype):
    """All magnitudes, the ordinary ones densely, and the edges."""
    rng = np.random.default_rng(0)
    bits = np.frombuffer(rng.bytes(60_000 * np.dtype(dtype).itemsize), dtype)
    limit = 110 if dtype == np.float32 else 760
    edges = np.array(
        [0, 100, 1e30, np.inf, 88.72, 88.73, 103.9, 104, 709.8, 745.2, 746]
    )
    least = np.log2(np.finfo(dtype).smallest_subnormal)
    small = np.exp2(rng.uniform(least, 1, 40_000))
    return np.concatenate(
        [
            bits[np.isfinite(bits)],
            rng.uniform(-limit, limit, 150_000).astype(dtype),
            rng.uniform(-3, 3, 300_000).astype(dtype),
            np.concatenate([small, -small]).astype(dtype),
            np.concatenate([edges, -edges]).astype(dtype),
        ]
    )


def ulps(found, exact, dtype):
    """Errors in units in the last place of exact results, which are long doubles."""
    info = np.finfo(dtype)
    nearest = exact.astype(dtype)
    exponent = np.frexp(np.maximum(abs(exact), np.longdouble(info.tiny)))[1] - 1
    unit = np.ldexp(np.longdouble(1), exponent - info.nmant)
    finite = np.isfinite(found) & np.isfinite(nearest)
    far = np.where(finite, abs(found - exact) / unit, np.inf)
    return np.where(found == nearest, np.minimum(far, 1), far)


def exact_sigmoid(x):
    small = np.exp(-abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


EXACT = {"exp": np.exp, "tanh": np.tanh, "sigmoid": exact_sigmoid}
PRECISE = np.finfo(np.longdouble).nmant > 60


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_the_functions_are_within_two_ulp(name, dtype):
    if dtype == np.float64 and not PRECISE:
        pytest.skip("no longer float to measure a double with")
    x = points(dtype)
    with np.errstate(all="ignore"):
        errors = ulps(run(name, x), EXACT[name](x.astype(np.longdouble)), dtype)
    worst = errors.argmax()
    assert errors[worst] <= ULP, (x[worst], errors[worst])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_functions_at_the_edges(dtype):
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30], dtype)
    with np.errstate(all="raise"):
        exp, tanh, sigmoid = (run(name, x).tolist() for name in EXACT)
    assert repr(exp) == "[1.0, 1.0, inf, 0.0, nan, inf, 0.0]"
    assert repr(tanh) == "[0.0, -0.0, 1.0, -1.0, nan, 1.0, -1.0]"
    assert repr(sigmoid) == "[0.5, 0.5, 1.0, 0.0, nan, 1.0, 0.0]"
    far = run("sigmoid", np.array([-100], dtype))  # a subnormal number in float32
    assert ulps(far, np.exp(np.longdouble([-100])), dtype) <= ULP


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPCODES)
@pytest.mark.parametrize("width", [1, 3, 8, 16, 19, 40, 130])
def test_every_opcode_is_the_twins(name, width, dtype):
    special = [0, -0.0, 1, -1, np.nan, np.inf, -np.inf, 0.5]
    rng = np.random.default_rng(0)
    args = [rng.standard_normal((9, width)).astype(dtype) for _ in range(3)]
    for x in args:
        x[:, rng.integers(0, width, 2)] = rng.choice(special, (9, 2))
    results = []
    n = 3 if name in TERNARY else 2 if name in BINARY else 1
    operands = [v for i in range(3) for v in ([i, 0] if i < n else [-1, -1])]
    for twin in (_loop, _loop_py):
        out = np.zeros((9, width), dtype)
        code = [ROWWISE, 1, width, 1, OPCODES[name], 3, 0, *operands]
        machine = twin.Machine(
            np.dtype(dtype), [ROWS] * 4, [width] * 4, [False] * 4, code, 0
        )
        with np.errstate(all="ignore"):
            machine.run([*args, out], [], np.array([9]), False)
        results.append(out)
    bound = 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(*results, rtol=bound, atol=bound * 10)


BINARY = {"add", "sub", "mul", "div", "pow", "maximum", "minimum"}
BINARY |= {"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"}
BINARY |= {"mulrest", "mulmulrest", "muladdrest", "rstd", "standardize"}
TERNARY = {"where", "muladd", "add3", "standardize_grad"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "silu", "sqrt"])
def test_the_bits_of_an_element_depend_on_nothing_else(name, dtype):
    x = draw(40, dtype=dtype)
    whole = run(name, x)
    for first in (1, 5, 17):
        assert same_bits(run(name, x[first:]), whole[first:])


# -- bad arguments ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: _loop.pack(draw(3)), ShapeError, "two dimensions"),
        (lambda: _loop.pack(np.ones((2, 2), int)), DTypeError, "float32 or float64"),
        (
            lambda: _loop.product(draw(2, 3), _loop.pack(draw(4, 5)), 5),
            ShapeError,
            "do not fit",
        ),
        (
            lambda: _loop.product(draw(2, 4), _loop.pack(draw(4, 5)), 6),
            ShapeError,
            "5 columns, not 6",
        ),
        (
            lambda: _loop.product(np.ones((2, 4)), _loop.pack(draw(4, 5)), 5),
            DTypeError,
            "must be the same",
        ),
        (lambda: _loop.gram(draw(2, 3), draw(3, 3)), ShapeError, "2 rows and 3 rows"),
        (lambda: _loop.gram(draw(2, 3), np.ones((2, 3))), DTypeError, "the same"),
        (
            lambda: _loop.gram(draw(2, 3), draw(2, 3), draw(3, 4)),
            ArgumentError,
            "out must be",
        ),
        (lambda: _loop.sum_rows(np.ones((2, 2), int)), DTypeError, "float32 or"),
        (lambda: _loop.sums([draw(2, 3)] * 18, True), ArgumentError, "1 to 17 arrays"),
        (lambda: _loop.sums([], True), ArgumentError, "1 to 17 arrays"),
        (
            lambda: _loop.sums([draw(2, 3)] * 2, True, [draw(3, 3)]),
            ArgumentError,
            "2 sums, but 1",
        ),
        (lambda: _loop.set_num_threads(0), ArgumentError, "positive int, not 0"),
        (lambda: _loop.set_num_threads(1.5), ArgumentError, "positive int, not 1.5"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -- instruction sets ------------------------------------------------------------------


def forced(name, *args):
    return subprocess.run(
        [sys.executable, *args],
        env=os.environ | {"MINIGRAD_SIMD": name},
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(_backend.PURE, reason="the plain twin has no instructions")
@pytest.mark.parametrize("name", ["avx512", "avx2", "baseline"])
def test_every_instruction_set(name):
    """This file, and two others of the loop, on the set that is named."""
    if os.environ.get("MINIGRAD_SIMD"):
        pytest.skip("within such a run")
    if name not in _loop.SIMD_SUPPORTED:
        pytest.skip(f"this machine lacks {name}")
    assert _loop.SIMD in _loop.SIMD_SUPPORTED
    done = forced(name, "-c", "from minigrad import _loop; print(_loop.SIMD)")
    assert done.stdout.strip() == name
    if name != _loop.SIMD:
        others = ["test_loop_machine", "test_one_hot_rows"]
        files = [__file__, *(__file__.replace("test_loop_kernels", o) for o in others)]
        done = forced(name, "-m", "pytest", "-q", "-x", *files)
        assert done.returncode == 0, done.stdout


@pytest.mark.skipif(_backend.PURE, reason="the plain twin has no instructions")
def test_an_unknown_instruction_set():
    done = forced("mmx", "-c", "import minigrad")
    assert done.returncode == 1
    expected = f"MINIGRAD_SIMD is 'mmx', but this machine has {_loop.SIMD_SUPPORTED[0]}"
    assert f"ImportError: {expected}" in done.stderr


# -- threads, forks and signals --------------------------------------------------------


def test_products_in_several_python_threads_at_once():
    _loop.set_num_threads(3)
    x, w = draw(600, 400), draw(400, 500, seed=1)
    packed, expected = _loop.pack(w), _loop.product(x, _loop.pack(w), 500)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _loop.product(x, packed, 500), range(16)))
    assert all(same_bits(y, expected) for y in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.filterwarnings("ignore:os.fork.* JAX")  # where a peer is loaded
def test_a_child_process_makes_threads_of_its_own():
    _loop.set_num_threads(2)
    x, packed = draw(600, 400), _loop.pack(draw(400, 500, seed=1))
    expected = _loop.product(x, packed, 500)
    child = os.fork()
    if child == 0:
        same = same_bits(_loop.product(x, packed, 500), expected)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.filterwarnings("ignore:os.fork.* JAX")  # where a peer is loaded
def test_a_child_process_leaves_the_parts_of_another_thread_alone():
    _loop.set_num_threads(64)  # most of the parts wait while some are run
    x, packed = draw(6144, 1024), _loop.pack(draw(1024, 512, seed=1))
    rows, expected = x[:1536], _loop.product(x[:1536], packed, 512)
    for _ in range(5):
        other = threading.Thread(target=_loop.product, args=(x, packed, 512))
        other.start()
        time.sleep(0.005)
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # it would wait for ever
            same = same_bits(_loop.product(rows, packed, 512), expected)
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
        other.join()


@pytest.mark.parametrize("n", [1, 2])
def test_ctrl_c_ends_a_product(n):
    _loop.set_num_threads(n)
    rows = np.lib.stride_tricks.as_strided(draw(1, 2000), (400_000, 2000), (0, 4))
    y = draw(1, 64)
    other = np.lib.stride_tricks.as_strided(y, (400_000, 64), (0, 4))
    started = time.monotonic()
    threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        while time.monotonic() < started + 20:
            _loop.gram(rows, other)
    assert same_bits(
        _loop.gram(draw(9, 4), draw(9, 4)), _loop.gram(draw(9, 4), draw(9, 4))
    )
