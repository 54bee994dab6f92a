"""Products of rows with a weight: the bits of a row don't depend on the other rows.

numpy's and PyTorch's libraries give a row other bits in another batch; here, chunks of
a sequence give the bits of the whole, and any number of threads those of one.
"""

from __future__ import annotations

import functools
from typing import Any

from .. import _backend, ops
from ..op import Array, Arrays, Op


def _product(x: Array, weight: Array) -> Array:
    """x (..., K) @ weight (K, N), row by row."""
    kernels = _backend.loop
    return kernels.product(x, kernels.pack(weight), weight.shape[1])


def _gram(x: Array, y: Array) -> Array:
    """The sum over all rows of x (..., K) and y (..., N) of x_k * y_n: (K, N)."""
    return _backend.loop.gram(x, y)


def _product_over(x: Array, weight: Array, frame: Any) -> Array:
    """The product, of the rows of a whole sequence."""
    return _product(x, weight)


def gram_over(x: Array, y: Array, frame: Any, out: Any = None) -> Array:
    """The gram of whole sequences, added up in the order that the frame runs."""
    return _backend.loop.gram(x, y, out, frame.block, not frame.reverse)


def sum_over(x: Array, frame: Any, out: Any = None) -> Array:
    """The sum over all rows of x (..., N), in the order that the frame runs: (N,)."""
    return _backend.loop.sum_rows(x, out, frame.block, not frame.reverse)


def sums_over(
    rows: Arrays, total: bool, frame: Any, out: Any = None
) -> tuple[Array, ...]:
    """What gram_over gives of each x and y, of rows = (*x, y), and sum_over of y."""
    return _backend.loop.sums(rows, total, out, frame.block, not frame.reverse)


def _sum_over_vjp(g: Any, y: Any, x: Any, frame: Any, out: Any) -> Any:
    return ops.expand(g, x.shape)


_entry = functools.partial(Op, torch=None, samples=(), registered=False)
product: Any = _entry(_product)
gram: Any = _entry(_gram)
product.vjp(
    x=lambda g, z, x, weight: product(g, weight.T),
    weight=lambda g, z, x, weight: gram(x, g),
)
gram.vjp(
    x=lambda g, z, x, y: product(y, g.T),
    y=lambda g, z, x, y: product(x, g),
)

# The same for the sequences of a loop. A gradient comes of the loop that runs from the
# other end.
over: dict[Op, Op] = {
    product: _entry(_product_over),
    gram: _entry(gram_over),
    ops.sum_to: _entry(sum_over),
}
together: Any = _entry(sums_over)
"""Sums over the same rows, for which these are laid out once; made by a pass, run by a
routine, and never recorded."""

over[product].vjp(
    x=lambda g, z, x, weight, frame: over[product](g, weight.T, frame),
    weight=lambda g, z, x, weight, frame: over[gram](x, g, frame.reversed),
)
over[gram].vjp(
    x=lambda g, z, x, y, frame, out: over[product](y, g.T, frame),
    y=lambda g, z, x, y, frame, out: over[product](x, g, frame),
)
over[ops.sum_to].vjp(x=_sum_over_vjp)
