"""Products of rows with a weight: the bits of a row don't depend on the other rows.

numpy's and PyTorch's libraries give a row other bits in another batch; here, chunks of
a sequence give the bits of the whole, and any number of threads those of one.
"""

from __future__ import annotations

import functools
from typing import Any

from .. import _backend, ops
from ..op import Array, Op


def _product(x: Array, weight: Array) -> Array:
    """x (..., K) @ weight (K, N), row by row."""
    kernels = _backend.loop
    return kernels.product(x, kernels.pack(weight), weight.shape[1])


def _gram(x: Array, y: Array) -> Array:
    """The sum over all rows of x (..., K) and y (..., N) of x_k * y_n: (K, N)."""
    return _backend.loop.gram(x, y)


def _sum_rows(x: Array) -> Array:
    """The sum over all rows of x (..., N): (N,)."""
    return _backend.loop.sum_rows(x)


def _sum_rows_vjp(g: Any, y: Any, x: Any) -> Any:
    return ops.expand(g, x.shape)


_entry = functools.partial(Op, torch=None, samples=(), registered=False)
product: Any = _entry(_product)
gram: Any = _entry(_gram)
sum_rows: Any = _entry(_sum_rows)
sum_rows.vjp(x=_sum_rows_vjp)
product.vjp(
    x=lambda g, z, x, weight: product(g, weight.T),
    weight=lambda g, z, x, weight: gram(x, g),
)
gram.vjp(
    x=lambda g, z, x, y: product(y, g.T),
    y=lambda g, z, x, y: product(x, g),
)
