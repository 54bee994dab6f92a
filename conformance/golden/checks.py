"""The checks of a golden vector; they need numpy, and no PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import minigrad as mg
import seq

from .. import policy
from ..cases import LayerCase
from ..checks.laws import backward_accumulates, padding_is_inert, relations_hold
from ..checks.relations import RELATIONS, Relation, zero_state
from ..checks.under_test import call, run
from ..data import Data
from ..judge import Judge
from ..kinds import SIZES, Kind
from ..result import Result
from ..tape import Tensors, measure
from .vectors import Vector, manifest

MODES: Mapping[str, Callable[[], Any]] = {
    "fused": contextlib.nullcontext,
    "eager": mg.eager_loops,
}


def check_vector(
    vector: Vector,
    dtype: str = "float64",
    mode: str = "fused",
    subject: Any = seq,
    errors: policy.Errors | None = None,
) -> Iterator[Result]:
    """A subject on a recorded case: the numbers, then what follows from them.

    What raises is a failure like any other. float32 is held to the same numbers.
    """
    case, kind, data = replace(vector.case, dtype=dtype), vector.kind, vector.data
    errors = recorded_errors() if errors is None else errors
    group = case.kind if mode == "fused" else f"{case.kind}, {mode}"
    judge = Judge(group, case.id, dtype, case.family, errors)
    for check in (recording_agrees(vector), *LAWS):
        results: list[Result] = []  # whoever iterates over this runs in no mode
        try:
            with MODES[mode]():
                results.extend(check(judge, case, kind, data.astype(dtype), subject))
        except Exception as error:
            results.append(judge.raised(check.__name__.replace("_", " "), error))
        yield from results


def recorded_errors() -> policy.Errors:
    """PyTorch's own float32 errors on these cases."""
    kinds = manifest()["kinds"]
    return {name: kind["float32_errors"] for name, kind in kinds.items()}


Check = Callable[[Judge, LayerCase, Kind, Data, Any], Iterator[Result]]


def recording_agrees(vector: Vector) -> Check:
    """Outputs, final states, gradients and second derivatives as they are recorded."""

    def agrees_with_the_recording(
        judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
    ) -> Iterator[Result]:
        done = run(case, kind, data, subject)
        found = measure(done, data.cotangents, data.directions)
        for what, tensors in vector.expected.items():
            for name, reference in tensors.items():
                yield judge.close(what, name, found[what][name], reference)

    return agrees_with_the_recording


def without_a_batch(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """A batch is its rows, each of them without an axis for the batch."""
    axes = {"x": 1, **{n: 1 + ("T" in shape) for n, (shape, _) in kind.data.items()}}
    runs = []
    for row in range(SIZES["B"]):
        own = {
            name: leaf[_row(axes.get(name, 1), row)]
            for name, leaf in leaves.items()
            if name not in data.parameters
        }
        masks = data.masks and [mask[:, row] for mask in data.masks]
        runs.append(call(layer, own, case, kind, replace(data, masks=masks)))
    return {name: mg.stack([r[name] for r in runs], dim=1) for name in runs[0]}


def _row(axis: int, row: int) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, row)


def no_state_is_zeros(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """The case without its initial state is the case with one of zeros."""
    states = [f"{name}_0" for name in kind.carry]

    def rest(arrays: Mapping[str, Any]) -> dict[str, Any]:
        return {name: array for name, array in arrays.items() if name not in states}

    bare = replace(data, inputs=rest(data.inputs), directions=rest(data.directions))
    stateless = replace(case, state=False)
    yield from relations_hold(judge, stateless, kind, bare, subject, NO_STATE)


def others_hold(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """Other layouts, rows, pieces and paddings lead to the same numbers."""
    yield from relations_hold(judge, case, kind, data, subject, OTHERS)


def evaluation_drops_nothing(
    judge: Judge, case: LayerCase, kind: Kind, data: Data, subject: Any
) -> Iterator[Result]:
    """With eval(), a layer is the same without dropout, to the last bit."""
    if not case.dropout:
        return

    def evaluated(layer: Any, *rest: Any) -> Tensors:
        return call(layer.eval(), *rest)

    whole = replace(data, masks=None)
    plain = run(replace(case, dropout=0.0), kind, whole, subject)
    expected = measure(plain, data.cotangents)
    done = run(case, kind, whole, subject, evaluated)
    for what, tensors in measure(done, data.cotangents).items():
        for name, array in tensors.items():
            yield judge.equal(f"eval mode: {what} {name}", array, expected[what][name])


NO_STATE = (Relation("no state is zeros", lambda c: True, zero_state, exact=True),)
OTHERS = (
    *RELATIONS,
    Relation("without a batch", lambda c: not c.ragged, without_a_batch),
)
LAWS: tuple[Check, ...] = (
    others_hold,
    no_state_is_zeros,
    evaluation_drops_nothing,
    padding_is_inert,
    backward_accumulates,
)
