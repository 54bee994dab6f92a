"""Known deviations: what is allowed to fail, why, and since when.

A deviation that no longer fails is stale, and an error: remove it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .result import Result


@dataclass(frozen=True)
class Deviation:
    """One case's check that differs from PyTorch, on purpose or for the time being."""

    case: str
    check: str
    reason: str
    date: str

    def covers(self, result: Result) -> bool:
        """Whether the result is of this case and check."""
        return (self.case, self.check) == (result.case, result.check)


DEVIATIONS: tuple[Deviation, ...] = ()
