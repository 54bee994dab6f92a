"""Tensors from nothing: constants, ranges and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import rng
from .convert import sizes
from .errors import NUMPY_ERRORS, MinigradError, translate
from .ops import checked_dtype
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


def zeros(*shape: Any, dtype: Any = float32, requires_grad: Any = False) -> Tensor:
    """Zeros of a shape.

    >>> zeros(2)
    tensor([0., 0.])
    """
    return full(sizes(shape), 0, dtype, requires_grad)


def ones(*shape: Any, dtype: Any = float32, requires_grad: Any = False) -> Tensor:
    """Ones of a shape."""
    return full(sizes(shape), 1, dtype, requires_grad)


def full(
    shape: Any, value: Any, dtype: Any = float32, requires_grad: Any = False
) -> Tensor:
    """One value in every place of a shape."""
    values = _made("full", np.full, shape, value, checked_dtype(dtype))
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
    return Tensor(_made("eye", np.eye, n), dtype, requires_grad)


def rand(
    *shape: Any, dtype: Any = float32, generator: Any = None, requires_grad: Any = False
) -> Tensor:
    """Uniform in [0, 1). generator: a numpy Generator, a seed, or None."""
    values = _made("rand", rng.generator(generator).random, sizes(shape))
    if checked_dtype(dtype) == np.float32:  # which would round what is almost 1 to it
        values = np.minimum(values, np.nextafter(np.float32(1), np.float32(0)))
    return Tensor(values, dtype, requires_grad)


def randn(
    *shape: Any, dtype: Any = float32, generator: Any = None, requires_grad: Any = False
) -> Tensor:
    """Standard normal. generator: a numpy Generator, a seed, or None."""
    values = _made("randn", rng.generator(generator).standard_normal, sizes(shape))
    return Tensor(values, dtype, requires_grad)
