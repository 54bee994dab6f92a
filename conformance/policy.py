"""The tolerance policy: the only place where a number decides what passes.

float64: FLOAT64_RTOL, relative to the largest value of the tensor. Finite differences,
in float64: FINITE_DIFFERENCE. float32: the reference is PyTorch in float64 on the
float32-rounded inputs, and a check may err FLOAT32_FACTOR times as much as PyTorch in
float32 did at worst in the same family (kind x check) over SEEDS seeds, or as
FLOAT32_FLOOR. Of a tensor, SEEDS of DRAWS seeds count: the one that is run, and those
at which it is largest. Where it is what a cancellation left, its error says how much
cancelled, and would excuse as much elsewhere. Elementwise ops: ULP units in the last
place, in both dtypes. Nothing has a tolerance of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Errors = Mapping[str, Mapping[str, float]]
"""PyTorch's largest float32 error, by group (a layer's kind, an op) and family."""

FLOAT64_RTOL = 1e-12
FINITE_DIFFERENCE = 1e-6
FLOAT32_FACTOR = 2.0
FLOAT32_FLOOR = 4 * 2.0**-24
ULP = 2.0
EXACT = 0.0
SETTLED = 1e-13  # a recorded tensor that a new one agrees with stays as it was
SEEDS, DRAWS = 16, 20
# Truncation falls with the step and rounding rises; a kink between the two points
# spoils a large step only. The best step is what the method can say.
FINITE_STEPS = (1e-5, 1e-6, 1e-7)

RECORD = Path(__file__).with_name("torch_float32.json")


def relative_error(actual: Any, reference: Any) -> float:
    """max|actual - reference| / max|reference| over one tensor.

    Infinite if the shapes differ, or if a NaN or an infinity is not met by the same
    one at the same place; the maxima are over the finite values. An empty tensor has
    error 0. A reference of zeros is compared with 1, not with itself: every case feeds
    values of order one, so what cancels in the reference may leave one rounding.
    """
    a, r = np.asarray(actual, np.float64), np.asarray(reference, np.float64)
    if a.shape != r.shape:
        return np.inf
    finite = np.isfinite(r)
    if not np.array_equal(finite, np.isfinite(a)):
        return np.inf
    if not np.array_equal(a[~finite], r[~finite], equal_nan=True):
        return np.inf
    if not finite.any():
        return 0.0
    # Halves, so that the difference of two huge values of unlike sign is finite.
    gap = np.abs(a[finite] / 2 - r[finite] / 2).max()
    scale = np.abs(r[finite]).max() / 2
    return float(gap / scale if scale else 2 * gap)


def exact_error(actual: Any, reference: Any) -> float:
    """0 if the two hold the same values (NaN is NaN), infinity otherwise."""
    same = np.array_equal(np.asarray(actual), np.asarray(reference), equal_nan=True)
    return 0.0 if same else np.inf


def float32_limit(torch_error: float) -> float:
    """What a float32 check may err, given what PyTorch itself erred at worst."""
    return FLOAT32_FACTOR * max(torch_error, FLOAT32_FLOOR)


@cache
def recorded() -> Errors:
    """PyTorch's own float32 errors, as `python -m conformance record` wrote them."""
    errors: Errors = json.loads(RECORD.read_text("utf-8"))["errors"]
    return errors


def worst_of_each(groups: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """For every family the worst of all values, gradients or second derivatives.

    Of what is run beside the cases that are recorded some gradients hang on a single
    number that cancelled, and every tensor behind it has its error.
    """
    worst: dict[str, float] = {}
    for family, error in (item for group in groups for item in group.items()):
        what = family.split()[0]
        worst[what] = max(error, worst.get(what, 0.0))
    return {f: worst[f.split()[0]] for group in groups for f in group}


def torch_error(errors: Errors, group: str, family: str) -> float:
    """PyTorch's recorded error of a family; 0, so that the floor holds, without one."""
    return errors.get(group, {}).get(family, 0.0)
