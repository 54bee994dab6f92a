"""What a node need not keep: arrays that no VJP of its op looks at."""

from __future__ import annotations

import dis
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LARGE = 1 << 18
"""Bytes of an output from which on it is found out: below, that takes too long."""

_ZERO = bytes(8)


def let_go(
    op: Any, args: tuple[Any, ...], parents: Sequence[Any], values: tuple[Array, ...]
) -> tuple[tuple[Any, ...], tuple[Array, ...]]:
    """args and values for a node, with hollow arrays in place of what nobody will need.

    An argument that came from no op stays: a program reads constants from there.
    """
    if op.variadic or op.joint is not None or op.returns_tuple:
        return args, values
    wanted: set[str] = set()
    for parent, name in zip(parents, op.names, strict=True):
        if parent is not None and name in op.vjps:
            wanted |= looked_at(op.vjps[name], op.params)
    wanted.difference_update(op.shapes)
    kept = list(args)
    for parent, position in zip(parents, op.positions, strict=True):
        made = parent is not None and parent.op is not None
        if made and op.params[position] not in wanted:
            kept[position] = hollow(args[position])
    return tuple(kept), values if OUTPUT in wanted else tuple(map(hollow, values))


OUTPUT = "(output)"


@cache
def looked_at(vjp: Callable[..., Any], params: tuple[str, ...]) -> frozenset[str]:
    """Which of an op's parameters a VJP looks at, and whether at OUTPUT."""
    given = ("(cotangent)", OUTPUT, *params)
    found: set[str] = set()
    for part in getattr(vjp, "made_of", (vjp,)):
        code = getattr(part, "__code__", None)
        if code is None:
            return frozenset(given)
        names = code.co_varnames[: code.co_argcount]
        read = _read(code)
        found.update(
            now for now, name in zip(given, names, strict=False) if name in read
        )
        if code.co_flags & 0x04 and code.co_varnames[code.co_argcount] in read:  # *rest
            found.update(given[len(names) :])
    return frozenset(found)


def _read(code: Any) -> set[str]:
    """The local names that a function's code loads, or hands to a function inside."""
    read = set(code.co_cellvars)
    for line in dis.get_instructions(code):
        if "FAST" in line.opname:
            read.update(
                line.argval if isinstance(line.argval, tuple) else [line.argval]
            )
    return read


def hollow(array: Array) -> Array:
    """Zeros of the shape and dtype of an array, in the memory of one."""
    return np.ndarray(array.shape, array.dtype, _ZERO, strides=(0,) * array.ndim)
