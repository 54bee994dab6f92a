"""Tensors beside numpy and DLPack: what is answered, and what would lose a gradient."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._backend import TensorCore, wrap
from .errors import DTypeError, GraphError, describe
from .op import OPS
from .ops import DTYPES

if TYPE_CHECKING:
    from .tensor import Tensor

# `array * tensor` is np.multiply(array, tensor) by the time it arrives here.
OPERATORS: Mapping[Any, Callable[[Any, Any], Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.true_divide: operator.truediv,
    np.power: operator.pow,
    np.matmul: operator.matmul,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.bitwise_and: operator.and_,
    np.bitwise_or: operator.or_,
}

ALIASES = {
    "absolute": "abs",
    "concatenate": "cat",
    "divide": "div",
    "multiply": "mul",
    "negative": "neg",
    "power": "pow",
    "subtract": "sub",
    "take_along_axis": "gather",
}
"""numpy's names of ops that have another one here."""

SHAPE_ONLY = (np.shape, np.ndim, np.size, np.zeros_like, np.ones_like)
"""Functions of numpy that read no value: no gradient is lost in them."""


def apply_ufunc(
    ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Answer numpy's ufunc of a Tensor: an operator is the op, the rest is numpy's.

    Raises GraphError where the result would be an array without a gradient.
    """
    if method == "__call__" and not kwargs and ufunc in OPERATORS:
        return OPERATORS[ufunc](*map(_operand, inputs))
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    if any(isinstance(out, TensorCore) for out in kwargs.get("out", ())):
        raise GraphError(f"np.{name}: tensors can't be written to; leave out= away")
    _refuse_gradients(name, (inputs, kwargs))
    return getattr(ufunc, method)(*_arrays(inputs), **_arrays(kwargs))


def apply_function(
    function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Answer one of numpy's functions: on the arrays, if no gradient is lost by it.

    Raises GraphError if one is.
    """
    if function in SHAPE_ONLY:
        plain = [a._data if isinstance(a, TensorCore) else a for a in args]
        return function(*plain, **kwargs)
    _refuse_gradients(function.__name__, (args, kwargs))
    return function(*_arrays(args), **_arrays(kwargs))


def from_dlpack(x: Any, copy: bool | None = None) -> Tensor:
    """A Tensor on the memory of x, which is anything with `__dlpack__`.

    x: of float32, float64, int64 or bool, on the CPU, such as a PyTorch tensor.
    copy: False and None share the memory. Who made it must not write to it any more: a
    graph counts on values that stay. True copies, as `Tensor(x)` does.

    Raises DTypeError for anything else, GraphError for an x that requires grad.

    >>> values = np.ones(2)
    >>> np.shares_memory(from_dlpack(values).numpy(), values)
    True
    """
    if getattr(x, "requires_grad", False):
        raise GraphError("from_dlpack: x requires grad, which ends here; detach() it")
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(
            f"from_dlpack: x must have __dlpack__, as arrays do; it is {describe(x)}"
        )
    try:
        array = np.from_dlpack(x, copy=copy)
    except (BufferError, ValueError, TypeError, RuntimeError) as error:
        raise DTypeError(f"from_dlpack: {describe(x)}: {error}") from error
    if array.dtype not in DTYPES:
        raise DTypeError(
            "from_dlpack: expected float32, float64, int64 or bool, not "
            f"{array.dtype}; Tensor(x) converts a copy"
        )
    tensor: Tensor = wrap(array)
    return tensor


def _operand(x: Any) -> Any:
    """One side of an operator: numpy's scalars are weak, as Python's are."""
    from .tensor import Tensor

    # One on the left arrives as an array of no dimensions.
    if isinstance(x, np.ndarray | np.generic) and not x.ndim:
        return x.item()
    return x if isinstance(x, Tensor | bool | int | float) else Tensor(x)


def _refuse_gradients(name: str, given: Any) -> None:
    if any(t._node is not None for t in _tensors(given)):
        ours = ALIASES.get(name, name)
        instead = f"minigrad.{ours}(...), or " if ours in OPS else ""
        raise GraphError(
            f"np.{name} of a tensor that requires grad would lose its gradient; use "
            f"{instead}numpy on tensor.detach().numpy()"
        )


def _tensors(value: Any) -> Iterable[TensorCore]:
    """The Tensors among arguments, those in lists too."""
    if isinstance(value, TensorCore):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _arrays(value: Any) -> Any:
    """Arguments with arrays in place of Tensors."""
    if isinstance(value, TensorCore):
        return np.asarray(value)
    if isinstance(value, tuple | list):
        return type(value)(map(_arrays, value))
    if isinstance(value, dict):
        return {name: _arrays(item) for name, item in value.items()}
    return value
