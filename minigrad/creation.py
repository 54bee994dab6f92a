"""Tensors from nothing: constants, ranges and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import convert, rng
from .errors import (
    NUMPY_ERRORS,
    ArgumentError,
    DTypeError,
    MinigradError,
    describe,
    translate,
)
from .ops import check_whole, checked_dtype
from .tape import check_tensor
from .tensor import Tensor

float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int64 = np.dtype(np.int64)
bool = np.dtype(np.bool_)


def _made(name: str, make: Callable[..., Any], *args: Any) -> Any:
    """What numpy makes of the arguments, or an error with the function's name."""
    try:
        with np.errstate(all="ignore"):
            return make(*args)
    except MinigradError:
        raise
    except NUMPY_ERRORS as error:
        raise translate(name, args, error) from error


def _size(name: str, given: tuple[Any, ...], size: Any) -> tuple[Any, ...]:
    """The sizes, which stand one by one, as one tuple, or under their name."""
    if size is None:
        return convert.sizes(given)
    if given:
        raise ArgumentError(
            f"{name}: size is given twice, as {describe(convert.sizes(given))} and by "
            "name; give it once"
        )
    return convert.sizes((size,))


def _default(dtype: Any) -> Any:
    """float32 for None, as in PyTorch, where numpy takes the values' own."""
    return float32 if dtype is None else dtype


def zeros(
    *sizes: Any, size: Any = None, dtype: Any = float32, requires_grad: Any = False
) -> Tensor:
    """Zeros of a size: zeros(2, 3), zeros((2, 3)) and zeros(size=(2, 3)) are one.

    >>> zeros(2)
    tensor([0., 0.])
    """
    return full(_size("zeros", sizes, size), 0, _default(dtype), requires_grad)


def ones(
    *sizes: Any, size: Any = None, dtype: Any = float32, requires_grad: Any = False
) -> Tensor:
    """Ones of a size, given as to `zeros`."""
    return full(_size("ones", sizes, size), 1, _default(dtype), requires_grad)


def full(
    size: Any, fill_value: Any, dtype: Any = None, requires_grad: Any = False
) -> Tensor:
    """One value in every place: a float makes float32, an integer int64, a bool bool.

    >>> full((2,), 3)
    tensor([3, 3])
    """
    value = _made("full", np.asarray, fill_value)
    if dtype is None:
        dtype = {"b": bool, "i": int64}.get(value.dtype.kind, float32)
    check_whole("full", value, checked_dtype(dtype))
    values = _made("full", np.full, size, fill_value, checked_dtype(dtype))
    return Tensor(values, None, requires_grad)


def ones_like(x: Tensor, requires_grad: Any = False) -> Tensor:
    """Ones of the shape and dtype of x."""
    check_tensor(x, "ones_like: x")
    return full(x.shape, 1, x.dtype, requires_grad)


def arange(*bounds: Any, dtype: Any = None, requires_grad: Any = False) -> Tensor:
    """The numbers from a start to before a stop, by a step, as `range` has them.

    Whole ones are int64, others float32, unless dtype says otherwise.
    """
    values = _made("arange", np.arange, *bounds)
    if dtype is None and values.dtype == np.float64:
        dtype = float32
    return Tensor(values, dtype, requires_grad)


def eye(n: int, dtype: Any = float32, requires_grad: Any = False) -> Tensor:
    """The identity matrix (n, n)."""
    return Tensor(_made("eye", np.eye, n), _default(dtype), requires_grad)


def _float_dtype(name: str, dtype: Any) -> Any:
    found = checked_dtype(_default(dtype))
    if found.kind != "f":
        raise DTypeError(
            f"{name} draws floats: dtype must be float32 or float64, not {dtype}; "
            "compare the draws, or cast them with to()"
        )
    return found


def rand(
    *sizes: Any,
    size: Any = None,
    dtype: Any = float32,
    generator: Any = None,
    requires_grad: Any = False,
) -> Tensor:
    """Uniform in [0, 1). generator: a numpy Generator, a seed, or None."""
    dtype = _float_dtype("rand", dtype)
    values = _made("rand", rng.generator(generator).random, _size("rand", sizes, size))
    if dtype == np.float32:  # which would round what is almost 1 to it
        values = np.minimum(values, np.nextafter(np.float32(1), np.float32(0)))
    return Tensor(values, dtype, requires_grad)


def randn(
    *sizes: Any,
    size: Any = None,
    dtype: Any = float32,
    generator: Any = None,
    requires_grad: Any = False,
) -> Tensor:
    """Standard normal. generator: a numpy Generator, a seed, or None."""
    dtype = _float_dtype("randn", dtype)
    normal = rng.generator(generator).standard_normal
    values = _made("randn", normal, _size("randn", sizes, size))
    return Tensor(values, dtype, requires_grad)
