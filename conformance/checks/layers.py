"""The checks of a layer case, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import seq

from .. import policy
from ..cases import LayerCase, default
from ..data import Data, make_data
from ..judge import Judge, Pair
from ..kinds import Kind, kind_of
from ..result import Result
from ..tape import Arrays, Run, measure
from . import laws
from .under_test import run

SMALL = 7  # steps x layers up to which second derivatives are taken


def layer_suite(
    subject: Any = seq,
    cases: Iterable[LayerCase] | None = None,
    errors: policy.Errors | None = None,
) -> Iterator[Result]:
    """Every check of every case, one after the other as they are asked for.

    subject: a namespace with RNN, GRU, LSTM, Recurrent and CELLS, as `seq` has them.
    """
    for case in default() if cases is None else cases:
        yield from check_layer(case, subject, errors=errors)


def check_layer(
    case: LayerCase,
    subject: Any = seq,
    kind: Kind | None = None,
    errors: policy.Errors | None = None,
) -> Iterator[Result]:
    """Every check of one case. What raises is a failure like any other."""
    kind = kind or kind_of(case.kind)
    errors = policy.recorded() if errors is None else errors
    judge = Judge(case.kind, case.id, case.dtype, case.family, errors)
    data = make_data(case, kind)
    for check in (reference_agrees, *laws.LAWS):
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
    found = measure_case(case, run(case, kind, data, subject), data)
    for what, tensors in expected.items():
        for name, reference in tensors.items():
            yield judge.close(what, name, found[what][name], reference)


def measure_case(case: LayerCase, done: Run, data: Data) -> dict[str, Arrays]:
    """All that is compared with PyTorch; of small cases second derivatives too."""
    small = case.steps * case.layers <= SMALL
    return measure(done, data.cotangents, data.directions if small else None)


def torch_pair(
    case: LayerCase, seed: int, kind: Kind | None = None, subject: Any = seq
) -> Pair:
    """The case on PyTorch in float32, and in float64 on the same data."""
    from ..reference import oracle

    kind = kind or kind_of(case.kind)
    narrow = make_data(case, kind, seed)
    wide = narrow.astype(np.float64)
    return (
        measure_case(case, oracle.run(case, kind, narrow, subject), narrow),
        measure_case(case, oracle.run(case, kind, wide, subject), wide),
    )
