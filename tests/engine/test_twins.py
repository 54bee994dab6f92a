"""The compiled hot path and its plain Python twin: one meaning, and one record.

Run as a script, this prints what the backend that it finds records.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import _arithmetic, _backend, _tape, mode, tape
from minigrad.errors import MinigradError
from minigrad.op import OPS

# -- few numbers -----------------------------------------------------------------------

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
    ((2048,), (2048,)),
    ((2049,), (2049,)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_the_kernels_for_few_numbers_have_the_bits_of_the_forward(name, dtype):
    forward, small = OPS[name].forward, getattr(_arithmetic, name)
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
            found = small(x, y)
            if found is None:
                continue
            answered += 1
            expected = forward(x, y)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            same = (found == expected) | np.isnan(found) & np.isnan(expected)
            assert (
                same.all()
                and (np.signbit(found) == np.signbit(expected))[~np.isnan(found)].all()
            )
    assert answered == 8 + 2 * 8


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


if __name__ == "__main__":
    print(json.dumps(transcript()))
