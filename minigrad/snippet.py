"""Code that repeats a failure, to be pasted into an empty file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ._backend import OpCore, TensorCore

HEAD = """import numpy as np
from numpy import inf, nan

import minigrad as mg
"""


def snippet(check: str, fn: Callable[..., Any], inputs: Sequence[Any]) -> str:
    """A call of mg.<check> on fn and on these very inputs.

    A function that can't be imported is left for the reader to paste: a comment says
    where it stands.
    """
    lines = ",\n".join(f"    {_written(x)}" for x in inputs)
    return f"{HEAD}\n{_named(fn)}\ninputs = [\n{lines},\n]\nmg.{check}(fn, inputs)\n"


def _written(x: Any) -> str:
    """An input as an expression, to the last bit."""
    if not isinstance(x, TensorCore):
        return repr(x)
    array = x._data
    text = f"np.array({array.tolist()!r}, np.{array.dtype})"
    if not array.size:
        text += f".reshape({array.shape})"  # an empty list has lost its shape
    return f"mg.tensor({text}{', requires_grad=True' if x._node is not None else ''})"


def _named(fn: Any) -> str:
    """What makes `fn` in the snippet."""
    if isinstance(fn, OpCore):
        return f"fn = mg.op.OPS[{fn.name!r}].run"
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", "")
    if module not in (None, "__main__") and name.isidentifier():
        return f"from {module} import {name} as fn"
    code = getattr(fn, "__code__", None)
    where = f", {code.co_filename}:{code.co_firstlineno}" if code else ""
    return f"fn = ...  # paste here: {name or type(fn).__name__}{where}"
