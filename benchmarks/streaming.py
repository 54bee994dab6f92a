"""Streaming: one step, batch 1, from numpy to numpy.

No step can be faster than its weights are read, so each is also measured beside that:
three ways to touch every weight once, all of them warm, as in the loop of a stream:
what fits a cache is read from there. The dot product of the two halves of the weights
and their largest word do little but read; w @ x is the product that a step needs.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from benchmarks import ours, peer_onnx, peer_torch
from benchmarks.case import Case, Makers, Size, Subject
from benchmarks.kinds import problem
from benchmarks.results import OURS

KINDS = ["LSTM", "GRU", "RNN"]
SIZES: list[Size] = [(32, 32), (64, 128), (256, 512)]
"""(I, H)."""


def cases(sizes: Iterable[Size]) -> Iterator[Case]:
    """A step beside the peers', and beside reading the weights."""
    for name, size in product(KINDS, sizes):
        yield Case("streaming", name, size, partial(streams, name, size))
        makers = partial(readings, name, size)
        yield Case("reading", name, size, makers, alike=False)


def streams(name: str, size: Size) -> Makers:
    """Three streams that see the same row at every step."""
    p = problem(name, (1, 1, *size))
    return {
        OURS: lambda: ours.stream(p.layer, p.x[0]),
        "onnxruntime": lambda: peer_onnx.stream(p),
        "torch.nn": lambda: peer_torch.stream_module(p),
    }


def readings(name: str, size: Size) -> Makers:
    """A stream of ours, and its weights read once: nothing to do with its result."""
    p = problem(name, (1, 1, *size))
    w = np.concatenate([w for w in p.weights if w.ndim == 2], axis=1)
    flat = w.ravel()
    first, second = np.split(flat, 2)
    return {
        OURS: lambda: ours.stream(p.layer, p.x[0]),
        "dot of halves": lambda: lambda: first.dot(second),
        "largest word": lambda: flat.view(np.uint64).max,
        "w @ x": lambda: _product(w),
    }


def _product(w: Any) -> Subject:
    x, out = np.ones(w.shape[1], w.dtype), np.empty(w.shape[0], w.dtype)
    return lambda: np.dot(w, x, out=out)
