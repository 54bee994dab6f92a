"""Tensors from nothing: constants, ranges and random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import rng
from .ops import checked_dtype
from .tensor import Tensor

float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int64 = np.dtype(np.int64)
bool = np.dtype(np.bool_)


def _shape(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from zeros(2, 3) as from zeros((2, 3))."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        return tuple(sizes[0])
    return sizes


def zeros(*shape: Any, dtype: Any = float32, requires_grad: Any = False) -> Tensor:
    """Zeros of a shape.

    >>> zeros(2)
    tensor([0., 0.])
    """
    return full(_shape(shape), 0, dtype, requires_grad)


def ones(*shape: Any, dtype: Any = float32, requires_grad: Any = False) -> Tensor:
    """Ones of a shape."""
    return full(_shape(shape), 1, dtype, requires_grad)


def full(
    shape: Any, value: Any, dtype: Any = float32, requires_grad: Any = False
) -> Tensor:
    """One value in every place of a shape."""
    return Tensor(np.full(shape, value, checked_dtype(dtype)), None, requires_grad)


def ones_like(x: Tensor, requires_grad: Any = False) -> Tensor:
    """Ones of the shape and dtype of x."""
    return full(x.shape, 1, x.dtype, requires_grad)


def arange(*bounds: Any, dtype: Any = None) -> Tensor:
    """The numbers from a start to before a stop, by a step, as `range` has them."""
    return Tensor(np.arange(*bounds).tolist(), dtype)


def eye(n: int, dtype: Any = float32) -> Tensor:
    """The identity matrix (n, n)."""
    return Tensor(np.eye(n), dtype)


def rand(
    *shape: Any, dtype: Any = float32, generator: Any = None, requires_grad: Any = False
) -> Tensor:
    """Uniform in [0, 1). generator: a numpy Generator, a seed, or None."""
    values = rng.generator(generator).random(_shape(shape))
    return Tensor(np.asarray(values), dtype, requires_grad)


def randn(
    *shape: Any, dtype: Any = float32, generator: Any = None, requires_grad: Any = False
) -> Tensor:
    """Standard normal. generator: a numpy Generator, a seed, or None."""
    values = rng.generator(generator).standard_normal(_shape(shape))
    return Tensor(np.asarray(values), dtype, requires_grad)
