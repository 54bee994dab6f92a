"""What a node need not keep: arrays that no VJP of its op looks at."""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
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
    made = tuple(
        [None if parent is None else parent.op is not None for parent in parents]
    )
    empty, keeps_output = plan(op, tuple(op.vjps.values()), made)
    if empty:
        kept = list(args)
        for position in empty:
            kept[position] = hollow(args[position].shape, args[position].dtype)
        args = tuple(kept)
    if not keeps_output:
        values = tuple([hollow(value.shape, value.dtype) for value in values])
    return args, values


def plan(
    op: Any, vjps: tuple[Any, ...], made: tuple[bool | None, ...]
) -> tuple[tuple[int, ...], bool]:
    """Which arguments nobody will need, and whether somebody needs the output.

    vjps: those that op has now. made: of each input, whether an op made it; None if it
    has no gradient.
    """
    wanted: set[str] = set()
    for is_made, name in zip(made, op.names, strict=True):
        if is_made is not None and name in op.vjps:
            wanted |= looked_at(op.vjps[name], op.params)
    wanted.difference_update(op.shapes)
    empty = tuple(
        position
        for is_made, position in zip(made, op.positions, strict=True)
        if is_made and op.params[position] not in wanted
    )
    return empty, OUTPUT in wanted


OUTPUT = "(output)"


@cache
def looked_at(vjp: Callable[..., Any], params: tuple[str, ...]) -> frozenset[str]:
    """Which of an op's parameters a VJP looks at, and whether at OUTPUT."""
    given = ("(cotangent)", OUTPUT, *params)
    found: set[str] = set()
    for part in getattr(vjp, "made_of", (vjp,)):
        if not isinstance(part, types.FunctionType):  # a method has one name more
            return frozenset(given)
        code = part.__code__
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


@lru_cache(maxsize=1024)
def hollow(shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros of a shape and dtype, in the memory of one."""
    return np.ndarray(shape, dtype, _ZERO, strides=(0,) * len(shape))
