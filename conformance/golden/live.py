"""PyTorch on the recorded cases: to record them, and to see what has drifted since."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import LayerCase
from ..data import Data
from ..judge import Judge, Measured, Pair
from ..kinds import kind_of
from ..reference import oracle
from ..result import Result
from ..tape import measure
from .cases import make_inputs, widened
from .report import DRIFT
from .vectors import Vector


def compute(case: LayerCase, data: Data) -> Measured:
    """The case on PyTorch, in the dtype of the data."""
    done = oracle.run(case, kind_of(case.kind), data)
    return measure(done, data.cotangents, data.directions)


def torch_pair(case: LayerCase, seed: int) -> Pair:
    """The case on PyTorch in float32, and in float64 on the same data."""
    narrow = make_inputs(case, kind_of(case.kind), seed)
    return compute(case, narrow), compute(case, widened(narrow))


def drift(vector: Vector) -> Iterator[Result]:
    """The installed PyTorch against the one that was recorded."""
    case = vector.case
    judge = Judge(DRIFT, case.id, case.dtype, case.family, {})
    for what, tensors in compute(case, vector.data).items():
        for name, array in tensors.items():
            recorded = vector.expected[what][name]
            yield judge.close(f"drift of {what}", name, array, recorded)
