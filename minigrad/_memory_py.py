"""The plain Python twin of `_memory.pyx`: the arrays that a loop reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def empty(shape: Sequence[int], dtype: Any) -> Array:
    """An array of any values, C-contiguous."""
    return np.empty(shape, dtype)


def lay_out(
    arrays: list[Any],
    given: Sequence[tuple[int, int]],
    made: Sequence[tuple[int, bool, int]],
    carries: Sequence[tuple[int, ...]],
    kept: Sequence[bool],
    tensors: Sequence[Array],
    frame: Any,
) -> list[Any]:
    """A machine's arrays, in a copy of the list.

    given: (place, which tensor) of those that are there already; made: (place, whether
    it is a stream, its width) of those that the machine writes; carries: the places of
    each carry, which the first tensors begin; kept: whether all its states are.
    """
    arrays = list(arrays)
    dtype = tensors[0].dtype
    for place, which in given:
        arrays[place] = rows(tensors[which], dtype)
    for place, is_stream, width in made:
        lead = frame.lead if is_stream else (frame.batch,)
        arrays[place] = empty((*lead, width), dtype)
    for initial, places, keep in zip(tensors, carries, kept, strict=False):
        if keep:
            states = empty((frame.n_steps + 1, *initial.shape), dtype)
            states[-1 if frame.reverse else 0] = initial
        else:
            states = empty((2, *initial.shape), dtype)
            states[:] = initial
        for place in places:
            arrays[place] = states
    return arrays


def rows(array: Array, dtype: Any) -> Array:
    """The array as a machine reads it: masks as numbers, rows one after the other."""
    if array.ndim and array.dtype == dtype and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array, dtype)
