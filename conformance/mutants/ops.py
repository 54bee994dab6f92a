"""Wrong VJPs and forwards of ops."""

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import ctc, losses
from minigrad import functional as F

from .mutant import Mutant
from .planting import Edit


def vjp(op: str, name: str, **vjps: Callable[..., Any]) -> Mutant:
    """A wrong VJP of an op."""
    return Mutant(f"{op}: {name}", op=op, vjps=vjps)


def inexact(op: str, name: str) -> Mutant:
    """The VJP of one input, off by a relative 1e-11."""
    right = mg.op.OPS[op].vjps[name]
    wrong = {name: lambda *args: right(*args) * (1 + 1e-11)}
    text = f"the gradient by {name} is off by 1e-11"
    return Mutant(f"{op}: {text}", op=op, vjps=wrong)


def narrow(op: str) -> Mutant:
    """The forward computed in float32, whatever it is given."""
    right = mg.op.OPS[op].forward

    def forward(*args: Any) -> Any:
        dtypes = [a.dtype for a in args if isinstance(a, np.ndarray)]
        some = [np.float32(a) if isinstance(a, np.ndarray) else a for a in args]
        return np.asarray(right(*some)).astype(dtypes[0])

    return Mutant(f"{op}: in float32", op=op, forward=forward)


def composite(op: str, name: str, *edits: Edit, owner: Any = F) -> Mutant:
    """A bug in an op that is made of others."""
    return Mutant(f"{op}: {name}", edits=edits, op=op, owner=owner, function=op)


def own_vjps() -> list[tuple[str, str]]:
    """(op, input) of each VJP in minigrad's table."""
    own = (op for op in mg.op.OPS.values() if op.forward.__module__ == mg.ops.__name__)
    return [(op.name, name) for op in own for name in op.vjps]


def _overwrite(array: Any, index: Any, x: Any) -> Any:
    array[index] = x
    return array


_alignments_vjp = ctc.aligned.vjps["log_probs"]


def _inexact_if_not_recorded(*args: Any) -> Any:
    """The kernel's gradient; the one made of ops is as it was."""
    return _alignments_vjp(*args) * (1.0 if mg.is_grad_enabled() else 1 + 1e-11)


OPS = [
    vjp("add", "the sign of y", y=lambda g, z, x, y: -g),
    vjp("sub", "the sign of y", y=lambda g, z, x, y: g),
    vjp("mul", "x for y", x=lambda g, z, x, y: g * x),
    vjp("div", "y not squared", y=lambda g, z, x, y: -g * x / y),
    vjp("pow", "exponent not lowered", x=lambda g, z, x, y: g * (y * x**y)),
    vjp("abs", "no sign", x=lambda g, y, x: g),
    vjp("square", "the two forgotten", x=lambda g, y, x: g * x),
    vjp("reciprocal", "the sign", x=lambda g, y, x: g * y * y),
    vjp("rsqrt", "y squared", x=lambda g, y, x: -0.5 * g * (y * y)),
    vjp("exp", "of the wrong argument", x=lambda g, y, x: g * x),
    vjp("expm1", "y for y + 1", x=lambda g, y, x: g * y),
    vjp("log1p", "the logarithm's", x=lambda g, y, x: g / x),
    vjp("sqrt", "the half forgotten", x=lambda g, y, x: g / y),
    vjp("sin", "the sign", x=lambda g, y, x: -g * mg.cos(x)),
    vjp("cos", "the sign", x=lambda g, y, x: g * mg.sin(x)),
    vjp("tanh", "1 - y for 1 - y*y", x=lambda g, y, x: g * (1 - y)),
    vjp(
        "tanh",
        "the second derivative alone is wrong",
        x=lambda g, y, x: g * (1 - (y * y).detach()),
    ),
    vjp("sigmoid", "1 + y", x=lambda g, y, x: g * y * (1 + y)),
    vjp("silu", "the gate alone", input=lambda g, y, input: g * mg.sigmoid(input)),
    vjp(
        "softplus",
        "beta forgotten",
        input=lambda g, y, input, beta, threshold: g * mg.sigmoid(input),
    ),
    vjp(
        "softplus",
        "the threshold forgotten",
        input=lambda g, y, input, beta, threshold: g * mg.sigmoid(input * beta),
    ),
    vjp("softsign", "not squared", input=lambda g, y, input: g / (1 + abs(input))),
    vjp(
        "hardtanh",
        "the ends pass",
        input=lambda g, y, input, low, high: mg.where(input == y, g, 0.0),
    ),
    vjp("relu", "1 at 0", x=lambda g, y, x: mg.where(x >= 0, g, 0.0)),
    vjp(
        "maximum", "x takes all of a tie", x=lambda g, z, x, y: mg.where(x >= y, g, 0.0)
    ),
    vjp(
        "clamp",
        "nothing at the ends",
        x=lambda g, y, x, min, max: mg.where(
            (x > (min or -1e9)) & (x < (max or 1e9)), g, 0.0
        ),
    ),
    vjp(
        "where",
        "sides exchanged",
        x=lambda g, z, condition, x, y: mg.where(condition, 0.0, g),
    ),
    vjp(
        "matmul",
        "a square y not transposed",
        x=lambda g, z, x, y: g @ (y if y.shape == y.mT.shape else y.mT),
    ),
    vjp(
        "sum",
        "the mean's",
        x=lambda g, y, x, dim, keepdim: g * mg.ones_like(x) / x.numel(),
    ),
    vjp(
        "amax",
        "every tie takes all",
        x=lambda g, y, x, dim, keepdim: mg.where(
            x == mg.ops.restore(y, x, dim, keepdim),
            mg.ops.restore(g, x, dim, keepdim),
            0.0,
        ),
    ),
    vjp(
        "softmax",
        "zero, which a cotangent of ones can't see",
        x=lambda g, y, x, dim: g * 0,
    ),
    vjp(
        "log_softmax",
        "the sum over everything",
        x=lambda g, y, x, dim: g - mg.exp(y) * g.sum(),
    ),
    vjp(
        "logsumexp",
        "not normalised",
        x=lambda g, y, x, dim, keepdim: mg.ops.restore(g, x, dim, keepdim) * mg.exp(x),
    ),
    vjp(
        "permute",
        "the permutation, not its inverse",
        x=lambda g, y, x, dims: mg.reshape(g.permute(dims), x.shape),
    ),
    vjp("cumsum", "from the front", x=lambda g, y, x, dim: mg.cumsum(g, dim)),
    vjp(
        "pad",
        "before and after exchanged",
        input=lambda g, y, input, pad, *_: mg.ops.pad(
            g, [-n for pair in zip(pad[1::2], pad[::2], strict=True) for n in pair]
        ),
    ),
    vjp(
        "take",
        "repeated indices overwrite",
        x=lambda g, y, x, index: mg.Tensor(
            _overwrite(np.zeros(x.numel(), x.dtype), index.numpy(), g.detach().numpy())
        ).reshape(x.shape),
    ),
    vjp("flip", "not flipped back", x=lambda g, y, x, dims: g),
    vjp(
        "cat",
        "always the first piece",
        tensors=lambda i, g, y, tensors, dim: mg.ops._cat_vjp(
            0 if tensors[0].shape == tensors[i].shape else i, g, y, tensors, dim
        ),
    ),
    vjp(
        "stack",
        "always the first slice",
        tensors=lambda i, g, y, tensors, dim: mg.unbind(g, dim)[0],
    ),
    vjp(
        "split",
        "pieces in reverse order",
        x=lambda gs, ys, x, split_size_or_sections, dim: mg.cat(
            mg.ops.present(gs, ys)[::-1], dim
        ),
    ),
    vjp(
        "gather",
        "repeated indices overwrite",
        x=lambda g, y, x, dim, index: mg.zeros_like(x),
    ),
    vjp(
        "embedding",
        "the padding row is trained",
        weight=lambda g, y, input, weight, padding_idx: mg.ops.embedding_grad(
            g, input, weight.shape[0], None
        ),
    ),
    Mutant(
        "sigmoid: the logistic of 2x",
        op="sigmoid",
        forward=lambda x: 0.5 * (np.tanh(x) + 1),
        shipped="autograd's examples/rnn.py",
    ),
    Mutant("exp: numpy's, off by 2.5 ulp in float32", op="exp", forward=np.exp),
    Mutant("expm1: numpy's, off by 2.6 ulp in float32", op="expm1", forward=np.expm1),
    Mutant("log: numpy's, off by 3.6 ulp in float32", op="log", forward=np.log),
    Mutant(
        "silu: overflows far below 0",
        op="silu",
        forward=lambda input: input / (1 + np.exp(-input)),
    ),
    Mutant(
        "softplus: overflows at 100",
        op="softplus",
        forward=lambda input, beta, threshold: np.log1p(np.exp(input * beta)) / beta,
    ),
    Mutant(
        "put: an index named twice overwrites",
        op="put",
        forward=lambda x, index, shape: _overwrite(np.zeros(shape, x.dtype), index, x),
    ),
    vjp("sign", "as if it were its argument", x=lambda g, y, x: g),
    vjp("neg", "the sign", x=lambda g, y, x: g),
    vjp("log", "of the value", x=lambda g, y, x: g / y),
    vjp(
        "minimum", "y takes all of a tie", y=lambda g, z, x, y: mg.where(y <= x, g, 0.0)
    ),
    vjp(
        "pow",
        "the logarithm of the power",
        y=lambda g, z, x, y: g * z * mg.log(z),
    ),
    vjp(
        "amin",
        "every tie takes all",
        x=lambda g, y, x, dim, keepdim: mg.where(
            x == mg.ops.restore(y, x, dim, keepdim),
            mg.ops.restore(g, x, dim, keepdim),
            0.0,
        ),
    ),
    vjp("reshape", "doubled", x=lambda g, y, x, shape: mg.reshape(g + g, x.shape)),
    vjp(
        "reshape",
        "in the other order",
        x=lambda g, y, x, shape: mg.reshape(
            mg.reshape(g, (-1,)).flip((0,)) if g.ndim == 1 else g, x.shape
        ),
    ),
    vjp(
        "expand",
        "shared out to the copies",
        x=lambda g, y, x, size: g / max(g.numel(), 1),
    ),
    vjp(
        "sum_to",
        "shared out among what was added",
        x=lambda g, y, x, size: g.expand(x.shape) * (y.numel() / x.numel()),
    ),
    vjp(
        "unbind",
        "in reverse order",
        x=lambda gs, ys, x, dim: mg.stack(mg.ops.present(gs, ys)[::-1], dim),
    ),
    vjp(
        "getitem",
        "repeated indices overwrite",
        x=lambda g, y, x, index: mg.Tensor(
            _overwrite(np.zeros(x.shape, x.dtype), index, g.detach().numpy())
        ),
    ),
    vjp("put", "negated", x=lambda g, y, x, index, shape: -g[index]),
    vjp(
        "scatter_add",
        "src is not gathered",
        src=lambda g, y, x, dim, index, src: g.sum().expand(src.shape),
    ),
    vjp(
        "scatter_add",
        "x overwritten, not added to",
        x=lambda g, y, x, dim, index, src: mg.where(
            mg.scatter_add(mg.zeros_like(x), dim, index, mg.ones_like(src)) > 0, 0.0, g
        ),
    ),
    vjp(
        "embedding_grad",
        "the padding row's too",
        x=lambda g, y, x, index, n, padding: mg.embedding(index, g),
    ),
    vjp("to", "nothing comes back", x=lambda g, y, x, dtype: mg.zeros_like(x)),
    # That of a sign is zero, whatever it is multiplied by.
    *(inexact(op, name) for op, name in own_vjps() if op != "sign"),
    *map(narrow, ("tanh", "exp", "matmul", "softmax", "cumsum", "logsumexp")),
    composite("dropout", "without its scale", ("1.0 / (1.0 - p)", "1.0")),
    composite("dropout", "scaled by p", ("1.0 / (1.0 - p)", "1.0 / max(p, 0.1)")),
    composite(
        "dropout",
        "the mask inverted",
        ("(mask * scale)", "(~mask * scale)"),
    ),
    composite(
        "dropout",
        "in evaluation, too",
        ("return ops.clone(input)", "return input * (1.0 - p)"),
    ),
    composite(
        "leaky_relu",
        "the slope for all",
        ("_leaky_relu(input, float(negative_slope))", "input * negative_slope"),
    ),
    composite(
        "hardsigmoid",
        "from -2 to 2",
        ("_hardsigmoid(input)", "_hardsigmoid(input * 1.5)"),
    ),
    composite(
        "mse_loss",
        "half the square",
        ("difference * difference", "0.5 * difference * difference"),
        owner=losses,
    ),
    composite(
        "l1_loss",
        "the square",
        ("ops.abs(input - target)", "(input - target) * (input - target)"),
        owner=losses,
    ),
    composite(
        "ctc_loss",
        "infinite losses stay so",
        ("reduction, zero_infinity)", "reduction, False)"),
        owner=ctc,
    ),
    Mutant(
        "ctc_loss: in one pass, the gradient is off by 1e-11",
        op="ctc_loss",
        owner=ctc.aligned,
        vjps={"log_probs": _inexact_if_not_recorded},
    ),
    Mutant(
        "relu: the tie seen from x, not from y",
        op="relu",
        vjps={"x": lambda g, y, x: mg.where(x <= 0, 0.0, g)},
        equivalent="y = max(x, 0) is at most 0 just where x is.",
    ),
]
