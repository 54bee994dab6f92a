"""The results of a run as a heat map: a row for each case, a column for each check."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..result import Result


def column_of(check: str) -> str:
    """The column of a check: what was computed, whatever the tensor.

    >>> column_of("grad(h_n) weight_ih_l0"), column_of("in chunks: value output")
    ('grad(h_n)', 'in chunks')
    """
    if " in eval mode" in check:
        return "eval mode"
    head, colon, _ = check.partition(":")
    if colon:
        return re.sub(r"^(lengths |reverse )?(first|then) ", "", head)
    tensor = re.match(r"(value|second|grad\(\w+\)|after \d+|clipped|norm) ", check)
    return tensor[1] if tensor else check


def ulps(result: Result) -> float:
    """The error in units in the last place, at the largest value of the tensor."""
    if "ulp" in result.check or result.error == 0:
        return result.error
    return result.error / float(np.finfo(result.dtype or "float64").eps)


def share(result: Result) -> float:
    """The error as a part of what is allowed; above 1 it is a failure."""
    if np.isnan(result.error):
        return np.inf
    return result.error / result.limit if result.limit else result.error


@dataclass
class Cell:
    """The checks of one case in one column: how many, and the worst of them."""

    worst: Result
    checks: int = 0
    failed: int = 0

    def add(self, result: Result, known: bool) -> None:
        """Take one check in; a known deviation is no failure."""
        self.checks += 1
        self.failed += not (result.passed or known)
        if share(result) > share(self.worst):
            self.worst = result


@dataclass
class Heat:
    """The cells of a run: by group, case and column, in the order of the results."""

    groups: dict[str, dict[str, dict[str, Cell]]] = field(default_factory=dict)

    def add(self, result: Result, known: bool = False) -> None:
        """Take one result in."""
        cases = self.groups.setdefault(result.group, {})
        cells = cases.setdefault(result.case, {})
        cell = cells.setdefault(column_of(result.check), Cell(result))
        cell.add(result, known)

    def as_dict(self, groups: Iterable[str]) -> dict[str, Any]:
        """The cells of some groups, as short as may be: there are tens of thousands.

        columns, checks: names, which the cells count by. cases: for each group, [case,
        dtype, cells]; a cell is [column, ulp, share of the limit, checks, failed, the
        worst check]. A number that is not finite is null.
        """
        columns: dict[str, int] = {}
        checks: dict[str, int] = {}
        cases = {
            group: [
                [
                    case,
                    next(iter(cells.values())).worst.dtype,
                    [
                        [
                            columns.setdefault(column, len(columns)),
                            _short(ulps(cell.worst)),
                            _short(share(cell.worst)),
                            cell.checks,
                            cell.failed,
                            checks.setdefault(cell.worst.check, len(checks)),
                        ]
                        for column, cell in cells.items()
                    ],
                ]
                for case, cells in self.groups[group].items()
            ]
            for group in groups
        }
        return {"columns": list(columns), "checks": list(checks), "cases": cases}


def _short(number: float) -> float | None:
    """Three digits of a number, an int if it is one."""
    if not np.isfinite(number):
        return None
    rounded = float(f"{number:.3g}")
    return int(rounded) if rounded.is_integer() else rounded
