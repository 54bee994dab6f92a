"""How accurate the elementwise ops are over the whole range of their arguments.

Functions are held to the exact value, in units in the last place; arithmetic, which is
rounded correctly, and what isn't rounded at all have to be equal to PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np

from minigrad.op import Op

from ..cases import stream
from ..judge import Judge
from ..reference.twins import call_twin, to_torch
from ..result import Result

Array = np.ndarray[Any, Any]

POINTS = {"float32": 2**17, "float64": 2**14}  # in each range
MEASURED = 200  # the likely worst of them, exactly
DIGITS = 60
BITS: dict[str, Any] = {"float32": np.uint32, "float64": np.uint64}
SPECIAL = (0.0, -0.0, 1.0, -1.0, 100.0, -100.0, np.inf, -np.inf, np.nan)
NUMBERS = {"clamp": (-0.5, 0.5)}

DEFINITIONS: dict[str, Callable[..., Any]] = {
    "exp": lambda m, x: m.exp(x),
    "expm1": lambda m, x: m.expm1(x),
    "log": lambda m, x: m.log(x),
    "log1p": lambda m, x: m.log1p(x),
    "sqrt": lambda m, x: m.sqrt(x),
    "rsqrt": lambda m, x: 1 / m.sqrt(x),
    "sin": lambda m, x: m.sin(x),
    "cos": lambda m, x: m.cos(x),
    "tanh": lambda m, x: m.tanh(x),
    "sigmoid": lambda m, x: 1 / (1 + m.exp(-x)),
    "silu": lambda m, x: x / (1 + m.exp(-x)),
    # PyTorch's definition: from its threshold on, the argument itself.
    "softplus": lambda m, x: np.where(x > 20, x, m.log1p(m.exp(x))),
    "softsign": lambda m, x: x / (1 + abs(x)),
    "pow": lambda m, x, y: x**y,
}
"""The functions, by those of a module m: of numpy, or of one with more digits."""

ELEMENTARY = ("mpf", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh")
MPMATH = SimpleNamespace(
    **{name: np.frompyfunc(getattr(mpmath, name), 1, 1) for name in ELEMENTARY}
)


def check(judge: Judge, op: Op, call: Callable[..., Any]) -> Iterator[Result]:
    """One dtype of one elementwise op."""
    rng = stream(op.name, judge.dtype, "range")
    arrays = draw_operands(op, rng, judge.dtype)
    with np.errstate(all="ignore"):
        found = call(*arrays).numpy()
    twin = call_twin(op, tuple(map(to_torch, arrays)), {}).numpy()
    if op.name not in DEFINITIONS:
        yield judge.equal("whole range: equal to PyTorch's", found, twin)
        return
    operands = list(np.broadcast_arrays(*arrays))
    finite = np.all([np.isfinite(a) for a in (*operands, twin)], axis=0)
    yield judge.equal("whole range: not finite", found[~finite], twin[~finite])
    found, operands = found[finite], [a[finite] for a in operands]
    with np.errstate(all="ignore"):
        some = likely_worst(op.name, found, operands)
        points = [a[some] for a in operands]
        errors = ulps(op.name, found[some], points)
    worst = int(np.argmax(errors))
    where = ", ".join(repr(point[worst].item()) for point in points)
    yield judge.accurate("whole range: ulp", errors[worst], f"{op.name}({where})")


def likely_worst(name: str, found: Array, operands: list[Array]) -> Array:
    """The points to be measured: those that seem worst in the widest floats."""
    near = DEFINITIONS[name](np, *(a.astype(np.longdouble) for a in operands))
    seeming = np.abs(found - near) / np.spacing(np.abs(found))
    return np.argsort(np.nan_to_num(seeming, nan=np.inf))[-MEASURED:]


def ulps(name: str, found: Array, points: list[Array]) -> Array:
    """The distances from the exact values, in units in the last place at those."""
    with mpmath.workdps(DIGITS):
        truth = np.asarray(DEFINITIONS[name](MPMATH, *map(MPMATH.mpf, points)))
        nearest = truth.astype(np.float64).astype(found.dtype)
        gaps = np.abs(found.astype(object) - truth)
        errors = (gaps / np.spacing(np.abs(nearest))).astype(np.float64)
    overflown = np.where(found == nearest, 0.0, np.inf)
    return np.where(np.isfinite(nearest), errors, overflown)


def draw_operands(op: Op, rng: np.random.Generator, dtype: str) -> list[Any]:
    """An array for each input, and the numbers that the op can't do without."""
    drawn = [rng.permutation(values(rng, dtype)) for _ in op.positions]
    arrays = [
        array if p in op.promoting else rng.random(array.shape) < 0.5
        for p, array in zip(op.positions, drawn, strict=True)
    ]
    if op.name == "pow":  # of other bases and exponents only specials are defined
        arrays = [np.abs(arrays[0]), np.clip(arrays[1], -3, 3)]
    return [*arrays, *NUMBERS.get(op.name, ())]


def values(rng: np.random.Generator, dtype: str) -> Array:
    """Special values, then any bit pattern, then two ordinary ranges."""
    bits, n = BITS[dtype], POINTS[dtype]
    patterns = rng.integers(0, np.iinfo(bits).max, n, bits, endpoint=True)
    ordinary = [rng.uniform(-width, width, n) for width in (2.0, 100.0)]
    with np.errstate(all="ignore"):
        parts = [np.array(SPECIAL), patterns.view(dtype), *ordinary]
        return np.concatenate([part.astype(dtype) for part in parts])
