"""Every op of the table, beside numpy, torch and HIPS autograd."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

import minigrad as mg
from benchmarks.case import Absent, Case, Makers, Size
from benchmarks.measure import Subject
from benchmarks.op_calls import IN_NUMPY, WHOLE, call, names, op_of
from benchmarks.results import OURS
from conformance.reference.twins import WRITTEN, find_twin, to_torch

SIZES: list[Size] = [(4, 4), (64, 64), (512, 512)]
LARGEST: Size = (2500, 4000)
# It tells another function from float32's rounding; ten times that of 10^7 numbers, as
# HIPS autograd adds up long columns in float32.
SAME = 1e-3
RANDOM = ["dropout"]
# A gradient that would be zeros is not asked for.
CONSTANT = ["detach", "zeros_like", "sign"]
# PyTorch adds something to its gradient: see conformance/reference/twins.py.
OTHERWISE = ["ctc_loss"]

IN_TORCH: dict[str, Callable[..., Any]] = {
    "put": lambda x, index, shape: x.new_zeros(shape).index_put(index, x, True),
    "embedding_grad": lambda x, index, n: x.new_zeros(n, x.shape[1]).index_add(
        0, index, x
    ),
    "embedding": torch.nn.functional.embedding,
    **WRITTEN,
}
"""Of an op without a twin, or whose twin is not how it is called in PyTorch."""


def cases(quick: bool) -> Iterator[Case]:
    """Every call: nothing recorded, recorded, and with its gradients.

    With `quick`, at the small sizes.
    """
    parts = (("no_grad", unrecorded), ("forward", forward), ("gradients", gradients))
    for part, makers in parts:
        for name in names():
            op = op_of(name)
            if part == "gradients" and not has_gradient(name):
                continue
            if part == "no_grad" and name not in IN_NUMPY:
                continue
            is_whole = op.elementwise or op.name in WHOLE
            largest = [LARGEST] if is_whole else []
            for size in SIZES[:2] if quick else SIZES + largest:
                alike = op.name not in (*RANDOM, *(OTHERWISE * (part == "gradients")))
                yield Case(
                    part,
                    name,
                    size,
                    partial(makers, name, size),
                    alike=alike,
                    same=SAME if size != LARGEST else 10 * SAME,
                )


def has_gradient(name: str) -> bool:
    """Whether the op is one that gradients pass."""
    op = op_of(name)
    return (op.differentiable or op.is_composite) and op.name not in CONSTANT


def unrecorded(name: str, size: Size) -> Makers:
    """Ways to the outputs that record nothing: numpy's, and ours under no_grad."""
    args = call(name, size)
    subject, _ = _ours(name, args)
    bare = partial(IN_NUMPY[name], np, *args)
    # Or else it would be no_grad itself that is measured.
    times = range(1 if size == LARGEST else 10)

    def ours() -> Any:
        with mg.no_grad():
            for _ in times:
                result = subject()
        return result

    def theirs() -> Any:
        for _ in times:
            result = bare()
        return result

    return {OURS: lambda: ours, "numpy": lambda: theirs}


def forward(name: str, size: Size) -> Makers:
    """Ways to the outputs, recorded; numpy records nothing."""
    args = call(name, size)
    return {
        OURS: lambda: _ours(name, args)[0],
        "torch": lambda: _torch(name, args)[0],
        "numpy": lambda: partial(_in_numpy(name), np, *args),
        "HIPS autograd": lambda: _hips(name, args, with_gradients=False),
    }


def gradients(name: str, size: Size) -> Makers:
    """Ways to the outputs and the gradient of every float input, cotangents given."""
    args = call(name, size)
    return {
        OURS: lambda: _with_gradients(*_ours(name, args), mg.grad),
        "torch": lambda: _with_gradients(*_torch(name, args), torch.autograd.grad),
        "HIPS autograd": lambda: _hips(name, args, with_gradients=True),
    }


def _ours(name: str, args: Sequence[Any]) -> tuple[Subject, list[Any]]:
    leaves: list[Any] = []

    def leaf(value: Any) -> Any:
        if isinstance(value, list):
            return [leaf(item) for item in value]
        if not isinstance(value, np.ndarray):
            return value
        leaves.append(mg.Tensor(value, requires_grad=value.dtype.kind == "f"))
        return leaves[-1]

    return partial(op_of(name).run, *map(leaf, args)), _floats(leaves)


def _torch(name: str, args: Sequence[Any]) -> tuple[Subject, list[Any]]:
    op = op_of(name)
    leaves: list[Any] = []

    def leaf(value: Any) -> Any:
        if isinstance(value, list):
            return [leaf(item) for item in value]
        made = to_torch(value)
        if isinstance(value, np.ndarray):
            leaves.append(made.requires_grad_(value.dtype.kind == "f"))
        return made

    twin = IN_TORCH.get(op.name) or find_twin(op)
    return partial(twin, *map(leaf, args)), _floats(leaves)


def _floats(leaves: Sequence[Any]) -> list[Any]:
    return [leaf for leaf in leaves if leaf.requires_grad]


def _with_gradients(
    subject: Subject, leaves: Sequence[Any], grad: Callable[..., tuple[Any, ...]]
) -> Subject:
    first = _outputs(subject())
    n = len(first)
    kind: Any = mg.Tensor if isinstance(first[0], mg.Tensor) else torch.tensor
    seeds = [kind(_cotangent(y.detach().numpy())) for y in first]

    def run() -> Any:
        ys = _outputs(subject())[:n]
        return *ys, *grad(ys, leaves, seeds)

    return run


def _outputs(result: Any) -> list[Any]:
    """What gradients are asked of: not an index."""
    ys = result if isinstance(result, tuple | list) else (result,)
    return [y for y in ys if y.requires_grad]


def _cotangent(y: Any) -> Any:
    return np.random.default_rng(1).uniform(0.5, 1.5, np.shape(y)).astype(y.dtype)


def _in_numpy(name: str) -> Callable[..., Any]:
    if name not in IN_NUMPY:
        raise Absent("nothing as short")
    return IN_NUMPY[name]


def _hips(name: str, args: Sequence[Any], with_gradients: bool) -> Subject:
    from autograd import numpy as box
    from autograd.core import make_vjp

    function = _in_numpy(name)
    if not has_gradient(name):
        raise Absent("no gradient passes")
    chosen = [i for i, a in enumerate(args) if _is_float(a)]
    if not chosen:
        raise Absent("no float input")

    def evaluate(given: Any) -> Any:
        values = list(args)
        for i, value in zip(chosen, given, strict=True):
            values[i] = value
        return function(box, *values)

    given = tuple(args[i] for i in chosen)
    y = evaluate(given)
    if isinstance(y, tuple):
        raise Absent("several outputs")
    seed = _cotangent(np.asarray(y))
    try:
        make_vjp(evaluate, given)[0](seed)
    except (NotImplementedError, ValueError) as error:
        raise Absent(f"no derivative of it: {error}") from error
    if not with_gradients:
        return lambda: make_vjp(evaluate, given)[1]

    def run() -> Any:
        vjp, y = make_vjp(evaluate, given)
        found = (g if isinstance(g, list) else [g] for g in vjp(seed))
        return y, *itertools.chain(*found)

    return run


def _is_float(value: Any) -> bool:
    item = value[0] if isinstance(value, list) else value
    return isinstance(item, np.ndarray) and item.dtype.kind == "f"
