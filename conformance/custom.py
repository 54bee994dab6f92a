"""The conformance check of a cell that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import seq

from . import checks, policy
from .cases import LayerCase, covering
from .judge import worst_errors
from .kinds import SIZES, Draw, Kind, kind_of_cell
from .result import Result

STRENGTH = 2  # every pair of values of two axes occurs


class ConformanceError(AssertionError):
    """A check that failed; the message names the case and what it found there."""


@dataclass(frozen=True)
class Summary:
    """What was checked, and the worst errors against the same source on torch tensors.

    torch_float32 is PyTorch's own error in float32, on the same cases and more seeds.
    """

    cell: str
    cases: int
    checks: int
    float64: float
    float32: float
    torch_float32: float

    def __str__(self) -> str:
        return (
            f"{self.cell}: {self.checks} checks of {self.cases} cases passed; worst "
            f"error {self.float64:.1e} in float64, {self.float32:.1e} in float32 "
            f"(PyTorch's own: {self.torch_float32:.1e})"
        )


def check(
    cell: Any, data: Mapping[str, Draw] | None = None, subject: Any = seq
) -> Summary:
    """See `conformance.check`."""
    kind = kind_of_cell(cell, data or {})
    deep = stackable(cell, kind)
    cases = [c for c in covering((kind.name,), STRENGTH) if deep or c.layers == 1]
    errors = {kind.name: own_errors(cases, kind, subject)}
    worst = dict.fromkeys(("float64", "float32"), 0.0)
    count = 0
    for result in _results(cases, kind, subject, errors):
        count += 1
        if not result.passed:
            raise ConformanceError(_message(result, cell))
        if result.family:
            worst[result.dtype] = max(worst[result.dtype], result.error)
    own = max(errors[kind.name].values())
    return Summary(kind.name, len(cases), count, **worst, torch_float32=own)


def own_errors(
    cases: Sequence[LayerCase], kind: Kind, subject: Any
) -> dict[str, float]:
    """PyTorch's float32 errors, over the policy's number of seeds in every family."""
    narrow = [case for case in cases if case.dtype == "float32"]
    return worst_errors(
        checks.torch_pair(case, seed, kind, subject)
        for case in narrow
        for seed in range(policy.SEEDS)
    )


def _results(
    cases: Sequence[LayerCase], kind: Kind, subject: Any, errors: policy.Errors
) -> Iterator[Result]:
    for case in cases:
        yield from checks.check_layer(case, subject, kind, errors)


def stackable(cell: Any, kind: Kind) -> bool:
    """Whether the states, the data and the output have one size in every layer."""
    shapes = [*kind.carry.values(), *(shape for shape, _ in kind.data.values())]
    wider = cell.output_size({**SIZES, "I": SIZES["I"] + 1})
    return wider == kind.output and not any("I" in shape for shape in shapes)


def _message(result: Result, cell: Any) -> str:
    return (
        f"{result}\n\nTo see it alone:\n\n"
        "from conformance import check\n"
        f"check({cell.name})  # raises at {result.case}"
    )
