"""A plan: what is kept of a step for the next call with a step like it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from ..tensor import Tensor
from . import frame as frames
from .cut import Cut
from .errors import NotFusedError
from .frame import Frame
from .levels import with_products
from .lower import Counts
from .step import Traced

CACHED = 256  # plans; the one that was used least recently makes room


class Plan:
    """A traced step, ready to run; or, with a `reason`, one that can't be fused."""

    def __init__(self, traced: Traced, n_carries: int, n_xs: int) -> None:
        self.traced = traced
        self.reason: str | None = None
        counts = Counts(n_carries, n_xs, 0)
        try:
            self.program = with_products(traced.program, counts)
            self.cut = Cut(self.program, counts)
            if self.cut.after:
                raise NotFusedError(f"it adds up rows: {self.cut.after[0]}")
        except NotFusedError as error:
            self.reason = str(error)

    def __call__(
        self,
        carry: Sequence[Tensor],
        xs: Sequence[Tensor],
        rest: Sequence[Tensor],
        frame: Frame,
        recorded: bool,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The carry after the last step, and the ys, by ops on whole sequences."""
        n = len(carry)
        if frame.ragged:
            carry = [frames.sort(c, frame) for c in carry]
            xs = [frames.pack(x, frame) for x in xs]
        results = self.cut([*carry, *xs, *rest], frame, recorded)
        finals, ys = results[:n], results[n:]
        if frame.ragged:
            finals = [frames.unsort(c, frame) for c in finals]
            ys = [frames.unpack(y, frame) for y in ys]
        return finals, ys


class Cache:
    """Plans by key."""

    def __init__(self) -> None:
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()

    def find(self, key: Hashable, make: Callable[[], Plan]) -> Plan:
        """The plan of that key; a new one, which isn't kept, if the key is None."""
        if key is None:
            return make()
        plan = self._plans.get(key)
        if plan is None:
            plan = make()
            if any(t._node is not None for t in plan.traced.captured):
                return plan
            self._plans[key] = plan
            if len(self._plans) > CACHED:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan
