"""The checks of a layer case, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import seq

from .. import policy
from ..cases import AXES, LayerCase
from ..data import (
    Data,
    extreme,
    large_cell,
    make_data,
    nudged,
    own_draw,
    spoiled,
    zeroed,
)
from ..idle import Among, rests
from ..judge import Judge, Pair
from ..kinds import LARGER, SMALLEST, SQUARE, Kind, kind_of
from ..result import Result
from ..tape import Arrays, Run, measure
from . import laws
from .under_test import run

SMALL = 7  # steps x layers up to which second derivatives are taken
OTHERS = {
    7: ("larger", LARGER, 40),  # blocks and vector registers are full
    2: ("square", SQUARE, 2),
    1: ("smallest", SMALLEST, 101),
}
"""Sizes and steps of another layer that is run, by the steps of the case."""


def check_layer(
    case: LayerCase,
    subject: Any = seq,
    kind: Kind | None = None,
    errors: policy.Errors | None = None,
) -> Iterator[Result]:
    """Every check of one case. What raises is a failure like any other.

    subject: a namespace with RNN, GRU, LSTM, Recurrent and CELLS, as `seq` has them.
    """
    kind = kind or kind_of(case.kind)
    errors = policy.recorded() if errors is None else errors
    judge = Judge(case.kind, case.id, case.dtype, case.family, errors)
    data = make_data(case, kind)
    for check in (*REFERENCES, *laws.LAWS):
        try:
            yield from check(judge, case, kind, data, subject)
        except Exception as error:
            yield judge.raised(check.__name__.replace("_", " "), error)


def reference_agrees(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Outputs, final states, gradients and second derivatives against PyTorch."""
    from ..reference import (
        oracle,  # only here: what is recorded is checked without PyTorch
    )

    wide = data.astype(np.float64)
    expected = measure_case(case, oracle.run(case, kind, wide, subject), wide)
    done = run(case, kind, data, subject)
    found = measure(done, data.cotangents)
    for what, tensors in expected.items():
        if what == "second":  # the last: whoever has none is held to all the others
            found[what] = done.second(data.cotangents, data.directions)[1]
        for name, reference in tensors.items():
            yield judge.close(what, name, found[what][name], reference)


def other_sizes_agree(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Other numbers of steps, rows, features and units, in float64."""
    if case.dtype == "float64" and case.steps in OTHERS:
        yield from _agree(judge, *other_sizes(case, kind), subject)


def other_sizes(case: LayerCase, kind: Kind) -> tuple[str, LayerCase, Kind, Data]:
    """What they are called, the layer of those sizes, and its data."""
    name, sizes, steps = OTHERS[case.steps]
    more, long = kind.resized(sizes), replace(case, steps=steps)
    if sizes is SMALLEST and not kind.made:
        long = replace(long, layers=1, dropout=0.0)  # so many steps take their time
        if not kind.module:  # a cell may need several units: one has no variance
            more = kind.resized({**kind.sizes, "I": 1})
    drawn = make_data(long, more)
    # Weights as large as before would have a state grow with the number of units.
    ratio = min(1.0, np.sqrt(kind.sizes["H"] / more.sizes["H"]))
    weights = {
        name: array if own_draw(kind, name) else ratio * array
        for name, array in drawn.parameters.items()
    }
    return name, long, more, replace(drawn, parameters=weights)


def units_may_rest(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Among units that rest, in float32: blocks are full, and something is over."""
    if case.dtype != "float32" or not rests(case, kind):
        return
    from ..reference import oracle

    wide = data.astype(np.float64)
    expected = oracle.run(case, kind, wide, subject)
    among = Among(case, kind)
    given = among.data(data)
    done = run(case, kind.resized(LARGER), given, subject)
    pairs = {
        "value among idle units": (done.values, expected.values),
        "grad(among idle units)": (
            done.gradients(given.cotangents),
            expected.gradients(wide.cotangents),
        ),
    }
    once_more = judge.once_more()
    for what, (found, references) in pairs.items():
        taken = among.taken(found)
        for name, reference in references.items():
            yield once_more.close(what, name, taken[name], reference)


def zeros_agree(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Where all is zero, a kink is met, and its slope is PyTorch's."""
    if case.dtype == "float64" and not case.bias:
        yield from _agree(judge, "zeros", case, kind, zeroed(case, data), subject)


def extremes_agree(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Inputs that saturate every gate, in float64: nothing overflows, or is cut off."""
    if not _is_long(case):
        return
    given = extreme(case, data)
    yield from _agree(judge, "extreme", case, kind, given, subject, ("grad",))
    given = large_cell(given)
    yield from _agree(judge, "extreme", case, kind, given, subject, ("value",))


def large_cell_agrees(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """A large c in float32, of which an exponential overflows sooner."""
    if case.dtype != "float32" or "c_0" not in data.inputs:
        return
    from ..reference import oracle

    given = large_cell(data)
    reference = oracle.run(case, kind, given.astype(np.float64), subject)
    values = run(case, kind, given, subject).values
    for name, array in reference.values.items():
        yield judge.close("value of a large c", name, values[name], array)


def rows_stay_apart(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """NaN and inf spoil what they spoil in PyTorch, and neither less nor more.

    Whether it is NaN or inf that comes out isn't asked. Nor is anything where zero
    times NaN may be meant, or zero: of dropout, and of what a paper writes as matrices.
    """
    plain = case.dtype == "float64" and case.batched and not case.dropout
    if not plain or not (kind.module or kind.source):
        return
    from ..reference import oracle

    given = spoiled(case, kind, data)
    reference = oracle.run(case, kind, given, subject)
    values = run(case, kind, given, subject).values
    for name, array in reference.values.items():
        finite, found = np.isfinite(array), values[name]
        both = finite & np.isfinite(found)
        check = f"spoiled rows: {name}"
        yield judge.equal(f"{check} is finite", np.isfinite(found), finite)
        yield judge.related(check, np.where(both, found, 0), np.where(both, array, 0))


def _is_long(case: LayerCase) -> bool:
    return case.dtype == "float64" and case.steps == max(AXES["steps"])


def _agree(
    judge: Judge,
    prefix: str,
    case: LayerCase,
    kind: Kind,
    data: Data,
    subject: Any,
    asked: Sequence[str] = ("value", "grad"),
) -> Iterator[Result]:
    """Outputs and gradients against PyTorch's, where those are finite."""
    from ..reference import oracle

    def measured(done: Run) -> dict[str, Arrays]:
        gradients = done.gradients(data.cotangents) if "grad" in asked else {}
        values = done.values if "value" in asked else {}
        return {"value": values, "grad": gradients}

    found = measured(run(case, kind, data, subject))
    for what, tensors in measured(oracle.run(case, kind, data, subject)).items():
        for name, array in tensors.items():
            if np.isfinite(array).all():
                check = f"{prefix}: {what} {name}"
                yield judge.related(check, found[what][name], array)


REFERENCES = (
    reference_agrees,
    other_sizes_agree,
    extremes_agree,
    large_cell_agrees,
    rows_stay_apart,
    units_may_rest,
    zeros_agree,
)
"""The checks that need PyTorch."""


def measure_case(case: LayerCase, done: Run, data: Data) -> dict[str, Arrays]:
    """All that is compared with PyTorch; of small cases second derivatives too."""
    small = case.steps * case.layers <= SMALL
    return measure(done, data.cotangents, data.directions if small else None)


def torch_pair(
    case: LayerCase,
    seed: int,
    kind: Kind | None = None,
    subject: Any = seq,
    neighbour: bool = False,
) -> Pair:
    """The case on PyTorch in float32, and in float64 on the same data.

    neighbour: of what is run, instead of data that is all its own.
    """
    from ..reference import oracle

    kind = kind or kind_of(case.kind)
    narrow = make_data(case, kind, 0 if neighbour else seed)
    narrow = nudged(case, narrow, seed) if neighbour else narrow
    wide = narrow.astype(np.float64)
    return (
        measure_case(case, oracle.run(case, kind, narrow, subject), narrow),
        measure_case(case, oracle.run(case, kind, wide, subject), wide),
    )
