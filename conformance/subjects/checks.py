"""A subject's answers to the layer cases, judged as minigrad's own are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import policy
from ..cases import LayerCase
from ..checks.layers import other_sizes
from ..data import (
    Array,
    Arrays,
    Data,
    enlarged,
    extreme,
    large_cell,
    make_data,
    one_row,
    padding,
    spoiled,
    zeroed,
)
from ..idle import Among, rests
from ..judge import Judge
from ..kinds import Kind, kind_of
from ..reference import oracle
from ..result import Result
from ..tape import Run, patterns
from . import Answer
from .isolation import Facts, Reply, Worker


@dataclass(frozen=True)
class Outcome:
    """What one case came to: "pass", "fail", "unsupported" or "not representable"."""

    case: str
    status: str
    reason: str = ""  # of the last two
    results: tuple[Result, ...] = ()

    @property
    def failures(self) -> list[Result]:
        """What failed."""
        return [result for result in self.results if not result.passed]

    @property
    def worst(self) -> Result | None:
        """The failure with the largest error."""
        return max(self.failures, key=lambda r: r.error, default=None)


def check_case(
    worker: Worker, case: LayerCase, empty_rows: bool | None = None
) -> Outcome:
    """Outputs, final states and gradients of one case against PyTorch.

    empty_rows: whether there are some, if lengths vary; None is what the subject says.
    """
    kind = kind_of(case.kind)
    facts = worker.facts
    if empty_rows is not None:
        facts = replace(facts, empty_rows=empty_rows)
    data = prepared(case, make_data(case, kind), facts)
    reply = worker.run(case, data)
    if reply.status in ("unsupported", "not representable"):
        return Outcome(case.id, reply.status, reply.text)
    judge = Judge(case.kind, case.id, case.dtype, case.family, policy.recorded())
    results = list(_judged(judge, worker, case, kind, data, reply))
    if all(result.passed for result in results):  # else it would say nothing more
        results += _used(judge, worker, case, kind, data)
    passed = all(result.passed for result in results)
    return Outcome(case.id, "pass" if passed else "fail", results=tuple(results))


def _judged(
    judge: Judge, worker: Worker, case: LayerCase, kind: Kind, data: Data, reply: Reply
) -> Iterator[Result]:
    reference = oracle.run(case, kind, data.astype(np.float64))
    expected = {name: reference.values[name] for name in data.cotangents}
    yield from _checked(judge, "runs", reply)
    if reply.answer is None:
        return
    yield from _compared(judge, "value", reply.answer.outputs, expected)
    if not worker.facts.differentiates:
        return
    yield from _gradients(judge, "all", reference, data, reply.answer)
    for pattern, cotangents in list(patterns(data.cotangents))[1:]:
        if len(data.cotangents) == 1:
            return
        part = replace(data, cotangents=cotangents)
        again = worker.run(case, part)
        yield from _checked(judge, f"runs with the cotangent of {pattern}", again)
        if again.answer is not None:
            yield from _gradients(judge, pattern, reference, part, again.answer)


def _used(
    judge: Judge, worker: Worker, case: LayerCase, kind: Kind, data: Data
) -> Iterator[Result]:
    """Other calls, and the first one again: what was kept of a call would show.

    Their outputs; in float64, where no cancellation leaves a doubt, gradients too.
    """
    sizes = worker.facts.any_size
    if sizes and case.dtype == "float32" and rests(case, kind):
        yield from _among_idle_units(judge, worker, case, kind, data)
    calls: dict[str, tuple[LayerCase, Kind, Data]] = {}
    if sizes and case.dtype == "float64":
        name, long, more, drawn = other_sizes(case, kind)
        drawn = prepared(long, drawn, worker.facts)
        calls[f"of other sizes ({name})"] = (long, more, drawn)
    # After those: what is kept of a call may be used in one of the same sizes alone.
    calls |= {what: (case, kind, given) for what, given in _calls(case, data).items()}
    for what, (asked, own, given) in {**calls, "again": (case, kind, data)}.items():
        reference = oracle.run(asked, own, given.astype(np.float64))
        expected = {name: reference.values[name] for name in given.cotangents}
        reply = worker.run(asked, given)
        yield from _checked(judge, f"runs {what}", reply)
        if reply.answer is None:
            continue
        yield from _compared(judge, f"value {what}", reply.answer.outputs, expected)
        exact = case.dtype == "float64" and what != "of a large c"
        if worker.facts.differentiates and exact:
            yield from _gradients(judge, what, reference, given, reply.answer)
    if np.isnan(worker.facts.padding) and case.batched and case.dtype == "float64":
        yield from _spoiled(judge, worker, case, kind, data)


def _calls(case: LayerCase, data: Data) -> dict[str, Data]:
    """Other data for the layer of the case."""
    calls: dict[str, Data] = {}
    if case.batched:
        longest = -1 if data.lengths is None else int(data.lengths.argmax())
        calls["of one row alone"] = one_row(case, data, longest)
    if case.dtype == "float64":
        calls["of extreme inputs"] = extreme(case, data)
        calls["of large cotangents"] = enlarged(data)
        if not case.bias:
            calls["of zeros"] = zeroed(case, data)
    if "c_0" in data.inputs:  # in float32 an exponential of it overflows sooner
        calls["of a large c"] = large_cell(data)
    other = {name: -array for name, array in data.parameters.items()}
    calls["of other weights"] = replace(data, parameters=other)
    return calls


def _among_idle_units(
    judge: Judge, worker: Worker, case: LayerCase, kind: Kind, data: Data
) -> Iterator[Result]:
    """What a layer of other sizes computes of the same, gradients included."""
    wide = data.astype(np.float64)
    reference, among = oracle.run(case, kind, wide), Among(case, kind)
    reply = worker.run(case, among.data(data))
    yield from _checked(judge, "runs among idle units", reply)
    if reply.answer is None:
        return
    pairs = {"value among idle units": (reply.answer.outputs, reference.values)}
    if worker.facts.differentiates:
        gradients = reply.answer.gradients or {}
        expected = reference.gradients(wide.cotangents)
        pairs["grad(among idle units)"] = (gradients, expected)
    names = {*data.cotangents, *data.leaves}
    for what, (found, tensors) in pairs.items():
        asked = {name: array for name, array in tensors.items() if name in names}
        known = {name: array for name, array in found.items() if name in asked}
        yield from _compared(judge.once_more(), what, among.taken(known), asked)


def _spoiled(
    judge: Judge, worker: Worker, case: LayerCase, kind: Kind, data: Data
) -> Iterator[Result]:
    """NaN and inf spoil what they spoil in PyTorch; which of both comes isn't asked."""
    given = spoiled(case, kind, data)
    reference = oracle.run(case, kind, given)
    reply = worker.run(case, given)
    yield from _checked(judge, "runs of spoiled rows", reply)
    if reply.answer is None:
        return
    for name in given.cotangents:
        found, right = reply.answer.outputs[name], reference.values[name]
        finite = np.isfinite(right)
        check = f"spoiled rows: {name} is finite"
        yield judge.equal(check, np.isfinite(found), finite)


def _checked(judge: Judge, check: str, reply: Reply) -> Iterator[Result]:
    yield judge.demand(check, reply.status == "answered", reply.text)
    detail = f"it has changed {', '.join(reply.modified)}"
    yield judge.demand("leaves its inputs alone", not reply.modified, detail)


def _gradients(
    judge: Judge, pattern: str, reference: Run, data: Data, answer: Answer
) -> Iterator[Result]:
    expected = reference.gradients(data.astype(np.float64).cotangents)
    found = answer.gradients or {}
    yield from _compared(judge, f"grad({pattern})", found, expected)


def _compared(
    judge: Judge, what: str, found: Mapping[str, Any], expected: Arrays
) -> Iterator[Result]:
    names = sorted(found)
    detail = f"it returned {names}, not {sorted(expected)}"
    yield judge.demand(f"{what}: names", names == sorted(expected), detail)
    for name, reference in expected.items():
        if name in found:
            yield judge.close(what, name, found[name], reference)


def prepared(case: LayerCase, data: Data, facts: Facts) -> Data:
    """The case's data, within what a subject promises."""
    names = facts.outputs or tuple(data.cotangents)
    known = {n: a for n, a in data.cotangents.items() if n in names}
    data = replace(data, cotangents=known)
    if data.lengths is None:
        return data
    lengths = data.lengths if facts.empty_rows else np.maximum(data.lengths, 1)
    x = data.inputs["x"].copy()
    drawn: Array = np.array(case.rng("padding").standard_normal(x.shape), x.dtype)
    x[np.isnan(x)] = drawn[np.isnan(x)]  # of rows that are made longer
    x[padding(case, lengths)] = facts.padding
    return replace(data, lengths=lengths, inputs={**data.inputs, "x": x})
