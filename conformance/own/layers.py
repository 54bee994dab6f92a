"""The conformance check of a layer that somebody else wrote, for their own tests."""

from __future__ import annotations

import functools
import unittest
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from minigrad.errors import ArgumentError
from seq.cell import Cell

from .. import golden, installed, policy
from ..cases import AXES, LayerCase, cover, product
from ..checks import laws
from ..checks.relations import RELATIONS, Relation, full_lengths
from ..checks.under_test import refused_or_raised, refuses, run
from ..data import Data, make_data
from ..judge import Judge
from ..kinds import SIZES, Kind, kind_of_cell
from ..result import Result
from ..tape import MINIGRAD
from . import cells
from .cells import ConformanceError, Summary, counted
from .messages import explain
from .wrapped import OwnLayer, own_layer

Check = Callable[[Judge, LayerCase, Kind, Data, Any], Iterator[Result]]


def case_ids(layer: Any, like: str | None = None) -> list[str]:
    """See `conformance.case_ids`."""
    if isinstance(layer, Cell):
        kind = kind_of_cell(layer, {})
        return [case.id for case in cells.own_cases(layer, kind)]
    if like is None:
        raise ArgumentError(
            "case_ids() takes a cell, or a layer and what it is like: "
            'case_ids(layer, like="torch.nn.GRU")'
        )
    return [case.id for case in _layer_cases(own_layer(layer, like))]


def check_layer(layer: Any, like: str, case: str | None = None) -> Summary:
    """See `conformance.check_layer`."""
    own = own_layer(layer, like)
    every = _layer_cases(own)
    if not every:
        raise ArgumentError(
            f"no case that is recorded is of a layer such as {own.name}, made with its "
            "options; PyTorch, where it is installed, computes others"
        )
    chosen = [c for c in every if case in (None, c.id)]
    if not chosen:
        raise ArgumentError(f"{case!r} is none of case_ids(layer, like={like!r})")
    ran: list[Result] = []
    whole: Counter[str] = Counter()  # refusals of cases, why and how often
    part: Counter[str] = Counter()  # and of checks
    first = ""
    for one in chosen:
        try:
            results = list(_results(own, one, every, part))
        except NotImplementedError as error:
            whole[str(error)] += 1
            first = first or f"{own.name} can't do {one.id}: {error}"
            continue
        except _RaisedError as error:
            raise ConformanceError(_message(own, error.results)) from error.__cause__
        if not all(result.passed for result in results):
            raise ConformanceError(_message(own, results))
        ran += results
    if not ran:
        raise unittest.SkipTest(first)
    left = [f"{counted(n, 'case')} ({why})" for why, n in whole.items()]
    left += [f"{counted(n, 'check')} ({why})" for why, n in part.items()]
    return cells.summarise(own.name, ran, tuple(left))


class _RaisedError(Exception):
    """The layer raised when it was called; the cause is what."""

    def __init__(self, result: Result) -> None:
        super().__init__(result)
        self.results = [result]


@functools.cache
def _layer_cases(own: OwnLayer) -> list[LayerCase]:
    """What the layer can be asked for; without PyTorch, what is recorded of it."""
    found: list[LayerCase] = []
    for name, kind in own.kinds.items():
        if installed("torch"):
            every = [case for case in product((name,), omit="dtype") if own.can(case)]
            chosen = cover(every, cells.STRENGTH) if every else []
        else:
            _check_sizes(own, kind)
            parsed = map(LayerCase.parse, golden.case_ids(name))
            chosen = [case for case in parsed if own.can(case)]
        found += [replace(case, dtype=d) for case in chosen for d in AXES["dtype"]]
    return found


def _check_sizes(own: OwnLayer, kind: Kind) -> None:
    if kind.sizes != SIZES:
        raise ArgumentError(
            f"{own.name} maps {kind.sizes['I']} to {kind.sizes['H']}; without PyTorch "
            f"only layers from {SIZES['I']} to {SIZES['H']} can be checked: pass what "
            "makes the layer, such as its class"
        )


def _results(
    own: OwnLayer,
    case: LayerCase,
    every: Sequence[LayerCase],
    refused: Counter[str],
) -> Iterator[Result]:
    """Every check of one case; what raises fails, unless the layer refuses it."""
    kind = own.kinds[case.kind]
    live = installed("torch")
    if live:
        data = make_data(case, kind)
        errors: policy.Errors = {}
        if case.dtype == "float32":
            errors = {kind.name: _own_errors(own, kind.name, tuple(every))}
        checks = _live_checks(own, case)
    else:
        from ..golden.checks import recorded_errors

        vector = golden.load(replace(case, dtype="float64").id)
        data, errors = vector.data.astype(case.dtype), recorded_errors()
        checks = _recorded_checks(own, case, vector)
    judge = Judge(case.kind, case.id, case.dtype, case.family, errors, refused)
    subject = own.subject()
    shapes = list(_shapes(judge, case, kind, data, subject))
    yield from shapes
    if not all(result.passed for result in shapes):
        return  # nothing to compare
    for check in checks:
        try:
            yield from check(judge, case, kind, data, subject)
        except Exception as error:
            # Other sizes may be refused, say: the case itself has run.
            name = getattr(check, "__name__", "relations_hold").replace("_", " ")
            yield from refused_or_raised(judge, name, error)


def _shapes(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """The layer can be called, and what it returns has PyTorch's shapes."""
    try:
        values = run(case, kind, data, subject).values
    except Exception as error:
        if refuses(error):
            raise
        raise _RaisedError(judge.raised("runs", error)) from error
    for name, cotangent in data.cotangents.items():
        found, expected = values[name].shape, cotangent.shape
        detail = f"the shape is {found}, not {expected}"
        yield judge.demand(f"shape of {name}", found == expected, detail)


@functools.cache
def _own_errors(
    own: OwnLayer, kind: str, every: tuple[LayerCase, ...]
) -> dict[str, float]:
    """PyTorch's float32 errors, on the cases of the layer."""
    mine = [case for case in every if case.kind == kind]
    return cells.own_errors(mine, own.kinds[kind], None)


def _live_checks(own: OwnLayer, case: LayerCase) -> list[Check]:
    from ..checks.layers import REFERENCES

    found: list[Check] = [*REFERENCES, laws.parameters_are_torchs]
    found += [laws.padding_is_inert, _related(own, case, RELATIONS)]
    found += [laws.differences_agree, laws.tangents_are_adjoint]
    found += [laws.recording_changes_nothing, laws.evaluation_drops_nothing]
    found += [laws.parts_are_of_the_whole, laws.sums_are_differentiated]
    found += [laws.lengths_are_numbers, laws.gradients_are_linear]
    found += [laws.backward_accumulates, laws.results_stay]
    if own.tape is MINIGRAD:
        found += [laws.drawn_masks_are_differentiated]
    return found


def _recorded_checks(
    own: OwnLayer, case: LayerCase, vector: golden.Vector
) -> list[Check]:
    from ..golden import checks

    found: list[Check] = [checks.recording_agrees(vector)]
    found += [laws.padding_is_inert, _related(own, case, checks.OTHERS)]
    found += [checks.no_state_is_zeros, laws.backward_accumulates]
    found += [laws.parts_are_of_the_whole, laws.sums_are_differentiated]
    found += [laws.lengths_are_numbers, laws.gradients_are_linear]
    found += [laws.recording_changes_nothing, laws.results_stay]
    return [*found, checks.evaluation_drops_nothing]


def _related(own: OwnLayer, case: LayerCase, relations: Sequence[Relation]) -> Check:
    """The relations that the layer can be asked for."""

    def possible(relation: Relation) -> bool:
        lengths = relation.forward is not full_lengths or "lengths" in own.keywords
        return lengths and own.can(relation.variant(case))

    chosen = tuple(relation for relation in relations if possible(relation))
    return functools.partial(laws.relations_hold, relations=chosen)


def _message(own: OwnLayer, results: Sequence[Result]) -> str:
    case = results[0].case
    code = (
        "from conformance import check_layer\n"
        f"check_layer({own.code}, like={own.like!r}, case={case!r})"
    )
    return explain(f"{own.name}, like {own.like}", results, code)
