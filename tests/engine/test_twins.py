"""The compiled hot path and its plain Python twin: one meaning, and one record.

Run as a script, this prints what the backend that it finds records.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import (
    _backend,
    _kernels,
    _tape,
    functional,
    label_losses,
    mode,
    reductions,
    tape,
)
from minigrad._keep import LARGE
from minigrad.errors import MinigradError
from minigrad.nn import layers
from minigrad.op import OPS

# -- kernels that are asked before the forward ---------------------------------------

compiled = pytest.mark.skipif(_backend.PURE, reason="the plain twin has no kernels")

EDGES = [0.0, -0.0, 1.0, 40.0, 1e-45, 1e-30, 1e30, np.inf, np.nan]
NUMBERS = [0.5, -3.0, 7, 0, 1 << 23, 1 << 25, 1e300, -0.0, float("inf"), True]
PAIRS = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((4,), (2, 3, 4)),
    ((), (5,)),
    ((2, 3), ()),
    ((), ()),
    ((3, 1), (3, 4)),
    ((1, 4), (4,)),
    ((0, 4), (4,)),
    ((2049,), (2049,)),
    ((300, 70), (70,)),
]
PRODUCTS = [  # the rows, the inner size, the size of the result
    (1, 3, 2),
    (4, 50, 28),
    (9, 17, 16),
    (20, 5, 33),
    (7, 1, 1),
    (3, 4, 50, 19),
    (12, 1, 50, 28),
    (40, 40, 70),
]
ARITHMETIC = ["add", "sub", "mul", "div", "maximum", "minimum"]
TESTS = ["eq", "ne", "lt", "le", "gt", "ge"]


@compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*ARITHMETIC, *TESTS])
def test_the_kernels_of_pairs_have_the_bits_of_the_forward(name, dtype):
    op = OPS[name]
    edges = np.array([*EDGES, *np.negative(EDGES)])
    rng = np.random.default_rng(0)
    answered = 0
    pairs = [
        tuple(rng.choice(edges, shape).astype(dtype) for shape in shapes)
        for shapes in PAIRS
    ]
    first, column = pairs[0][0], pairs[0][0][:, 1]
    pairs += [(first, n) for n in NUMBERS] + [(n, first) for n in NUMBERS]
    pairs += [(first.T, first.T), (column, column), (first, first > 0)]
    pairs += [(first, first.astype("f4" if dtype == np.float64 else "f8")), (2.0, 3.0)]
    with np.errstate(all="ignore"):
        for x, y in pairs:
            found = _tape.ask(op, (x, y))
            if found is None:
                continue
            answered += 1
            expected = op.forward(x, y)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            same = (found == expected) | np.isnan(found) & np.isnan(expected)
            assert same.all()
            if name in ("add", "sub", "mul", "div"):  # which zero is larger is open
                signs = np.signbit(found) == np.signbit(expected)
                assert signs[~np.isnan(found)].all()
    assert answered == 9 + 2 * 8


# What a composite calls, where it is not being traced.
HIDDEN = {
    "largest": reductions.largest,
    "smallest": reductions.smallest,
    "variance": reductions.variance,
    "deviation": reductions.deviation,
    "label_loss": label_losses.label_loss,
    "label_pick": label_losses.label_pick,
    "prod": reductions._prod,
    "leaky_relu": functional._leaky_relu,
    "hardsigmoid": functional._hardsigmoid,
    "linear": layers.linear,
}
PARAMS = {"variance": [1, 0.5], "deviation": [1, 0.5], "leaky_relu": [0.1]}


def of_hidden(name):
    """Their calls: along each dim, or with each parameter."""
    rng = np.random.default_rng(0)
    if name == "linear":
        for (*rows, k, n), dtype in itertools.product(PRODUCTS, ("f4", "f8")):
            shapes = ((*rows, k), (n, k), (n,))
            yield tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)
        return
    for shape in [(4, 4), (3, 70), (130, 3), (5, 4, 33), (70, 300)]:
        x = np.asarray(rng.normal(1, 0.1, shape), np.float32)
        x[0, 0] = x[0, 1] + 1
        if name.startswith("label"):
            labels = rng.integers(0, shape[-1], shape[:-1])
            labels.flat[0] = 77
            yield from ((x, labels, 77, how) for how in ("none", "sum", "mean"))
            continue
        params = PARAMS.get(name, [])
        if HIDDEN[name].params[1:2] != ("dim",):
            yield (x, *params)
            continue
        for dim in range(-1, x.ndim):
            yield from (
                (x, dim, keep, *params[i : i + 1])
                for i, keep in enumerate((False, True))
            )


def drawn(name):
    """Calls that the kernel of an op may answer: samples, and arrays of odd sizes."""
    if name in HIDDEN:
        yield from of_hidden(name)
        return
    rng = np.random.default_rng(0)
    for sample in OPS[name].samples:
        args, params = sample.make(rng, np.float32)
        yield OPS[name].bind(args, params)
    if name == "matmul":
        for *rows, k, n in PRODUCTS:
            x, y = (rng.normal(size=s).astype("f4") for s in ((*rows, k), (k, n)))
            yield from ((x, y), (x, np.asfortranarray(y)))
    for shape in [(3, 70), (130, 3), (5, 4, 33), (70, 300)]:
        x = np.asarray(rng.normal(0, 2, shape), np.float32)
        if OPS[name].elementwise and OPS[name].n_args == 1:
            yield (np.abs(x) if name in ("log", "sqrt", "rsqrt", "log1p") else x,)
        elif name == "sum_to":
            yield (x, x.shape[1:])
        elif name.startswith("logical"):
            yield tuple(rng.random(shape) < 0.5 for _ in OPS[name].params)
        elif name.startswith("arg"):
            yield (x, -1, False)
        elif OPS[name].defaults[1:2] == (None,) or name in ("softmax", "cumsum"):
            rest = () if OPS[name].n_args == 2 else (False,)
            yield from ((x, dim, *rest) for dim in range(-1, x.ndim))


@compiled
@pytest.mark.parametrize("name", sorted(set(_kernels.QUICK) - {*ARITHMETIC, *TESTS}))
def test_the_kernels_give_what_the_forward_gives(name):
    """The forward on float64, where numpy computes it."""
    op, answered = HIDDEN.get(name, OPS.get(name)), 0
    for args in drawn(name):
        found = _tape.ask(op, args)
        if found is None:
            continue
        answered += 1
        wide = [
            a.astype(np.float64) if getattr(a, "dtype", None) == np.float32 else a
            for a in args
        ]
        n = len(args) - op.n_params
        wide = [tuple(wide[:n]), *wide[n:]] if op.variadic else wide
        expected = op.forward(*wide)
        several = type(expected) is tuple
        pairs = [*zip(found, expected, strict=True)] if several else [(found, expected)]
        for ours, theirs in pairs:
            assert ours.shape == theirs.shape
            assert ours.dtype.kind == theirs.dtype.kind
            assert relative_error(ours, theirs) <= 4 * 2.0**-24 * 8, args
    assert answered


@compiled
@pytest.mark.parametrize("name", ["sum", "amax", "amin", "softmax", "cumsum"])
def test_a_dim_that_is_out_of_range_is_left_to_the_forward(name):
    rest = (False,) * (OPS[name].n_args - 2)
    for dim in (2, -3, 1 << 70, 0.0, True):
        assert _tape.ask(OPS[name], (np.ones((2, 3), np.float32), dim, *rest)) is None


# -- what a node keeps -----------------------------------------------------------------


def test_a_node_lets_go_of_large_arrays_that_no_vjp_looks_at():
    x = mg.ones(LARGE // 4, requires_grad=True)
    for op, keeps in KEEPS.items():
        before = x * 2.0
        y = op(before)
        held = [a.strides != (0,) for a in (*y._node.args[:1], *y._node.values)]
        assert held == keeps, y._node.op.name
        (found,) = mg.grad(y.sum(), x)
        small = mg.ones(3, requires_grad=True)
        (expected,) = mg.grad(op(small * 2.0).sum(), small)
        assert np.array_equal(found.numpy()[:3], expected.numpy())


KEEPS = {
    mg.exp: [False, True],
    mg.log: [True, False],
    mg.neg: [False, False],
    mg.relu: [False, True],
    mg.sigmoid: [False, True],
    (lambda x: x + 1.0): [False, False],
    (lambda x: x * 3.0): [False, False],
    (lambda x: x * x): [True, False],
    (lambda x: mg.where(mg.ones_like(x) > 0, x, 0.0)): [True, False],
}


def test_a_program_has_its_constants():
    x = mg.ones(LARGE // 4, requires_grad=True)
    y = mg.exp(x + mg.full((LARGE // 4,), 2.0)) * 1.0
    program, captured = mg.linearise([y], [x])
    (found,) = program.run(x.detach().numpy(), *captured)
    assert np.array_equal(found, y.detach().numpy())


ODD = [np.nan, np.inf, -np.inf]


@pytest.mark.parametrize("name", ["amax", "amin"])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_the_extremes_of_numbers_that_are_none(name, dim):
    rng = np.random.default_rng(0)
    for shape in [(3, 200), (200, 3), (40, 40)]:
        for odd in (ODD[:1], ODD[1:], ODD):
            x = rng.normal(size=shape).astype(np.float32)
            x[rng.random(shape) < 0.02] = rng.choice(odd)
            expected = getattr(np, name)(x, axis=dim)
            found = OPS[name](mg.Tensor(x), dim).numpy()
            np.testing.assert_array_equal(found, expected)


# -- what is recorded ------------------------------------------------------------------


def told(value):
    """A value without its numbers, which the kernels may round differently."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}"
    if isinstance(value, tuple | list):
        return [told(v) for v in value]
    return repr(value)


def graph_of(ys):
    """Every node behind the outputs: op, arguments, parents, slots, values."""
    nodes = tape.reachable([y._node for y in ys if y._node])[::-1]
    number = {node: i for i, node in enumerate(nodes)} | {None: None}
    lines = [
        [
            node.op and node.op.name,
            told(node.args),
            [number[parent] for parent in node.parents],
            list(node.slots),
            told(node.values),
        ]
        for node in nodes
    ]
    return [[number[y._node], y._slot, told(y._data)] for y in ys], lines


def record(call, recording):
    try:
        with mode.GradMode(recording):
            ys = call()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return graph_of(ys if isinstance(ys, tuple) else (ys,))


def samples():
    """Every sample and every bad call of every op, in each mode."""
    for name, op in OPS.items():
        for number, s in enumerate([*op.samples, *op.errors]):
            args, kwargs = s.make(np.random.default_rng(0), np.float32)
            args = [leaf(a) for a in args]
            kwargs = {k: leaf(a) for k, a in kwargs.items()}
            for recording in (mode.OFF, mode.ON, mode.TRACE):
                yield (
                    f"{name}-{number}-{recording}",
                    record(lambda a=args, k=kwargs, o=op: o.run(*a, **k), recording),
                )


def leaf(value):
    if isinstance(value, list):
        return [leaf(item) for item in value]
    if isinstance(value, np.ndarray):
        return mg.tensor(value, requires_grad=value.dtype.kind == "f")
    return value


UNARY = ["exp", "tanh", "sigmoid", "neg", "relu", "abs", "sign", "detach", "T", "float"]
EXACT = ["neg", "relu", "abs", "sign", "detach", "T", "float"]
BINARY = ["add", "sub", "mul", "div", "maximum", "gt", "eq"]


def pool_of(rng):
    """Tensors to grow an expression from, the first two with a gradient."""
    return [
        mg.tensor(rng.standard_normal((3, 3)), mg.float32, requires_grad=True),
        mg.tensor(rng.standard_normal(3), mg.float32, requires_grad=True),
        mg.tensor(rng.standard_normal((3, 3)), mg.float32),
        mg.tensor([1, 2, 0]),
        mg.tensor([True, False, True]),
    ]


def expressions(n=300):
    """Random expressions of a dozen ops on tensors, integers, masks and numbers."""
    for seed in range(n):
        rng = np.random.default_rng(seed)
        pool = pool_of(rng)
        recording = (mode.ON, mode.TRACE)[seed % 2]
        yield f"expression-{seed}", record(lambda r=rng, p=pool: grow(r, p), recording)


def walks(n=300):
    """Gradients of random expressions, to the bit: of ops that only numpy computes."""
    for seed in range(n):
        rng = np.random.default_rng(seed)
        pool = pool_of(rng)
        ys = [y for y in grow(rng, pool, EXACT) if y.requires_grad]
        seeds = [mg.tensor(rng.standard_normal(y.shape), y.dtype) for y in ys]
        if not ys:
            continue
        if seed % 3 == 0:
            ys[0].register_hook(lambda g: 2 * g)
        if seed % 3 == 1:
            ends = [*pool[:2], *ys[: seed % 4]]
            found = [mg.grad(ys, ends, seeds, seed % 5 == 0, False, True)]
            found.append(
                record(lambda e=ends, y=ys, s=seeds: mg.grad(y, e, s), mode.ON)
            )
        elif seed % 3 == 2:
            found = [mg.grad(ys, pool[:2], seeds, create_graph=True, allow_unused=True)]
            again = [g.sum() for g in found[0] if g is not None and g.requires_grad]
            if again:
                found.append(mg.grad(again, pool[:2], allow_unused=True))
        else:
            for y, g in zip(ys, seeds, strict=True):
                y.backward(g, retain_graph=True)
            found = [[x.grad for x in pool[:2]]]
        yield f"walk-{seed}", bits(found)


def bits(value):
    """Tensors as their numbers."""
    if isinstance(value, mg.Tensor):
        return [told(value._data), [x.hex() for x in value._data.ravel().tolist()]]
    return [bits(v) for v in value] if isinstance(value, tuple | list) else repr(value)


def grow(rng, pool, unary=UNARY):
    for _ in range(16):
        with contextlib.suppress(MinigradError):  # such as the negative of a mask
            pool.append(grown(rng, lambda: pool[rng.integers(len(pool))], unary))
    return tuple(pool[5:])


def grown(rng, pick, unary):
    kind = rng.integers(6)
    if kind == 0:
        y = getattr(pick(), rng.choice(unary))
        return y() if callable(y) else y
    if kind == 1:
        return OPS[rng.choice(BINARY)](pick(), pick())
    if kind == 2:
        pair = pick(), (2.5, 2, True)[rng.integers(3)]
        return OPS[rng.choice(BINARY)](*pair[:: rng.choice([1, -1])])
    if kind == 3:
        return mg.where(pick() > 0, pick(), (1.0, 2, pick())[rng.integers(3)])
    if kind == 4:
        return pick().expand(3, 3).unbind(rng.integers(2))[rng.integers(3)]
    return mg.cat([pick().expand(3, 3), pick().expand(3, 3), pick().expand(3, 3)])[:3]


def transcript():
    return dict((*samples(), *expressions(), *walks()))


def run_other(pure, code):
    """A fresh interpreter's output, on this build or on its plain twin."""
    env = {**os.environ, "PYTHONPATH": str(Path(mg.__file__).parents[1])}
    env["MINIGRAD_PURE"] = "1" if pure else "0"
    command = [sys.executable, "-P", "-W", "error", *code]
    return subprocess.run(
        command, env=env, check=True, capture_output=True, text=True
    ).stdout


def test_both_twins_record_the_same():
    other = json.loads(run_other(not _backend.PURE, [__file__]))
    ours = json.loads(json.dumps(transcript()))
    assert list(ours) == list(other)
    for name, recorded in ours.items():
        assert recorded == other[name], name
        assert not (name.startswith("expression") and isinstance(recorded[0], str))


# -- the switches ----------------------------------------------------------------------


@pytest.mark.parametrize(("pure", "name"), [(False, "_tape"), (True, "_tape_py")])
def test_the_environment_chooses_the_twin(pure, name):
    code = "import minigrad; print(minigrad._backend.apply.__module__)"
    assert run_other(pure, ["-c", code]).strip() == f"minigrad.{name}"


def test_the_build_is_checked_if_the_environment_says_so():
    assert (os.environ.get("MINIGRAD_CHECKED", "0") == "1") is _tape.CHECKED


@compiled
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_the_place_of_a_number_that_is_none(name):
    x = np.array([[1, np.nan, 3, np.nan], [np.inf, 1, np.inf, -np.inf]], np.float32)
    assert np.array_equal(_tape.ask(OPS[name], (x, 1, False)), getattr(np, name)(x, 1))


def test_a_gradient_of_one_number_seen_many_times():
    y = mg.tensor(np.linspace(-2, 2, 5000, dtype=np.float32), requires_grad=True)
    for op in (mg.tanh, mg.sigmoid, mg.relu, mg.abs):
        (spread,) = mg.grad(op(y).sum(), y)
        (given,) = mg.grad(op(y), y, mg.ones(5000))
        assert np.array_equal(spread.numpy(), given.numpy())


if __name__ == "__main__":
    print(json.dumps(transcript()))


@compiled
@pytest.mark.parametrize("shape", [(30, 40, 50), (64, 64, 64), (40, 300, 2)])
def test_products_that_numpy_computes_without_its_ufunc(shape):
    rng = np.random.default_rng(0)
    m, k, n = shape
    x, y = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    for a, b in ((x, y), (np.asfortranarray(x), y), (x, np.asfortranarray(y))):
        for kind in (np.float32, np.float64):
            a, b = a.astype(kind, order="K"), b.astype(kind, order="K")
            found = _tape.ask(OPS["matmul"], (a, b))
            limit = FLOAT64_RTOL if kind is np.float64 else 4 * 2.0**-24 * 8
            assert found.dtype == kind
            assert relative_error(found, a @ b) <= limit
