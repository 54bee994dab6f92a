"""A plan: what is kept of a step for the next call with a step like it."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from ..mode import is_grad_enabled, is_tracing
from . import frame as frames
from .checkpoint import Checkpointed, segment_steps
from .cut import Cut
from .errors import NotFusedError
from .frame import Frame
from .items import Counts
from .levels import Level, levels_of, with_products
from .loop import has_node
from .passes import UNHOISTED, without
from .step import Traced
from .whole import Run, Whole

INSIDE = 4
"""Examples from which on, if no gradient is asked for, the products of x stay in the
loop, where their results are at hand at once: an LSTM takes 3.76 ms instead of 4.06 at
(T,B,I,H) = (50,32,64,128). Beside what is kept for a gradient it gains nothing, and
fewer rows would wait for the weights at each step. The bits are the same."""
CACHED = 256  # plans; the one that was used least recently makes room


class Plan:
    """A traced step, ready to run; or, with a `reason`, one that can't be fused.

    batch: the number of examples, if a tensor that was lifted has a row for each, or if
    the step does something else with another number. alike: of the numbers that it was
    traced with, whether the step does the same.
    kept: whether it will be found again, so that making one op of it is worth while.
    """

    def __init__(self, traced: Traced, n_carries: int, n_xs: int) -> None:
        self.traced = traced
        self.reason: str | None = None
        self.mixes_rows = False
        self.kept = False
        self.batch = traced.batch
        first = traced.program.inputs[0].shape[0]
        self.alike = {first: True, first + 1: True}
        self.n_carries = n_carries
        self.n_xs = n_xs
        self._wholes: dict[Any, Whole] = {}
        self._inside: Cut | None = None
        counts = Counts(n_carries, n_xs, 0)
        try:
            self.program = with_products(traced.program, counts)
            levels = levels_of(self.program, counts)
            for v in self.program.outputs:
                if levels[v] == Level.FIXED:
                    raise NotFusedError(f"{v}, which it returns, never changes")
            self.cut = Cut(self.program, counts)
            if self.cut.after:
                raise NotFusedError(f"it adds up rows: {self.cut.after[0]}", True)
            if self.cut.sorted:
                self.batch = traced.program.inputs[0].shape[0]
            self._try_derivative()
        except NotFusedError as error:
            self.reason = str(error)
            self.mixes_rows = error.mixes_rows

    def fits(self, rows: int) -> bool:
        """Whether it is the plan for so many examples, as far as is known."""
        if self.batch is not None:
            return self.batch == rows
        return self.reason is not None or self.alike.get(rows, False)

    def _try_derivative(self) -> None:
        """Raise NotFusedError now if the gradient will not be fused."""
        loop = self.cut.loop
        floats = [v.dtype.kind == "f" for v in self.cut.operands]
        saving = loop.saving(tuple(floats))
        present = [True] * len(loop.program.outputs) + [False] * saving.n_hidden
        saving.derivative(present, floats)

    def __call__(
        self, tensors: Sequence[Any], frame: Frame, checkpoint: Any = None
    ) -> list[Any]:
        """The carry after the last step, then the ys.

        tensors: the carry, the xs, what was lifted and what was captured. checkpoint:
        "sqrt", or how often to keep the carry instead of what a gradient reads.
        """
        steps = None if checkpoint is None else segment_steps(checkpoint, frame)
        if is_tracing():
            return self.run(tensors, frame, has_node)
        needed = self.needed(tensors)
        if steps is not None and steps < frame.n_steps and any(needed):
            plain = self.whole(tensors, frame.ragged, (False,) * len(needed))
            n, m = self.n_carries, self.n_carries + self.n_xs
            # A segment hands the gradient of its carry to the one before.
            asked = (True,) * n + needed[n:]
            saving = self.whole(tensors, frame.ragged, asked)
            inputs = self.program.inputs
            apart = [i for i, v in enumerate(inputs) if v in self.cut.sorted]
            return Checkpointed(plain, saving, n, m, apart, steps).over(tensors, frame)
        if not self.kept:
            results = self.run(tensors, frame, has_node)
            # A mask is recorded with the rest of what the loop makes.
            return [y if y.dtype.kind == "f" else y.detach() for y in results]
        return self.whole(tensors, frame.ragged, needed).over(tensors, frame)

    def needed(self, tensors: Sequence[Any]) -> tuple[bool, ...]:
        """Which of them a gradient may be asked for."""
        if not is_grad_enabled():
            return (False,) * len(tensors)
        return tuple(
            [t._node is not None and t._data.dtype.kind == "f" for t in tensors]
        )

    def whole(
        self, tensors: Sequence[Any], ragged: bool, needed: tuple[bool, ...]
    ) -> Whole:
        """One op of it, for such tensors."""
        run = self.ordinary(len(tensors[0]._data), needed)
        key = run, ragged, needed
        whole = self._wholes.get(key)
        if whole is None:
            frame = stand_in([self], ragged)
            lead: list[tuple[int, ...]] = [(frame.batch,)] * self.n_carries
            lead += [(frame.n_steps, frame.batch)] * self.n_xs
            whole = Whole(run, like(tensors, lead), frame, needed)
            self._wholes[key] = whole
        return whole

    def ordinary(self, rows: int, needed: Sequence[bool]) -> Run:
        """What runs it by ordinary ops, for so many examples."""
        return self._run_inside if rows >= INSIDE and not any(needed) else self.run

    def run(
        self, tensors: Sequence[Any], frame: Frame, recorded: Callable[[Any], bool]
    ) -> list[Any]:
        """The same, by ordinary ops on whole sequences."""
        return self._run(self.cut, tensors, frame, recorded)

    def _run_inside(
        self, tensors: Sequence[Any], frame: Frame, recorded: Callable[[Any], bool]
    ) -> list[Any]:
        """The same, with all but what is fixed in the loop."""
        if self._inside is None:
            try:
                with without(*UNHOISTED):
                    self._inside = Cut(self.program, self.cut.counts)
            except NotFusedError:  # what feeds a product has no opcode
                self._inside = self.cut
        return self._run(self._inside, tensors, frame, recorded)

    def _run(
        self,
        cut: Cut,
        tensors: Sequence[Any],
        frame: Frame,
        recorded: Callable[[Any], bool],
    ) -> list[Any]:
        n, m = self.n_carries, self.n_carries + self.n_xs
        if frame.ragged:
            tensors = [
                *(frames.sort(c, frame) for c in tensors[:n]),
                *(frames.pack(x, frame) for x in tensors[n:m]),
                *tensors[m:],
            ]
        results = cut(tensors, frame, recorded)
        if frame.ragged:
            results = [
                *(frames.unsort(c, frame) for c in results[:n]),
                *(frames.unpack(y, frame) for y in results[n:]),
            ]
        return results


def stand_in(plans: Sequence[Plan], ragged: bool, others: Sequence[int] = ()) -> Frame:
    """A small frame to trace a call of such plans with.

    Its sizes are those of nothing else, such as the others, so that they are seen to be
    the call's; but the number of examples is that of a plan which has one.
    """
    sizes = {n for plan in plans for v in plan.cut.levels for n in v.shape}
    sizes.update(others)
    batch = next((plan.batch for plan in plans if plan.batch), 0)
    if not batch:
        batch = next(n for n in itertools.count(2) if n not in sizes)
    n_steps = batch + 1
    while not sizes.isdisjoint((n_steps, n_steps * batch, n_steps + batch - 1)):
        n_steps += 1
    if not ragged:
        return frames.uniform(n_steps, batch, False)
    lengths = np.array([n_steps] + [1] * (batch - 1))
    return frames.Ragged(lengths, n_steps, False)


def like(
    tensors: Sequence[Any], lead: Sequence[tuple[int, ...]]
) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shapes and dtypes of stand-ins, of which the first begin with the sizes given."""
    rest = [()] * (len(tensors) - len(lead))
    return [
        ((*sizes, *t.shape[len(sizes) :]), t.dtype)
        for sizes, t in zip([*lead, *rest], tensors, strict=True)
    ]


class Cache:
    """Plans by key."""

    def __init__(self) -> None:
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()

    def find(self, key: Hashable, make: Callable[[], Plan]) -> Plan:
        """The plan of that key; a new one, which isn't kept, if the key is None."""
        if key is None:
            return make()
        # Taken out and put back at the end: another thread may make room in between.
        plan = self._plans.pop(key, None)
        if plan is None:
            plan = make()
            if any(t._node is not None for t in plan.traced.captured):
                return plan
            plan.kept = True
        self._plans[key] = plan
        if len(self._plans) > CACHED:
            self._plans.popitem(last=False)
        return plan
