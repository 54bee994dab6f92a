"""From two tensors to a verdict, by the policy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import policy
from .result import Result

Array = np.ndarray[Any, Any]
_PLACE = re.compile(r"_l\d+(_reverse)?$")


@dataclass(frozen=True)
class Judge:
    """Compares for one case: knows what its results are called, and its limits."""

    group: str
    case: str
    dtype: str
    family: str  # the group whose float32 errors hold for it
    errors: policy.Errors
    refused: Counter[str] | None = None  # why, how often; None: nothing may be refused

    def once_more(self) -> Judge:
        """The judge of the same case computed in another way: other numbers cancel."""
        known = policy.worst_of_each([self.errors.get(self.family, {})])
        return replace(self, errors={**self.errors, self.family: known})

    def close(
        self,
        what: str,
        name: str,
        actual: Array,
        reference: Array,
        dtype: Any = None,
    ) -> Result:
        """A tensor against PyTorch's in float64; its dtype too, the case's by default.

        what, name: what was computed of which tensor, such as "grad(h_n)" of "x".
        """
        family = family_of(what, name)
        torch_error = None
        limit = policy.FLOAT64_RTOL
        if self.dtype == "float32":
            torch_error = policy.torch_error(self.errors, self.family, family)
            limit = policy.float32_limit(torch_error)
        expected = np.dtype(dtype or self.dtype)
        error = policy.relative_error(actual, reference)
        detail = self._difference(error, limit, actual, reference)
        if actual.dtype != expected:
            error, detail = np.inf, f"the dtype is {actual.dtype}, not {expected}"
        return self._result(f"{what} {name}", error, limit, torch_error, detail, family)

    def equal(self, check: str, actual: Array, reference: Array) -> Result:
        """The same values, to the last bit."""
        error, limit = policy.exact_error(actual, reference), policy.EXACT
        detail = self._difference(error, limit, actual, reference)
        return self._result(check, error, limit, detail=detail)

    def related(self, check: str, actual: Array, reference: Array) -> Result:
        """Two ways to the same number, in float64."""
        error, limit = policy.relative_error(actual, reference), policy.FLOAT64_RTOL
        detail = self._difference(error, limit, actual, reference)
        return self._result(check, error, limit, detail=detail)

    def differenced(self, check: str, error: float) -> Result:
        """A derivative against finite differences."""
        return self._result(check, error, policy.FINITE_DIFFERENCE)

    def accurate(self, check: str, ulps: float, detail: str) -> Result:
        """An elementwise function against its exact value."""
        return self._result(check, ulps, policy.ULP, detail=detail)

    def demand(self, check: str, met: bool, detail: str) -> Result:
        """Something that holds or doesn't."""
        error = 0.0 if met else np.inf
        return self._result(check, error, policy.EXACT, None, "" if met else detail)

    def raised(self, check: str, error: Exception) -> Result:
        """What should have run raised."""
        return self.demand(check, False, f"raised {type(error).__name__}: {error}")

    def _difference(
        self, error: float, limit: float, actual: Array, reference: Array
    ) -> str:
        if error <= limit:
            return ""
        if actual.shape != reference.shape:
            return f"the shape is {actual.shape}, not {reference.shape}"
        return _places(actual, reference, limit)

    def _result(
        self,
        check: str,
        error: float,
        limit: float,
        torch_error: float | None = None,
        detail: str = "",
        family: str = "",
    ) -> Result:
        return Result(
            self.group,
            self.case,
            check,
            self.dtype,
            float(error),
            limit,
            torch_error,
            detail,
            family,
        )


def family_of(what: str, name: str) -> str:
    """`"grad(h_n) weight_ih_l1_reverse"` is of the family "grad weight_ih"."""
    return f"{re.split('[( ]', what)[0]} {_PLACE.sub('', name)}"


Measured = Mapping[str, Mapping[str, Array]]  # {what: {name: tensor}}
Pair = tuple[Measured, Measured]
"""One case as PyTorch computes it in float32, and in float64 on the same data."""


def worst_errors(
    pair: Callable[[int], Pair], draws: int = policy.DRAWS, alike: bool = False
) -> dict[str, float]:
    """PyTorch's largest float32 error in each family, over seeds of one case.

    alike: their tensors are as large as what is run, so that all of them count.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in range(draws):
        actual, reference = pair(seed)
        for what, tensors in actual.items():
            for name, array in tensors.items():
                right = reference[what][name]
                size = np.abs(right[np.isfinite(right)]).max(initial=0)
                if seed == 0:  # that is what the suite runs
                    size = np.inf
                error = policy.relative_error(array, right)
                found.setdefault((what, name), []).append((float(size), error))
    counted = draws if alike else -(-draws * policy.SEEDS // policy.DRAWS)  # rounded up
    return largest(
        {family_of(*place): max(error for _, error in sorted(some)[-counted:])}
        for place, some in found.items()
    )


def largest(errors: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The largest error of each family."""
    found: dict[str, float] = {}
    for family, error in (item for some in errors for item in some.items()):
        found[family] = max(error, found.get(family, 0.0))
    return found


def _places(actual: Array, reference: Array, limit: float) -> str:
    """Where two tensors of one shape differ most, and from where on they do."""
    a, r = actual.astype(np.float64), reference.astype(np.float64)
    with np.errstate(all="ignore"):
        gap = np.abs(a - r)
    gap = np.where((a == r) | (np.isnan(a) & np.isnan(r)), 0.0, gap)
    gap = np.where(np.isnan(gap), np.inf, gap)
    scale = np.abs(r[np.isfinite(r)]).max(initial=0.0) or 1.0
    off = np.flatnonzero(gap > limit * scale)
    worst = int(np.argmax(gap))
    text = f"at {_place(worst, r)} it is {actual.flat[worst]}"
    text += f", not {reference.flat[worst]}"
    if off.size > 1:
        text += f"; {off.size} of {r.size} are off, from {_place(int(off[0]), r)} on"
    return text


def _place(flat: int, array: Array) -> list[int]:
    return [int(i) for i in np.unravel_index(flat, array.shape)]
