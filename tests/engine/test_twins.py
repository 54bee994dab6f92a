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
from minigrad import _backend, _ops, mode, tape
from minigrad.errors import MinigradError
from minigrad.op import OPS

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
BINARY = ["add", "sub", "mul", "div", "maximum", "gt", "eq"]


def expressions(n=300):
    """Random expressions of a dozen ops on tensors, integers, masks and numbers."""
    for seed in range(n):
        rng = np.random.default_rng(seed)
        pool = [
            mg.tensor(rng.standard_normal((3, 3)), mg.float32, requires_grad=True),
            mg.tensor(rng.standard_normal(3), mg.float32, requires_grad=True),
            mg.tensor(rng.standard_normal((3, 3)), mg.float32),
            mg.tensor([1, 2, 0]),
            mg.tensor([True, False, True]),
        ]
        recording = (mode.ON, mode.TRACE)[seed % 2]
        yield f"expression-{seed}", record(lambda r=rng, p=pool: grow(r, p), recording)


def grow(rng, pool):
    for _ in range(16):
        with contextlib.suppress(MinigradError):  # such as the negative of a mask
            pool.append(grown(rng, lambda: pool[rng.integers(len(pool))]))
    return tuple(pool[5:])


def grown(rng, pick):
    kind = rng.integers(6)
    if kind == 0:
        y = getattr(pick(), rng.choice(UNARY))
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
    return dict((*samples(), *expressions()))


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


@pytest.mark.parametrize(("pure", "name"), [(False, "_ops"), (True, "_ops_py")])
def test_the_environment_chooses_the_twin(pure, name):
    code = "import minigrad; print(minigrad._backend.apply.__module__)"
    assert run_other(pure, ["-c", code]).strip() == f"minigrad.{name}"


def test_the_build_is_checked_if_the_environment_says_so():
    assert (os.environ.get("MINIGRAD_CHECKED", "0") == "1") is _ops.CHECKED


if __name__ == "__main__":
    print(json.dumps(transcript()))
