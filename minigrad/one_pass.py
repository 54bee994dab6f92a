"""VJPs that are one pass over the arrays, where nothing has to be differentiable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import _backend
from .op import Array, Arrays, Op

Kernel = Callable[..., Any]

_whole: ContextVar[bool] = ContextVar("kernels_whole", default=False)
STANDS = object()
"""Where a tensor stands among the arguments of a kernel."""


def in_one_pass(kernel: Kernel, vjp: Callable[..., Any]) -> Any:
    """A VJP made of ops; where nothing records it, one pass over the arrays instead.

    kernel(g, y, *args) gets them as arrays and numbers.
    """

    def pull(g: Any, y: Any, *args: Any) -> Any:
        if not _backend.get_mode():
            # numpy makes a scalar of what has no dims.
            return _backend.wrap(np.asarray(kernel(*map(array_of, (g, y, *args)))))
        if _whole.get() and type(g) is not tuple:
            return _as_op(kernel, (g, y, *args))
        return vjp(g, y, *args)

    pull.made_of = kernel, vjp  # type: ignore[attr-defined]
    return pull


def array_of(value: Any) -> Any:
    """A Tensor's array; anything else as it is."""
    return value._data if isinstance(value, _backend.TensorCore) else value


@contextmanager
def kernels_whole(whole: bool) -> Iterator[None]:
    """Whether a trace has kernels as ops, which it can run but not differentiate."""
    token = _whole.set(whole)
    try:
        yield
    finally:
        _whole.reset(token)


class _KernelOp(Op):
    """A kernel in a trace. It has no VJP."""

    def reconcile(self, raw: list[Any]) -> None:
        """The kernel knows what it takes: labels stay integers."""


def _run_kernel(tensors: Arrays, kernel: Kernel, args: Sequence[Any]) -> Array:
    rest = iter(tensors)
    given = [next(rest) if a is STANDS else a for a in args]
    return np.asarray(kernel(*given))


_kernel_op = _KernelOp(_run_kernel, None, samples=(), registered=False)


def _as_op(kernel: Kernel, args: Sequence[Any]) -> Any:
    tensors = [a for a in args if isinstance(a, _backend.TensorCore)]
    places = tuple(STANDS if isinstance(a, _backend.TensorCore) else a for a in args)
    return _backend.apply(_kernel_op, (*tensors, kernel, places))
