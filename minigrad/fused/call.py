"""A call of `scan`: the plan for its step, and the same call again."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from .. import ops
from .._backend import signature
from ..tensor import Tensor
from .frame import Frame, uniform
from .lift import Lifted, set_on
from .passes import left_out
from .plan import Cache, Plan
from .step import (
    Traced,
    check_alike,
    form_of,
    formed,
    is_alike,
    items,
    pair,
    runner,
    trace_step,
)
from .whole import Whole

State = Tensor | tuple[Tensor, ...]

EAGER: ContextVar[bool] = ContextVar("eager_loops", default=False)
plans = Cache()


def is_fusable(carry: State, xs: State) -> bool:
    """Whether the carry is rows of one kind of float, and xs rows for each step."""
    carries, inputs = items(carry), items(xs)
    if not carries or not inputs:
        return False
    for t in (*carries, *inputs):
        if not isinstance(t, Tensor):
            return False
    lead, dtype = inputs[0]._data.shape[:2], carries[0]._data.dtype
    if len(lead) < 2 or 0 in lead or dtype.kind != "f":
        return False
    for c in carries:
        shape = c._data.shape
        if len(shape) != 2 or shape[0] != lead[1] or c._data.dtype != dtype:
            return False
    return all(x._data.ndim == 3 and x._data.shape[:2] == lead for x in inputs)


def plan_of(lifted: Lifted, carry: State, xs: State, reverse: bool) -> Plan:
    """The plan for a step on such a carry and such xs: traced now, or found again."""
    carries, inputs = items(carry), items(xs)
    rows = carries[0]._data.shape[0]
    batch = max(rows, 2)
    forms = form_of(carry), form_of(xs)
    kind = (
        left_out(),
        forms,
        carries[0]._data.dtype,
        *[c._data.shape[1] for c in carries],
        *[(x._data.shape[2], x._data.dtype) for x in inputs],
        *[(type(t), t._data.shape, t._data.dtype) for t in lifted.tensors],
        set_on(lifted.tensors, forms)[0],
    )
    latest: tuple[Any, Plan] | None = lifted.latest
    if latest is not None and latest[0] == kind and latest[1].fits(rows):
        return latest[1]
    key = None if kind[-1] is None else lifted.key and (lifted.key, kind)

    def step(carry: Any, x: Any, tensors: Any) -> Any:
        return lifted.rebind(tensors)(carry, x)

    run = runner(step, carries, inputs, lifted.tensors, forms)

    def traced(batch: int) -> Traced:
        t = inputs[0].shape[0] - 1 if reverse else 0
        result, program = trace_step(run, batch)
        new, y = pair(result, t)
        stand_ins = tuple(ops.zeros_like(c[:1]).expand(batch, -1) for c in carries)
        check_alike("carry", formed(forms[0], stand_ins), new, t)
        check_alike("y", y, y, t)
        return program()

    def make() -> Plan:
        try:
            found = traced(batch)
        except Exception:
            # A tensor with a row for each example has one, if there is one example.
            if batch == rows:
                raise
            found = traced(rows)
            return Plan(replace(found, batch=rows), len(carries), len(inputs))
        plan = Plan(found, len(carries), len(inputs))
        if batch > rows and not (plan.batch is None and look(plan)):
            plan.reason = "what it does depends on the number of examples, which is 1"
            plan.batch = rows
        return plan

    def look(plan: Plan) -> bool:
        """Whether it is the plan for these examples: the step may ask how many."""
        if plan.batch is None and plan.reason is None and rows not in plan.alike:
            plan.alike[rows] = is_alike(plan.traced, run, rows)
        return plan.fits(rows)

    plan = plans.find(key, make)
    if not look(plan):
        plan = plans.find(key and (key, rows), make)
    if plan.kept:
        lifted.latest = kind, plan
    return plan


def call_plan(
    plan: Plan, lifted: Lifted, carry: State, xs: State, frame: Frame, checkpoint: Any
) -> tuple[Any, Any]:
    """(carry, ys), as the step returns them."""
    carries = items(carry)
    tensors = [*carries, *items(xs), *lifted.tensors, *plan.traced.captured]
    return _shaped(plan(tensors, frame, checkpoint), len(carries), plan)


def _shaped(results: list[Any], n: int, plan: Plan) -> tuple[Any, Any]:
    """The pair of n carries and the ys, each as the step returns it."""
    carry, y = plan.traced.forms
    return formed(carry, results[:n]), formed(y, results[n:])


def again(lifted: Lifted, carry: State, xs: State, reverse: bool) -> Any:
    """(carry, ys) of a call without lengths, if it is like the last one; or None."""
    if lifted.repeat is None:
        return None
    plan, last = lifted.repeat
    if last.kind != _kind(lifted, carry, xs, reverse):
        return None
    carries, inputs = items(carry), items(xs)
    frame = uniform(*inputs[0]._data.shape[:2], reverse)
    return _shaped(last(carries, inputs, frame), len(carries), plan)


def remember(
    plan: Plan, lifted: Lifted, carry: State, xs: State, reverse: bool
) -> None:
    """Keep what a call without lengths needs, for the next one like it."""
    kind = _kind(lifted, carry, xs, reverse)
    if kind is not None and plan.kept:
        fixed = [*lifted.tensors, *plan.traced.captured]
        tensors = [*items(carry), *items(xs), *fixed]
        whole = plan.whole(tensors, False, plan.needed(tensors))
        lifted.repeat = plan, Repeat(kind, whole, fixed)


def _kind(lifted: Lifted, carry: State, xs: State, reverse: bool) -> Any:
    forms = form_of(carry), form_of(xs)
    return kind_of(items(carry), items(xs), lifted.tensors, forms, reverse)


def kind_of(carries: Any, xs: Any, fixed: Any, *more: Any) -> Any:
    """Equal for calls that differ in numbers and in how many steps only.

    fixed: the tensors that must be the same ones. None if that can't be known, or if
    nothing may be known, as in a trace.
    """
    known = None if EAGER.get() else signature(carries, xs, fixed)
    return known and (known, left_out(), *more)


class Repeat:
    """A call, for the next one of its kind: nothing is to be checked again.

    It saves 6 us of 60, at (T,B,I,H) = (32,1,32,32).
    """

    def __init__(self, kind: Any, whole: Whole, fixed: Sequence[Tensor]) -> None:
        self.kind = kind
        self.whole = whole
        self.fixed = fixed

    def __call__(
        self, carries: Sequence[Tensor], xs: Sequence[Tensor], frame: Frame
    ) -> list[Tensor]:
        return self.whole.over((*carries, *xs, *self.fixed), frame)
