"""One step at a time: a loop that waits for its next input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _backend
from ..errors import ArgumentError
from ..mode import no_grad
from . import rows
from .frame import uniform
from .plan import Plan


class Stepper:
    """A step on arrays of its own; each call of `step()` runs it again.

    plan: traced without the UNHOISTED passes. xs: the arrays (1, B, n) that are read at
    each step, whose values the caller changes; tensors: the initial carry, and what
    was lifted and captured, which is read once, now. outputs: the arrays with
    what a step returns, which may be one of the xs. Raises ArgumentError for a step
    that can't be fused.
    """

    def __init__(
        self,
        plan: Plan,
        carry: Sequence[Any],
        xs: Sequence[np.ndarray[Any, Any]],
        tensors: Sequence[Any],
    ) -> None:
        if plan.reason is not None:
            raise ArgumentError(f"this step can't be streamed: {plan.reason}")
        cut, n = plan.cut, len(carry)
        names = cut.program.inputs
        env = dict(zip(names[n + len(xs) :], tensors, strict=True))
        frame = uniform(1, len(carry[0]), False)
        with no_grad():
            rows.run(cut.before, env, frame)
        arrays = {v: t._data for v, t in env.items()}
        arrays.update(zip(names[:n], (c._data for c in carry), strict=True))
        arrays.update(zip(names[n : n + len(xs)], xs, strict=True))
        operands = [arrays[v] for v in cut.operands]
        code, layout = cut.loop.layout(operands[0].dtype, True)
        bound, weights = _backend.routine.bind(layout, operands, frame)
        found = {(b.what, b.which): a for b, a in zip(code.buffers, bound, strict=True)}
        ys = zip(cut.ys, code.outputs, strict=True)
        arrays.update((v, found[at]) for v, at in ys)
        self.outputs = [arrays[v] for v in cut.program.outputs[n:]]
        self._carries = [found["carry", k] for k in range(n)]
        self._steps = layout.machine.prepare(bound, weights, frame.batch)
        self.step = self._steps.step

    def carry(self) -> list[np.ndarray[Any, Any]]:
        """Copies of the states, (B, n) each."""
        return [halves[self._steps.turn].copy() for halves in self._carries]

    def set_carry(self, states: Sequence[Any]) -> None:
        """Go on from these states, (B, n) each."""
        for halves, state in zip(self._carries, states, strict=True):
            halves[:] = state
