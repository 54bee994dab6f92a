"""The machine's limit: the largest rate of a product, by whoever multiplies best."""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.measure import Subject
from minigrad import _backend

SHAPES = [(512, 512, 512), (1024, 1024, 1024), (2048, 512, 1024)]
"""(m, k, n)."""
_MULTIPLIERS = ("numpy", "torch", "minigrad")


def _name(by: str, shape: tuple[int, int, int]) -> str:
    return f"{by} {'x'.join(map(str, shape))}"


FLOPS = {
    _name(by, (m, k, n)): 2.0 * m * k * n for by in _MULTIPLIERS for m, k, n in SHAPES
}
"""Of one call, by the name of the subject."""


def subjects() -> dict[str, Subject]:
    """float32 products; numpy's and torch's into arrays that are there already."""
    return {_name(by, s): _subject(by, s) for by in _MULTIPLIERS for s in SHAPES}


def _subject(by: str, shape: tuple[int, int, int]) -> Callable[[], object]:
    m, k, n = shape
    a, b, c = (np.ones(size, np.float32) for size in ((m, k), (k, n), (m, n)))
    if by == "numpy":
        return lambda: np.matmul(a, b, out=c)
    if by == "minigrad":
        packed = _backend.loop.pack(b)
        return lambda: _backend.loop.product(a, packed, n)
    left, right, out = map(torch.from_numpy, (a, b, c))
    return lambda: torch.mm(left, right, out=out)
