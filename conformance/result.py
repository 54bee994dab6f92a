"""What one check of one case came to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One tensor compared, or one demand met or not (error 0 or infinite)."""

    group: str  # the row of the report: a layer's kind, an op, an optimiser
    case: str
    check: str
    dtype: str
    error: float
    limit: float
    torch_error: float | None = None  # PyTorch's own, where it was measured
    detail: str = ""
    family: str = ""  # what float32 errors are recorded by

    @property
    def passed(self) -> bool:
        """Whether the error is within the limit; a NaN isn't."""
        return self.error <= self.limit

    @property
    def raised(self) -> bool:
        """Whether there is no number because something raised."""
        return self.detail.startswith("raised ")

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        text = f"{verdict} {self.case}: {self.check}: error {self.error:.3g}"
        text += f", limit {self.limit:.3g}"
        return f"{text}\n  {self.detail}" if self.detail else text


def first_failure(results: Iterable[Result]) -> Result | None:
    """The first failure, without running anything after it."""
    return next((r for r in results if not r.passed), None)


def for_json(number: float) -> float | str:
    """The number, as a text if it is one that JSON doesn't have."""
    return number if math.isfinite(number) else str(number)
