"""scan: a step, repeated along the time axis, carrying a state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import ops
from ._backend import get_watching, wrap
from .anomaly import within
from .errors import (
    ArgumentError,
    DTypeError,
    IndexRangeError,
    ShapeError,
    check_callable,
    describe,
)
from .fused.call import (
    EAGER,
    State,
    again,
    call_plan,
    is_fusable,
    plan_of,
    remember,
)
from .fused.checkpoint import check_checkpoint
from .fused.explain import Explanation, Explanations, explain_plan
from .fused.frame import Frame, Ragged, uniform
from .fused.lift import Lifted, set_on
from .fused.step import check_alike, check_item, form_of, formed, items, pair
from .tape import check_values
from .tensor import Tensor


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
    from outside gets gradients too. One that assigns to a variable outside isn't fused;
    what it does to an object, such as a list, it does while it is traced.
    carry: the initial state, (B, ...) each; its shapes and dtypes stay the same, and so
    does the class of the tuple, such as a NamedTuple.
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
    found = again(lifted, carry, xs, reverse) if plain else None
    if found is not None:
        return found
    for tensor in (*items(carry), *items(xs), *lifted.tensors):
        if isinstance(tensor, Tensor):
            check_values(tensor, "scan")
    fused = not (EAGER.get() or get_watching() or lifted.assigned)
    if fused and is_fusable(carry, xs):
        plan = plan_of(lifted, carry, xs, reverse)
        if plan.reason is None:
            if plain:
                remember(plan, lifted, carry, xs, reverse)
            frame = frame_of(items(xs)[0], lengths, reverse)
            return call_plan(plan, lifted, carry, xs, frame, checkpoint)
        if plan.mixes_rows and lifted.rows_only:
            raise ArgumentError(
                f"{plan.reason}; a step must keep the rows of the batch apart"
            )
    n_steps = _n_steps(items(xs))
    check_alike("carry", carry, carry, 0)
    # The step itself, not one with the same tensors: what it changes is its own.
    run: Any = lifted.rebind(lifted.tensors) if step is lifted else step
    return _loop(run, carry, xs, lengths, reverse, n_steps)


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
    token = EAGER.set(True)
    try:
        yield
    finally:
        EAGER.reset(token)


def explain(
    step: Any, carry: State | None = None, xs: State | None = None
) -> Explanations:
    """What becomes of a step, or of each step of a layer, when it is scanned.

    step: what `scan` takes, with carry and xs of the shapes and dtypes to come; or a
    layer, which knows its own, for an explanation of each layer and direction. They
    print as text, each and all: the program before and after the passes, what was cut
    out of the loop, its phases, what a step costs, whether the trace is reused, and
    which op keeps it from being fused, if one does. `reason` and `uncached` are None if
    all is well; `forward` and `backward` are the two loops, None if it isn't fused.

    Raises what `scan` raises, ArgumentError for a step without carry and xs.

    >>> import minigrad as mg
    >>> (found,) = mg.explain(lambda h, x: (h * x, h), mg.ones(2, 3), mg.ones(5, 2, 3))
    >>> print(found.forward.phases())
    ['rows of 3: mul']
    """
    if hasattr(step, "loop_steps"):
        return Explanations(_explained(*known) for known in step.loop_steps())
    if carry is None or xs is None:
        raise ArgumentError(
            "explain: give a layer, or a step with its carry and its xs"
        )
    check_callable(step, "explain: step")
    _n_steps(items(xs))
    check_alike("carry", carry, carry, 0)
    return Explanations([_explained("step", Lifted(step), carry, xs)])


def _explained(title: str, lifted: Lifted, carry: State, xs: State) -> Explanation:
    if not is_fusable(carry, xs):
        reason = "a carry must be (B, n) floats, and xs (T, B, n)"
        return Explanation(title, reason, lifted.reason, None, None)
    if lifted.assigned:
        reason = f"it assigns to {lifted.assigned!r}, a variable outside of it"
        return Explanation(title, reason, lifted.reason, None, None)
    forms = form_of(carry), form_of(xs)
    uncached = lifted.reason or set_on(lifted.tensors, forms)[1]
    return explain_plan(title, plan_of(lifted, carry, xs, False), uncached)


def frame_of(x: Tensor, lengths: Any, reverse: bool) -> Frame:
    """The layout of a call whose xs are like x."""
    n_steps, batch = x.shape[:2]
    if lengths is not None:
        checked = checked_lengths(lengths, n_steps, batch)
        if (checked != n_steps).any():
            return Ragged(checked, n_steps, reverse)
    return uniform(n_steps, batch, reverse)


def _loop(
    step: Callable[[Any, Any], tuple[Any, Any]],
    carry: State,
    xs: State,
    lengths: Any,
    reverse: bool,
    n_steps: int,
) -> tuple[Any, Any]:
    """One step after the other, each op recorded."""
    live = None
    if lengths is not None:  # Tensors: in a step of another scan no array is read
        live = list(map(wrap, _live(lengths, n_steps, items(xs)[0])))
    frames = list(zip(*map(ops.unbind, items(xs)), strict=True))
    ys: list[State] = []
    for t in reversed(range(n_steps)) if reverse else range(n_steps):
        x = formed(form_of(xs), frames[t])
        rows = None if live is None else live[t]
        with within(f"step {t}"):
            result = step(carry, _choose(rows, x, None))
        new, y = pair(result, t)
        check_alike("carry", carry, new, t)
        check_alike("y", ys[0] if ys else y, y, t)
        carry = _choose(rows, new, carry)
        ys.append(_choose(rows, y, None))
    if reverse:
        ys.reverse()
    columns = zip(*map(items, ys), strict=True)
    stacked = [ops.stack(list(column)) for column in columns]
    return carry, formed(form_of(ys[0]), stacked)


def _n_steps(xs: tuple[Tensor, ...]) -> int:
    for i, x in enumerate(xs):
        check_item(x, f"scan: xs {i}")
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
    if array.dtype.kind not in "iu" and (array.size or hasattr(lengths, "dtype")):
        raise DTypeError(f"lengths must be integers, not {array.dtype}")
    if array.shape != (batch,):
        raise ShapeError(
            f"lengths must be ({batch},), one for each row of the batch; "
            f"it is {array.shape}"
        )
    wrong = (array < 0) | (array > n_steps)
    if wrong.any():
        row = int(wrong.argmax())
        raise IndexRangeError(
            f"lengths[{row}] is {array[row]}; expected 0..{n_steps}, the number of "
            "steps"
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
        parts = [_choose(rows, n, o) for n, o in zip(new, olds, strict=True)]
        return formed(type(new), parts)
    if new.shape[:1] != rows.shape:
        raise ShapeError(
            f"scan: lengths are for {len(rows)} rows, but one of the xs, the carry or "
            f"the ys has {describe(new)} at a step; its leading axis must be those rows"
        )
    # False is 0 in every dtype; 0.0 would make floats of integers.
    other = False if old is None else old
    return ops.where(rows.reshape(-1, *(1,) * (new.ndim - 1)), new, other)
