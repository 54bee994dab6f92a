"""How accurate the elementwise ops are over the whole range of their arguments.

Functions are held to the exact value, in units in the last place; arithmetic, which is
rounded correctly, and what isn't rounded at all have to be equal to PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from typing import Any

import numpy as np

from minigrad.op import Op

from .cases import stream
from .judge import Judge
from .result import Result
from .twins import call_twin, to_torch

Array = np.ndarray[Any, Any]

POINTS = 20_000  # in each range
MEASURED = 200  # the likely worst of them, exactly
BITS: dict[str, Any] = {"float32": np.uint32, "float64": np.uint64}
SPECIAL = (0.0, -0.0, 1.0, -1.0, 100.0, -100.0, np.inf, -np.inf, np.nan)
NUMBERS = {"clamp": (-0.5, 0.5)}
WIDE = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


def tanh(x: Decimal) -> Decimal:
    """The hyperbolic tangent; where it would cancel, by its series."""
    if abs(x) < Decimal("1e-5"):
        square = x * x
        return x * (1 - square / 3 + 2 * square**2 / 15 - 17 * square**3 / 315)
    small = (-2 * abs(x)).exp()
    return ((1 - small) / (1 + small)).copy_sign(x)


EXACT: dict[str, Callable[..., Decimal]] = {
    "exp": Decimal.exp,
    "log": Decimal.ln,
    "sqrt": Decimal.sqrt,
    "tanh": tanh,
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "pow": lambda x, y: x**y,
}


# The same in the widest floats there are: where the largest errors may be.
NEAR: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "pow": np.power,
}


def check(judge: Judge, op: Op, call: Callable[..., Any]) -> Iterator[Result]:
    """One dtype of one elementwise op."""
    rng = stream(op.name, judge.dtype, "range")
    arrays = draw_operands(op, rng, judge.dtype)
    with np.errstate(all="ignore"):
        found = call(*arrays).numpy()
    twin = call_twin(op, tuple(map(to_torch, arrays)), {}).numpy()
    if op.name not in EXACT:
        yield judge.equal("whole range: equal to PyTorch's", found, twin)
        return
    operands = list(np.broadcast_arrays(*arrays))
    finite = np.all([np.isfinite(a) for a in (*operands, twin)], axis=0)
    yield judge.equal("whole range: not finite", found[~finite], twin[~finite])
    found, operands = found[finite], [a[finite] for a in operands]
    some = likely_worst(op.name, found, operands)
    points = list(zip(*(a[some].tolist() for a in operands), strict=True))
    with localcontext(WIDE):
        truths = (EXACT[op.name](*map(Decimal, point)) for point in points)
        errors = [ulps(*pair) for pair in zip(found[some], truths, strict=True)]
    worst = int(np.argmax(errors))
    where = ", ".join(map(repr, points[worst]))
    yield judge.accurate("whole range: ulp", errors[worst], f"{op.name}({where})")


def likely_worst(name: str, found: Array, operands: list[Array]) -> Array:
    """The points to be measured: those that seem worst in wide floats."""
    with np.errstate(all="ignore"):
        near = NEAR[name](*(a.astype(np.longdouble) for a in operands))
        seeming = np.abs(found - near) / np.spacing(np.abs(found))
    return np.argsort(np.nan_to_num(seeming, nan=np.inf))[-MEASURED:]


def ulps(actual: Any, truth: Decimal) -> float:
    """The distance from the exact value, in units in the last place at that value."""
    nearest = type(actual)(float(truth))
    if not np.isfinite(nearest):
        return 0.0 if actual == nearest else np.inf
    unit = Decimal(float(np.spacing(abs(nearest))))
    return float(abs(Decimal(float(actual)) - truth) / unit)


def draw_operands(op: Op, rng: np.random.Generator, dtype: str) -> list[Any]:
    """An array for each input, and the numbers that the op can't do without."""
    arrays = [
        rng.permutation(values(rng, dtype)) if p in op.promoting else coins(rng)
        for p in op.positions
    ]
    if op.name == "pow":  # of other bases and exponents only specials are defined
        arrays = [np.abs(arrays[0]), np.clip(arrays[1], -3, 3)]
    return [*arrays, *NUMBERS.get(op.name, ())]


def coins(rng: np.random.Generator) -> Array:
    """As many booleans as there are values."""
    return rng.random(len(SPECIAL) + 3 * POINTS) < 0.5


def values(rng: np.random.Generator, dtype: str) -> Array:
    """Special values, then any bit pattern, then two ordinary ranges."""
    bits = BITS[dtype]
    patterns = rng.integers(0, np.iinfo(bits).max, POINTS, bits, endpoint=True)
    ordinary = [rng.uniform(-width, width, POINTS) for width in (2.0, 100.0)]
    with np.errstate(all="ignore"):
        parts = [np.array(SPECIAL), patterns.view(dtype), *ordinary]
        return np.concatenate([part.astype(dtype) for part in parts])
