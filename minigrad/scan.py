"""scan: a step, repeated along the time axis, carrying a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import ops
from .errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from .tensor import Tensor

State = Tensor | tuple[Tensor, ...]


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    carry: State,
    xs: State,
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Run `step` along the leading axis of xs: (carry, ys).

    step: (carry, x) -> (carry, y), each a Tensor or a tuple of Tensors.
    carry: the initial state, (B, ...) each; its shapes and dtypes stay the same.
    xs: (T, B, ...) each, T at least 1. ys: (T, B, ...) each, in the order of xs.
    lengths: (B,) int64 in 0..T. Past its length a row keeps its carry and its y is 0;
    its x is never looked at. In reverse, a row starts at its own end.
    reverse: from the last step to the first.

    Raises ShapeError, DTypeError, ArgumentError or IndexRangeError for what does not
    fit; an error in `step` passes through.

    >>> import minigrad as mg
    >>> carry, ys = mg.scan(lambda c, x: (c + x, c), mg.zeros(1), mg.ones(3, 1))
    >>> carry, ys.tolist()
    (tensor([3.]), [[0.0], [1.0], [2.0]])
    """
    xs_list = _listed(xs)
    n_steps = _n_steps(xs_list)
    live = None if lengths is None else _live(lengths, n_steps, xs_list[0])
    steps = zip(*(ops.unbind(x) for x in xs_list), strict=True)
    order = list(enumerate(steps))
    ys: list[list[Tensor]] = []
    y: Any = None
    for t, x in reversed(order) if reverse else order:
        x_t = x if isinstance(xs, tuple) else x[0]
        if live is None:
            new, y = step(carry, x_t)
            check_carry(carry, new, t)
            carry = new
        else:
            new, y = step(carry, _choose(live[t], x_t, None))
            check_carry(carry, new, t)
            carry = _choose(live[t], new, carry)
            y = _choose(live[t], y, None)
        ys.append(_listed(y))
    if reverse:
        ys.reverse()
    stacked = tuple(ops.stack(list(column)) for column in zip(*ys, strict=True))
    return carry, stacked if isinstance(y, tuple) else stacked[0]


def _listed(value: State) -> list[Tensor]:
    return list(value) if isinstance(value, tuple) else [value]


def _n_steps(xs: list[Tensor]) -> int:
    sizes = {x.shape[0] if x.ndim else None for x in xs}
    if len(sizes) != 1 or None in sizes:
        raise ShapeError(
            "scan: every xs must have the same leading time axis; the shapes are "
            f"{[x.shape for x in xs]}"
        )
    (n,) = sizes
    if not n:
        raise ShapeError("scan: xs has no steps; the time axis must be at least 1")
    return int(n)


def checked_lengths(lengths: Any, n_steps: int, batch: int) -> np.ndarray[Any, Any]:
    """Lengths as int64 (batch,), each in 0..n_steps, or a named error."""
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"lengths must be integers, not {array.dtype}")
    if array.shape != (batch,):
        raise ShapeError(
            f"lengths must be ({batch},), one for each row of the batch; "
            f"it is {array.shape}"
        )
    for row, n in enumerate(array):
        if not 0 <= n <= n_steps:
            raise IndexRangeError(
                f"lengths[{row}] is {n}; expected 0..{n_steps}, the number of steps"
            )
    return array.astype(np.int64)


def _live(lengths: Any, n_steps: int, x: Tensor) -> np.ndarray[Any, Any]:
    """(T, B): whether the step is within the row's length."""
    if x.ndim < 2:
        raise ShapeError(f"scan: lengths need xs of (T, B, ...), not {x.shape}")
    checked = checked_lengths(lengths, n_steps, x.shape[1])
    found: np.ndarray[Any, Any] = np.arange(n_steps)[:, None] < checked
    return found


def _choose(live: Any, new: Any, old: Any) -> Any:
    """`new` in the live rows; `old`, or 0, in the others."""
    if isinstance(new, tuple):
        olds = (None,) * len(new) if old is None else old
        return tuple(_choose(live, n, o) for n, o in zip(new, olds, strict=True))
    rows = live.reshape(-1, *(1,) * (new.ndim - 1))
    return ops.where(rows, new, 0.0 if old is None else old)


def check_carry(old: Any, new: Any, t: int) -> None:
    """The carry must keep its structure, its shapes and its dtypes."""
    olds, news = _listed(old), _listed(new)
    if isinstance(old, tuple) != isinstance(new, tuple) or len(olds) != len(news):
        raise ArgumentError(
            f"scan: at step {t} the step returned a carry of {len(news)}, but the "
            f"initial carry has {len(olds)}; return (carry, y) with the same structure"
        )
    for i, (before, after) in enumerate(zip(olds, news, strict=True)):
        if not isinstance(after, Tensor):
            raise DTypeError(
                f"scan: carry {i} must be a Tensor, not {type(after).__name__}"
            )
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            raise ShapeError(
                f"scan: carry {i} is {before.dtype}{before.shape}, but at step {t} the "
                f"step returned {after.dtype}{after.shape}; make them the same"
            )
