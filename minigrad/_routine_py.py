"""The plain Python twin of `_routine.pyx`: the arrays and the results of a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _backend

Array = np.ndarray[Any, Any]

ALL, BEFORE, AFTER = range(3)
"""What an output is of an array: all, or the states before or after each step."""


class Layout(NamedTuple):
    """What a machine's arrays are made of, and what of them the loop returns.

    arrays: of its buffers, those that are the same at each call, else None.
    given: (place, which tensor) of those that are there already.
    made: (place, whether it is a stream, its width) of those that the machine writes.
    carries: the places of each carry, which the first tensors begin.
    kept: of each, whether all its states are.
    weights: the tensors that are products' weights.
    outputs: (place, which part of it, whether it is a mask), after the last carries.
    """

    machine: Any
    arrays: list[Any]
    given: Sequence[tuple[int, int]]
    made: Sequence[tuple[int, bool, int]]
    carries: Sequence[tuple[int, ...]]
    kept: Sequence[bool]
    weights: Sequence[int]
    outputs: Sequence[tuple[int, int, bool]]


def run_loop(layout: Layout, tensors: Sequence[Array], frame: Any) -> tuple[Array, ...]:
    """The carries after each row's last step, then the outputs."""
    arrays, weights = bind(layout, tensors, frame)
    layout.machine.run(arrays, weights, frame.sizes, frame.reverse)
    finals = [
        _final(arrays[places[0]], keep, frame)
        for places, keep in zip(layout.carries, layout.kept, strict=True)
    ]
    outputs = [
        _output(arrays[place], part, is_mask, frame)
        for place, part, is_mask in layout.outputs
    ]
    return (*finals, *outputs)


def bind(
    layout: Layout, tensors: Sequence[Array], frame: Any
) -> tuple[list[Any], list[Any]]:
    """A machine's arrays and its weights, as `Machine.run` takes them."""
    arrays = list(layout.arrays)
    dtype = tensors[0].dtype
    for place, which in layout.given:
        arrays[place] = rows(tensors[which], dtype)
    for place, is_stream, width in layout.made:
        lead = frame.lead if is_stream else (frame.batch,)
        arrays[place] = _backend.empty((*lead, width), dtype)
    for initial, places, keep in zip(
        tensors, layout.carries, layout.kept, strict=False
    ):
        if keep:
            states = _backend.empty((frame.n_steps + 1, *initial.shape), dtype)
            states[-1 if frame.reverse else 0] = initial
        else:
            states = _backend.empty((2, *initial.shape), dtype)
            states[:] = initial
        for place in places:
            arrays[place] = states
    return arrays, [_backend.loop.pack(tensors[i]) for i in layout.weights]


def rows(array: Array, dtype: Any) -> Array:
    """The array as a machine reads it: masks as numbers, rows one after the other."""
    if array.ndim and array.dtype == dtype and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array, dtype)


class Chain:
    """Steps one after the other, from the array x to the array output."""

    def __init__(
        self, x: Array, steps: Sequence[Callable[[], None]], output: Array
    ) -> None:
        self.x, self.steps, self.output = x, steps, output

    def __call__(self, x: Any) -> Any:
        """A copy of the output; None if x is no array of that shape and dtype."""
        if type(x) is not np.ndarray or x.shape != self.x.shape:
            return None
        if x.dtype != self.x.dtype:
            return None
        self.x[...] = x
        for step in self.steps:
            step()
        return self.output.copy()


def _final(states: Array, keep: bool, frame: Any) -> Array:
    if keep:  # a view would keep them all for as long as it lives
        state: Array = states[0 if frame.reverse else -1].copy()
    else:
        state = frame.last(states)
    return state


def _output(array: Array, part: int, is_mask: bool, frame: Any) -> Array:
    if part != ALL:
        array = array[:-1] if (part == BEFORE) != frame.reverse else array[1:]
    return array.astype(bool) if is_mask else array
