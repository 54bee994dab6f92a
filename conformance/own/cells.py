"""The conformance check of a cell that somebody else wrote."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import seq
from minigrad.errors import ArgumentError, describe
from seq.cell import Cell

from .. import policy
from ..cases import LayerCase, covering
from ..checks import layers
from ..judge import largest, worst_errors
from ..kinds import SIZES, Draw, Kind, kind_of_cell
from ..result import Result
from .messages import explain

STRENGTH = 2  # every pair of values of two axes occurs
# Besides other seeds: these cases are few, and where the data that is run cancels more
# than most, PyTorch's one error there said little: 5 of 176 right GRUs were refused.
NEIGHBOURS = policy.DRAWS

DOUBT = 1000  # times the limit: a smaller error may be rounding that the cell enlarges
DOMAIN = (
    "So little may be rounding that the equations enlarge. States and parameters are "
    "drawn around 0: of one that is divided by, or has to be positive, say what it may "
    "be, with data={'tau': lambda rng, shape: 1 + rng.random(shape)}, say."
)


class ConformanceError(AssertionError):
    """A check that failed; the message names the case and what it found there."""


@dataclass(frozen=True)
class Summary:
    """What was checked, and the worst errors against the same source on torch tensors.

    torch_float32 is PyTorch's own error in float32, on the same cases and more seeds;
    refused is what a layer said that it can't do, and was not held to.
    """

    cell: str
    cases: int
    checks: int
    float64: float
    float32: float
    torch_float32: float
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        refused = f"; refused: {', '.join(self.refused)}" if self.refused else ""
        return (
            f"{self.cell}: {self.checks} checks of {self.cases} cases passed; worst "
            f"error {self.float64:.1e} in float64, {self.float32:.1e} in float32 "
            f"(PyTorch's own: {self.torch_float32:.1e}){refused}"
        )


def check(
    cell: Any,
    data: Mapping[str, Draw] | None = None,
    subject: Any = seq,
    case: str | None = None,
) -> Summary:
    """See `conformance.check`."""
    if not isinstance(cell, Cell):
        raise ArgumentError(
            f"check() takes what seq.cell makes, not {describe(cell)}; check_layer() "
            "takes a layer"
        )
    for name in set(data or {}).difference(cell.data, cell.carry, cell.params):
        raise ArgumentError(
            f"{cell.name} has no data, state or parameter called {name!r}"
        )
    kind = kind_of_cell(cell, data or {})
    every = own_cases(cell, kind)
    chosen = [c for c in every if case in (None, c.id)]
    if not chosen:
        raise ArgumentError(f"{case!r} is none of conformance.case_ids({kind.name})")
    errors: policy.Errors = {}
    if any(c.dtype == "float32" for c in chosen):
        drawn = tuple((data or {}).items())
        errors = {kind.name: _cell_errors(cell, drawn, subject, tuple(every))}
    ran: list[Result] = []
    for one in chosen:
        results = list(layers.check_layer(one, subject, kind, errors))
        if not all(result.passed for result in results):
            raise ConformanceError(_message(cell, one, results))
        ran += results
    return summarise(kind.name, ran)


def own_cases(cell: Any, kind: Kind) -> list[LayerCase]:
    """The cases of a cell: each pair of values; no stacks of what can't be stacked."""
    deep = stackable(cell, kind)
    return [c for c in covering((kind.name,), STRENGTH) if deep or c.layers == 1]


def summarise(
    name: str, results: Sequence[Result], refused: tuple[str, ...] = ()
) -> Summary:
    """What so many results, all passed, come to; refused is what was left out."""
    worst = {
        dtype: max(
            (r.error for r in results if r.family and r.dtype == dtype), default=0
        )
        for dtype in ("float64", "float32")
    }
    own = max(result.torch_error or 0.0 for result in results)
    count = len({result.case for result in results})
    errors = worst["float64"], worst["float32"], own
    return Summary(name, count, len(results), *errors, refused)


@functools.cache  # each case of a test asks for them again
def _cell_errors(
    cell: Any,
    drawn: tuple[tuple[str, Draw], ...],
    subject: Any,
    cases: tuple[LayerCase, ...],
) -> dict[str, float]:
    return own_errors(cases, kind_of_cell(cell, dict(drawn)), subject)


def own_errors(
    cases: Sequence[LayerCase], kind: Kind, subject: Any
) -> dict[str, float]:
    """PyTorch's float32 errors, over seeds and as many neighbours of what is run."""
    found = []
    for case in cases:
        if case.dtype == "float32":
            pair = functools.partial(
                layers.torch_pair, case, kind=kind, subject=subject
            )
            found.append(worst_errors(pair))
            near = functools.partial(pair, neighbour=True)
            found.append(worst_errors(near, NEIGHBOURS, alike=True))
    return largest(found)


def stackable(cell: Any, kind: Kind) -> bool:
    """Whether the states, the data and the output have one size in every layer."""
    shapes = [*kind.carry.values(), *(shape for shape, _ in kind.data.values())]
    wider = cell.output_size({**SIZES, "I": SIZES["I"] + 1})
    return wider == kind.output and not any("I" in shape for shape in shapes)


def counted(n: int, noun: str) -> str:
    """`"2 cases"`, `"1 case"`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _message(cell: Any, case: LayerCase, results: Sequence[Result]) -> str:
    code = f"from conformance import check\ncheck({cell.name}, case={case.id!r})"
    first = next(result for result in results if not result.passed)
    hint = DOMAIN if first.error < DOUBT * first.limit else ""
    return explain(cell.name, results, code, hint)
