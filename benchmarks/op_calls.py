"""Which call of each op is measured, and how numpy would write it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.case import Size
from minigrad.op import OPS, Op
from minigrad.samples import Drawn, Sample, floats, ints, sample

WHOLE = [
    *("sum", "amax", "amin", "argmax", "argmin", "logsumexp", "softmax"),
    *("log_softmax", "cumsum", "mean", "max", "min", "var", "std", "norm", "prod"),
]
"""What is also measured at the largest size, beside the elementwise ops."""

# Of an op that isn't elementwise: the call on r rows of c columns. A second call of an
# op has a name that says how it differs.
CALLS: dict[str, Callable[[int, int], Sample]] = {
    "add row": lambda r, c: sample(floats(r, c), floats(c)),
    "mul number": lambda r, c: sample(floats(r, c), 1.5),
    "matmul": lambda r, c: sample(floats(r, c), floats(c, r)),
    **{
        name: lambda r, c: sample(floats(r, c))
        for name in ("sum", "amax", "mean", "norm", "squeeze", "flatten")
    },
    "sum 0": lambda r, c: sample(floats(r, c), 0),
    "amax 0": lambda r, c: sample(floats(r, c), 0),
    "softmax 0": lambda r, c: sample(floats(r, c), 0),
    **{
        name: lambda r, c: sample(floats(r, c), -1)
        for name in (
            *("sum -1", "amax -1", "amin", "argmax", "argmin", "cumsum", "logsumexp"),
            *("softmax", "log_softmax", "max", "min", "var", "std", "unbind"),
        )
    },
    "prod": lambda r, c: sample(floats(r, c, low=0.9, high=1.1), -1),
    "reshape": lambda r, c: sample(floats(r, c), (c, r)),
    "permute": lambda r, c: sample(floats(r, c), (1, 0)),
    "transpose": lambda r, c: sample(floats(r, c), 0, 1),
    "expand": lambda r, c: sample(floats(r, 1), (r, c)),
    "sum_to": lambda r, c: sample(floats(r, c), (1, c)),
    "flip": lambda r, c: sample(floats(r, c), (0,)),
    "pad": lambda r, c: sample(floats(r, c), (1, 2)),
    "cat": lambda r, c: sample([floats(r, c), floats(r, c)]),
    "cat -1": lambda r, c: sample([floats(r, c), floats(r, c)], -1),
    "stack": lambda r, c: sample([floats(r, c), floats(r, c)]),
    "split": lambda r, c: sample(floats(r, c), r // 4),
    "chunk": lambda r, c: sample(floats(r, c), 4, -1),
    "unsqueeze": lambda r, c: sample(floats(r, c), 0),
    "getitem": lambda r, c: sample(
        floats(r, c), (slice(1, None), slice(None, None, 2))
    ),
    "getitem rows": lambda r, c: sample(floats(r, c), (np.arange(r) * 7 % r,)),
    "put": lambda r, c: sample(floats(r, c), (np.arange(r) * 7 % r,), (r, c)),
    "take": lambda r, c: sample(floats(r, c), ints(r, c, high=r * c)),
    "gather": lambda r, c: sample(floats(r, c), 1, ints(r, c, high=c)),
    "scatter_add": lambda r, c: sample(
        floats(r, c), 1, ints(r, c, high=c), floats(r, c)
    ),
    "embedding": lambda r, c: sample(ints(r, high=r), floats(r, c)),
    "embedding_grad": lambda r, c: sample(floats(r, c), ints(r, high=r), r),
    "standardize_grad": lambda r, c: sample(floats(r, c), floats(r, c), floats(r, 1)),
    "one_hot": lambda r, c: sample(ints(r, high=c), c),
    "to": lambda r, c: sample(floats(r, c), np.dtype(np.float64)),
    "dropout": lambda r, c: sample(floats(r, c), 0.5),
    "layer_norm": lambda r, c: sample(floats(r, c), (c,), floats(c), floats(c)),
    "nll_loss": lambda r, c: sample(floats(r, c), ints(r, high=c)),
    "cross_entropy": lambda r, c: sample(floats(r, c), ints(r, high=c)),
    "mse_loss": lambda r, c: sample(floats(r, c), floats(r, c)),
    "l1_loss": lambda r, c: sample(floats(r, c), floats(r, c)),
    "binary_cross_entropy_with_logits": lambda r, c: sample(
        floats(r, c), floats(r, c, low=0.0, high=1.0)
    ),
    "ctc_loss": lambda r, c: sample(
        floats(r, 4, c, low=-4.0, high=-3.0),
        ints(4, r // 4, low=1, high=c),
        np.full(4, r),
        np.full(4, r // 4),
    ),
    "einsum": lambda r, c: sample("ij,jk->ik", floats(r, c), floats(c, r)),
}

# A function of numpy, or of what is written like numpy, and of the call's arguments.
IN_NUMPY: dict[str, Callable[..., Any]] = {
    "add": lambda np, x, y: np.add(x, y),
    "sub": lambda np, x, y: np.subtract(x, y),
    "mul": lambda np, x, y: np.multiply(x, y),
    "div": lambda np, x, y: np.true_divide(x, y),
    "neg": lambda np, x: np.negative(x),
    "pow": lambda np, x, y: np.power(x, y),
    "abs": lambda np, x: np.abs(x),
    "sign": lambda np, x: np.sign(x),
    "exp": lambda np, x: np.exp(x),
    "expm1": lambda np, x: np.expm1(x),
    "log": lambda np, x: np.log(x),
    "log1p": lambda np, x: np.log1p(x),
    "sqrt": lambda np, x: np.sqrt(x),
    "sin": lambda np, x: np.sin(x),
    "cos": lambda np, x: np.cos(x),
    "tanh": lambda np, x: np.tanh(x),
    "sigmoid": lambda np, x: 1 / (1 + np.exp(-x)),
    "relu": lambda np, x: np.maximum(x, 0),
    "silu": lambda np, x: x / (1 + np.exp(-x)),
    "softplus": lambda np, x: np.logaddexp(x, 0),
    "softsign": lambda np, x: x / (1 + np.abs(x)),
    "hardtanh": lambda np, x: np.clip(x, -1, 1),
    "maximum": lambda np, x, y: np.maximum(x, y),
    "minimum": lambda np, x, y: np.minimum(x, y),
    "where": lambda np, c, x, y: np.where(c, x, y),
    "clamp": lambda np, x, low, high: np.clip(x, low, high),
    "eq": lambda np, x, y: np.equal(x, y),
    "ne": lambda np, x, y: np.not_equal(x, y),
    "lt": lambda np, x, y: np.less(x, y),
    "le": lambda np, x, y: np.less_equal(x, y),
    "gt": lambda np, x, y: np.greater(x, y),
    "ge": lambda np, x, y: np.greater_equal(x, y),
    "logical_and": lambda np, x, y: np.logical_and(x, y),
    "logical_or": lambda np, x, y: np.logical_or(x, y),
    "logical_not": lambda np, x: np.logical_not(x),
    "zeros_like": lambda np, x: np.zeros_like(x),
    "square": lambda np, x: np.square(x),
    "reciprocal": lambda np, x: np.reciprocal(x),
    "rsqrt": lambda np, x: 1 / np.sqrt(x),
    "leaky_relu": lambda np, x: np.where(x > 0, x, x * 0.01),
    # Cut before the sum, which rounds some numbers to the kink.
    "hardsigmoid": lambda np, x: (np.clip(x, -3, 3) + 3) / 6,
    "add row": lambda np, x, y: np.add(x, y),
    "mul number": lambda np, x, y: np.multiply(x, y),
    "matmul": lambda np, x, y: np.matmul(x, y),
    "sum": lambda np, x: np.sum(x),
    "sum 0": lambda np, x, d: np.sum(x, d),
    "sum -1": lambda np, x, d: np.sum(x, d),
    "amax": lambda np, x: np.max(x),
    "amax 0": lambda np, x, d: np.max(x, d),
    "amax -1": lambda np, x, d: np.max(x, d),
    "amin": lambda np, x, d: np.min(x, d),
    "argmax": lambda np, x, d: np.argmax(x, d),
    "argmin": lambda np, x, d: np.argmin(x, d),
    "cumsum": lambda np, x, d: np.cumsum(x, d),
    "logsumexp": lambda np, x, d: _log_sum(np, x, d)[..., 0],
    "softmax": lambda np, x, d: _softmax(np, x, d),
    "softmax 0": lambda np, x, d: _softmax(np, x, d),
    "log_softmax": lambda np, x, d: x - _log_sum(np, x, d),
    "mean": lambda np, x: np.mean(x),
    "var": lambda np, x, d: np.var(x, d, ddof=1),
    "std": lambda np, x, d: np.std(x, d, ddof=1),
    "norm": lambda np, x: np.sqrt(np.sum(x * x)),
    "prod": lambda np, x, d: np.prod(x, d),
    "reshape": lambda np, x, shape: np.reshape(x, shape),
    "permute": lambda np, x, dims: np.transpose(x, dims),
    "transpose": lambda np, x, a, b: np.swapaxes(x, a, b),
    "expand": lambda np, x, shape: np.broadcast_to(x, shape),
    "sum_to": lambda np, x, shape: np.sum(x, 0, keepdims=True),
    "flip": lambda np, x, dims: np.flip(x, 0),
    "pad": lambda np, x, n: np.pad(x, ((0, 0), n), "constant"),
    "cat": lambda np, xs: np.concatenate(xs),
    "cat -1": lambda np, xs, d: np.concatenate(xs, d),
    "stack": lambda np, xs: np.stack(xs),
    "split": lambda np, x, n: tuple(np.split(x, len(x) // n)),
    "chunk": lambda np, x, n, d: tuple(np.split(x, n, d)),
    "squeeze": lambda np, x: np.squeeze(x),
    "unsqueeze": lambda np, x, d: np.expand_dims(x, d),
    "flatten": lambda np, x: np.reshape(x, -1),
    "getitem": lambda np, x, index: x[index],
    "getitem rows": lambda np, x, index: x[index],
    "take": lambda np, x, index: np.reshape(x, -1)[index],
    "gather": lambda np, x, d, index: x[np.arange(len(x))[:, None], index],
    "embedding": lambda np, index, x: x[index],
    "to": lambda np, x, dtype: x.astype(dtype),
    "layer_norm": lambda np, x, _, w, b: _layer_norm(np, x) * w + b,
    "cross_entropy": lambda np, x, y: np.mean(
        (_log_sum(np, x, -1) - x)[np.arange(len(y)), y]
    ),
    "nll_loss": lambda np, x, y: -np.mean(x[np.arange(len(y)), y]),
    "mse_loss": lambda np, x, y: np.mean((x - y) ** 2),
    "l1_loss": lambda np, x, y: np.mean(np.abs(x - y)),
    "binary_cross_entropy_with_logits": lambda np, x, y: np.mean(
        np.logaddexp(x, 0) - x * y
    ),
    "einsum": lambda np, equation, x, y: np.einsum(equation, x, y),
}


def names() -> list[str]:
    """Every call: one of each op at least."""
    return [*(name for name in OPS if name not in CALLS), *CALLS]


def op_of(name: str) -> Op:
    """The op that a call is of: the name's first word."""
    return OPS[name.partition(" ")[0]]


def call(name: str, size: Size) -> tuple[Any, ...]:
    """The call's arguments as float32 and int64 arrays and numbers, at (rows, columns).

    An elementwise op's are those of its first sample, all in this size.
    """
    made = CALLS[name](*size) if name in CALLS else _sized(op_of(name).samples[0], size)
    args, _ = made.make(np.random.default_rng(0), np.float32)
    return args


def _sized(first: Sample, size: Size) -> Sample:
    args = (
        Drawn(a.kind, size, a.fill) if isinstance(a, Drawn) else a for a in first.args
    )
    return Sample(tuple(args), first.params)


def _log_sum(np: Any, x: Any, dim: int) -> Any:
    top = np.max(x, dim, keepdims=True)
    return top + np.log(np.sum(np.exp(x - top), dim, keepdims=True))


def _softmax(np: Any, x: Any, dim: int) -> Any:
    exps = np.exp(x - np.max(x, dim, keepdims=True))
    return exps / np.sum(exps, dim, keepdims=True)


def _layer_norm(np: Any, x: Any) -> Any:
    centred = x - np.mean(x, -1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, -1, keepdims=True) + 1e-5)
