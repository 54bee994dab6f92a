"""A user's own op: the same block as in the table, checked when it is defined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import ArgumentError, DTypeError, describe
from .gradchecks import GradcheckError, Mismatch, gradient_of, mismatch
from .mode import no_grad
from .op import OPS, Op
from .samples import Sample
from .snippet import snippet
from .tensor import Tensor


def custom_op(
    samples: Sequence[Sample], vjps: Mapping[str, Callable[..., Any]], **facts: Any
) -> Callable[[Callable[..., Any]], Op]:
    """Make an op of a forward on numpy arrays, with a VJP for each float input.

    samples: calls of the op, from `minigrad.samples`, on which the VJPs and their own
    derivatives are held against finite differences in float64; but for those with
    kink=True. vjps: by input name, `vjp(g, y, *args) -> cotangent`, all Tensors, made
    of ops. facts: those of an op of the table, such as elementwise=True. See `Op`.

    Raises GradcheckError, which names the op, the input and the worst element, if
    finite differences contradict a VJP; ArgumentError if no sample can tell, or for the
    name of an op that minigrad has. Then there is no such op.

    >>> import minigrad as mg
    >>> from minigrad.op import Array
    >>> from minigrad.samples import floats, sample
    >>> @mg.custom_op([sample(floats(2, 3))], {"x": lambda g, y, x: 3 * x * x * g})
    ... def cube(x: Array) -> Array:
    ...     return x**3
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> cube(x).sum().backward()
    >>> x.grad
    tensor([ 3., 12.])
    """

    def enter(forward: Callable[..., Any]) -> Op:
        name = forward.__name__
        before = OPS.get(name)
        if before is not None and before.forward.__module__.startswith(__package__):
            raise ArgumentError(
                f"custom_op: minigrad has an op named {name}; give yours another name"
            )
        made = Op(forward, samples=samples, **{"torch": None, **facts})
        try:
            made.vjp(**vjps)
            _check(made)
        except Exception:
            del OPS[name]
            if before is not None:
                OPS[name] = before
            raise
        return made

    return enter


def _check(op: Op) -> None:
    """Hold the first and second derivative of each sample against differences."""
    checked = False
    for sample in op.samples:
        if sample.kink:
            continue
        _check_dtype(op, sample)
        args, params = sample.make(np.random.default_rng(0), np.float64)
        inputs = [_leaf(a) for a in op.bind(args, params)]
        if any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
            _check_call(op, inputs)
            checked = True
    if not checked:
        raise ArgumentError(
            f"custom_op: no sample of {op.name} has a float array to check a VJP on; "
            "give one such as sample(floats(2, 3))"
        )


def _check_dtype(op: Op, sample: Any) -> None:
    """Refuse a forward that makes other floats of float32 than float32."""
    args, params = sample.make(np.random.default_rng(0), np.float32)
    dtypes = {a.dtype for a in op.bind(args, params) if isinstance(a, np.ndarray)}
    with no_grad():
        made = op(*args, **params)
    for y in made if isinstance(made, tuple) else (made,):
        if (
            np.dtype(np.float32) in dtypes
            and y.dtype.kind == "f"
            and y.dtype.itemsize != 4
        ):
            raise DTypeError(
                f"custom_op: {op.name} makes {y.dtype} of float32; numpy's float64 "
                "numbers make float32 wide, Python's don't"
            )


def _check_call(op: Op, inputs: list[Any]) -> None:
    def call(*values: Any) -> Any:
        return op(*op.call_args(values))

    found = mismatch(call, inputs)
    if found is not None:
        raise GradcheckError(_message(op, inputs, found, "the VJP"))
    gradient, values = gradient_of(call, inputs)
    found = mismatch(gradient, values)
    if found is not None:
        raise GradcheckError(_message(op, inputs, found, "the derivative of the VJPs"))


def _leaf(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return Tensor(value, requires_grad=value.dtype.kind == "f")
    return value


def _message(op: Op, inputs: list[Any], found: Mismatch, what: str) -> str:
    names = op.names
    by = found.input - len(inputs)
    if by >= 0:
        name = f"the cotangent of output {by}"
    else:
        name = names[0] if op.variadic else op.params[found.input]
    call = f"{op.name}({', '.join(map(describe, op.call_args(tuple(inputs))))})"
    return f"{call}: {what} by {name} is wrong: {found}\n\n" + snippet(
        "gradcheck", op, inputs
    )
