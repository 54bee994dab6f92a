"""scan: a step, repeated along the time axis, carrying a state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import ops
from ._backend import get_watching, signature
from .anomaly import within
from .errors import (
    ArgumentError,
    DTypeError,
    IndexRangeError,
    ShapeError,
    check_callable,
    describe,
)
from .fused.checkpoint import check_checkpoint
from .fused.explain import Explanation, explain_plan
from .fused.frame import Ragged, uniform
from .fused.lift import Lifted
from .fused.passes import left_out
from .fused.plan import Cache, Plan
from .fused.step import items, trace_step
from .mode import is_grad_enabled, is_tracing
from .tape import check_tensor
from .tensor import Tensor

State = Tensor | tuple[Tensor, ...]

_plans = Cache()
_eager: ContextVar[bool] = ContextVar("eager_loops", default=False)


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]] | Lifted,
    carry: State,
    xs: State,
    lengths: Any = None,
    reverse: bool = False,
    checkpoint: int | str | None = None,
) -> tuple[Any, Any]:
    """Run `step` along the leading axis of xs: (carry, ys).

    step: (carry, x) -> (carry, y), each a Tensor or a tuple of Tensors. It is traced
    once, with the values hidden, and fused if it can be (see `explain`); what it reads
    from outside gets gradients too.
    carry: the initial state, (B, ...) each; its shapes and dtypes stay the same.
    xs: (T, B, ...) each, T at least 1. ys: (T, B, ...) each, in the order of xs.
    lengths: (B,) int64 in 0..T. Past its length a row keeps its carry and its y is 0;
    its x is never looked at. In reverse, a row starts at its own end.
    reverse: from the last step to the first.
    checkpoint: a number of steps, at least 1, or "sqrt" for the square root of T: keep
    the carry so often, and run the steps between again in the backward. It takes less
    memory, and a forward more; the gradient has the same bits, but for rounding with
    lengths, and of tensors of the step with a row for each example. Without effect on
    a step that isn't fused, and on gradients that are themselves recorded.

    Raises ShapeError, DTypeError, ArgumentError or IndexRangeError for what does not
    fit, GraphError for a step that looks at values, draws random numbers or reads an
    array; an error in `step` passes through.

    >>> import minigrad as mg
    >>> carry, ys = mg.scan(lambda c, x: (c + x, c), mg.zeros(1), mg.ones(3, 1))
    >>> carry, ys.tolist()
    (tensor([3.]), [[0.0], [1.0], [2.0]])
    """
    if not isinstance(step, Lifted):
        check_callable(step, "scan: step")
    check_checkpoint(checkpoint)
    lifted = step if isinstance(step, Lifted) else Lifted(step)
    plain = lengths is None and checkpoint is None
    call = _signature(lifted, carry, xs, reverse) if plain else None
    if call is not None and lifted.repeat is not None and lifted.repeat.call == call:
        return lifted.repeat(carry, xs)
    if _is_fusable(carry, xs) and not _eager.get() and not get_watching():
        plan = plan_of(lifted, carry, xs, reverse)
        if plan.reason is None:
            if call is not None and plan.kept:
                lifted.repeat = _Repeat(call, plan, lifted, carry, xs, reverse)
            return _run(plan, lifted, carry, xs, lengths, reverse, checkpoint)
        if plan.mixes_rows and lifted.rows_only:
            raise ArgumentError(
                f"{plan.reason}; a step must keep the rows of the batch apart"
            )
    n_steps = _n_steps(items(xs))
    check_alike("carry", carry, carry, 0)
    return _loop(lifted.rebind(lifted.tensors), carry, xs, lengths, reverse, n_steps)


@contextmanager
def eager_loops() -> Iterator[None]:
    """Inside, `scan` runs every op of every step by itself: the slow twin.

    For a step that must look at values, or to be compared with the fused loop, from
    which it differs by rounding. It holds for layers too, and for this thread only; a
    stream is not affected.

    >>> import minigrad as mg
    >>> def step(h, x):
    ...     return (h + x if x.sum() > 1 else h), h
    >>> with mg.eager_loops():
    ...     mg.scan(step, mg.zeros(1, 2), mg.ones(3, 1, 2))[0]
    tensor([[3., 3.]])
    """
    token = _eager.set(True)
    try:
        yield
    finally:
        _eager.reset(token)


def explain(
    step: Any, carry: State | None = None, xs: State | None = None
) -> tuple[Explanation, ...]:
    """What becomes of a step, or of each step of a layer, when it is scanned.

    step: what `scan` takes, with carry and xs of the shapes and dtypes to come; or a
    layer, which knows its own, for an explanation of each layer and direction. Each
    prints as text: the program before and after the passes, what was cut out of the
    loop, its phases, what a step costs, whether the trace is reused, and which op keeps
    it from being fused, if one does. Its `reason` and `uncached` are None if all is
    well; `forward` and `backward` are the two loops, None if it isn't fused.

    Raises what `scan` raises, ArgumentError for a step without carry and xs.

    >>> import minigrad as mg
    >>> (found,) = mg.explain(lambda h, x: (h * x, h), mg.ones(2, 3), mg.ones(5, 2, 3))
    >>> print(found.forward.phases())
    ['rows of 3: mul']
    """
    if hasattr(step, "loop_steps"):
        return tuple(_explained(*known) for known in step.loop_steps())
    if carry is None or xs is None:
        raise ArgumentError(
            "explain: give a layer, or a step with its carry and its xs"
        )
    check_callable(step, "explain: step")
    _n_steps(items(xs))
    return (_explained("step", Lifted(step), carry, xs),)


def _explained(title: str, lifted: Lifted, carry: State, xs: State) -> Explanation:
    if not _is_fusable(carry, xs):
        reason = "a carry must be (B, n) floats, and xs (T, B, n)"
        return Explanation(title, reason, lifted.reason, None, None)
    return explain_plan(title, plan_of(lifted, carry, xs, False), lifted.reason)


def plan_of(lifted: Lifted, carry: State, xs: State, reverse: bool) -> Plan:
    """The plan for a step on such a carry and such xs: traced now, or found again."""
    carries, inputs = items(carry), items(xs)
    rows = carries[0]._data.shape[0]
    batch = max(rows, 2)
    tuples = isinstance(carry, tuple), isinstance(xs, tuple)
    kind = (
        left_out(),
        tuples,
        carries[0]._data.dtype,
        *[c._data.shape[1] for c in carries],
        *[(x._data.shape[2], x._data.dtype) for x in inputs],
        *[(t._data.shape, t._data.dtype) for t in lifted.tensors],
    )
    if lifted.latest is not None and lifted.latest[0] == kind:
        plan: Plan = lifted.latest[1]
        if plan.batch in (None, rows):
            return plan
    key = lifted.key and (lifted.key, kind)

    def make() -> Plan:
        t = inputs[0].shape[0] - 1 if reverse else 0
        result, program = trace_step(
            lambda c, x, tensors: lifted.rebind(tensors)(c, x),
            carries,
            inputs,
            lifted.tensors,
            tuples,
            batch,
        )
        new, y = _pair(result, t)
        stand_ins = tuple(ops.zeros_like(c[:1]).expand(batch, -1) for c in carries)
        check_alike("carry", stand_ins if tuples[0] else stand_ins[0], new, t)
        check_alike("y", y, y, t)
        plan = Plan(program(), len(carries), len(inputs))
        if plan.batch is not None and batch > rows:
            plan.reason = "what it does depends on the number of examples, which is 1"
        return plan

    plan = _plans.find(key, make)
    if plan.batch not in (None, rows):
        plan = _plans.find(key and (key, rows), make)
    if plan.kept:
        lifted.latest = kind, plan
    return plan


def _run(
    plan: Plan,
    lifted: Lifted,
    carry: State,
    xs: State,
    lengths: Any,
    reverse: bool,
    checkpoint: Any,
) -> tuple[Any, Any]:
    carries, inputs = items(carry), items(xs)
    n_steps, batch = inputs[0].shape[:2]
    frame = uniform(n_steps, batch, reverse)
    if lengths is not None:
        checked = checked_lengths(lengths, n_steps, batch)
        if (checked != n_steps).any():
            frame = Ragged(checked, n_steps, reverse)
    tensors = [*carries, *inputs, *lifted.tensors, *plan.traced.captured]
    return _shaped(plan(tensors, frame, checkpoint), len(carries), plan)


def _shaped(results: list[Any], n: int, plan: Plan) -> tuple[Any, Any]:
    """The pair of n carries and the ys, each as the step returns it."""
    one_carry, one_y = plan.traced.single
    carry = results[0] if one_carry else tuple(results[:n])
    return carry, results[n] if one_y else tuple(results[n:])


def _signature(lifted: Lifted, carry: State, xs: State, reverse: bool) -> Any:
    """Equal for calls of one step that differ in nothing but the numbers.

    None if that can't be known, or if nothing may be known, as in a trace.
    """
    if is_tracing() or _eager.get() or get_watching():
        return None
    tuples = isinstance(carry, tuple), isinstance(xs, tuple)
    tensors = (*items(carry), *items(xs), *lifted.tensors)
    known = signature(tensors)
    return known and (known, tuples, reverse, is_grad_enabled(), left_out())


class _Repeat:
    """The call of a step, for the next one like it: nothing is to be checked again.

    It saves 6 us of 60, at (T,B,I,H) = (32,1,32,32).
    """

    def __init__(
        self,
        call: Any,
        plan: Plan,
        lifted: Lifted,
        carry: State,
        xs: State,
        reverse: bool,
    ) -> None:
        self.call = call
        self.plan = plan
        self.n = len(items(carry))
        self.fixed = [*lifted.tensors, *plan.traced.captured]
        self.frame = uniform(*items(xs)[0].shape[:2], reverse)
        tensors = [*items(carry), *items(xs), *self.fixed]
        self.whole = plan.whole(tensors, False, plan.needed(tensors))

    def __call__(self, carry: State, xs: State) -> tuple[Any, Any]:
        tensors = (*items(carry), *items(xs), *self.fixed)
        return _shaped(self.whole.over(tensors, self.frame), self.n, self.plan)


def _is_fusable(carry: State, xs: State) -> bool:
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


def _loop(
    step: Callable[[Any, Any], tuple[Any, Any]],
    carry: State,
    xs: State,
    lengths: Any,
    reverse: bool,
    n_steps: int,
) -> tuple[Any, Any]:
    """One step after the other, each op recorded."""
    live = None if lengths is None else _live(lengths, n_steps, items(xs)[0])
    frames = list(zip(*map(ops.unbind, items(xs)), strict=True))
    ys: list[State] = []
    for t in reversed(range(n_steps)) if reverse else range(n_steps):
        x = frames[t] if isinstance(xs, tuple) else frames[t][0]
        rows = None if live is None else live[t]
        with within(f"step {t}"):
            result = step(carry, _choose(rows, x, None))
        new, y = _pair(result, t)
        check_alike("carry", carry, new, t)
        check_alike("y", ys[0] if ys else y, y, t)
        carry = _choose(rows, new, carry)
        ys.append(_choose(rows, y, None))
    if reverse:
        ys.reverse()
    columns = zip(*map(items, ys), strict=True)
    stacked = tuple(ops.stack(list(column)) for column in columns)
    return carry, stacked if isinstance(ys[0], tuple) else stacked[0]


def _pair(result: Any, t: int) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentError(
            f"scan: at step {t} the step returned {describe(result)}; it must return "
            "the pair (carry, y)"
        )
    return result


def _n_steps(xs: tuple[Tensor, ...]) -> int:
    for i, x in enumerate(xs):
        check_tensor(x, f"scan: xs {i}")
    sizes = {x.shape[0] if x.ndim else None for x in xs}
    if len(sizes) != 1 or None in sizes:
        raise ShapeError(
            "scan: every xs must have the same leading time axis; the shapes are "
            f"{[x.shape for x in xs]}"
        )
    (n,) = sizes
    if not n:
        raise ShapeError("scan: xs has no steps; the time axis must be at least 1")
    return int(n)


def checked_lengths(lengths: Any, n_steps: int, batch: int) -> np.ndarray[Any, Any]:
    """Lengths as int64 (batch,), each in 0..n_steps, or a named error."""
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"lengths must be integers, not {array.dtype}")
    if array.shape != (batch,):
        raise ShapeError(
            f"lengths must be ({batch},), one for each row of the batch; "
            f"it is {array.shape}"
        )
    for row, n in enumerate(array):
        if not 0 <= n <= n_steps:
            raise IndexRangeError(
                f"lengths[{row}] is {n}; expected 0..{n_steps}, the number of steps"
            )
    return array.astype(np.int64)


def _live(lengths: Any, n_steps: int, x: Tensor) -> np.ndarray[Any, Any]:
    """(T, B): whether the step is within the row's length."""
    if x.ndim < 2:
        raise ShapeError(f"scan: lengths need xs of (T, B, ...), not {x.shape}")
    checked = checked_lengths(lengths, n_steps, x.shape[1])
    found: np.ndarray[Any, Any] = np.arange(n_steps)[:, None] < checked
    return found


def _choose(rows: Any, new: Any, old: Any) -> Any:
    """`new` in the live rows; `old`, or 0, in the others. All of `new` without rows."""
    if rows is None:
        return new
    if isinstance(new, tuple):
        olds = (None,) * len(new) if old is None else old
        return tuple(_choose(rows, n, o) for n, o in zip(new, olds, strict=True))
    if new.shape[:1] != rows.shape:
        raise ShapeError(
            f"scan: lengths are for {len(rows)} rows, but one of the xs, the carry or "
            f"the ys has {describe(new)} at a step; its leading axis must be those rows"
        )
    # False is 0 in every dtype; 0.0 would make floats of integers.
    other = False if old is None else old
    return ops.where(rows.reshape(-1, *(1,) * (new.ndim - 1)), new, other)


def check_alike(name: str, old: Any, new: Any, t: int) -> None:
    """What a step returns must keep its structure, its shapes and its dtypes."""
    olds, news = items(old), items(new)
    if isinstance(old, tuple) != isinstance(new, tuple) or len(olds) != len(news):
        raise ArgumentError(
            f"scan: at step {t} the step returned a {name} that is {_structure(new)}, "
            f"but it was {_structure(old)} before; always return the same structure"
        )
    for i, (before, after) in enumerate(zip(olds, news, strict=True)):
        check_tensor(after, f"scan: {name} {i} at step {t}")
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            error = DTypeError if before.shape == after.shape else ShapeError
            raise error(
                f"scan: {name} {i} is {describe(before)}, but at step {t} the step "
                f"returned {describe(after)}; make them the same"
            )


def _structure(value: Any) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else "one tensor"
