"""A scan in segments: less memory, for a second forward pass.

The forward keeps the states at the ends of segments. The backward runs each segment's
forward again, and then its backward; what is summed over time goes on from segment to
segment, so that the gradient has the bits that it would have in one piece.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import _backend
from ..errors import ArgumentError
from ..op import Arrays, Op
from .frame import Frame, Ragged, uniform
from .loop import refuse_mixed_floats
from .whole import Call, Whole

Segment = tuple[int, int, Frame]


def check_checkpoint(checkpoint: Any) -> None:
    """Raise ArgumentError unless it is None, "sqrt" or an int >= 1."""
    if checkpoint is None or (isinstance(checkpoint, str) and checkpoint == "sqrt"):
        return
    is_int = isinstance(checkpoint, int | np.integer)
    if not is_int or isinstance(checkpoint, bool) or checkpoint < 1:
        raise ArgumentError(
            f'checkpoint must be "sqrt" or a number of steps >= 1, not {checkpoint!r}'
        )


def segment_steps(checkpoint: Any, frame: Frame) -> int:
    """The steps of a segment, rounded up to what can be summed apart."""
    if checkpoint == "sqrt":
        checkpoint = math.isqrt(frame.n_steps - 1) + 1
    return -(-int(checkpoint) // frame.unit) * frame.unit


class Checkpointed(Op):
    """A scan that keeps its states every `steps` steps only.

    plain, saving: the scan as one op, without and with what its gradient reads; n, m:
    how many of the inputs are carries, and carries and xs; apart: the inputs with a row
    for each example, whose gradients are summed segment by segment.
    """

    def __init__(
        self,
        plain: Whole,
        saving: Whole,
        n: int,
        m: int,
        apart: Sequence[int],
        steps: int,
    ) -> None:
        super().__init__(self._forward, None, samples=(), registered=False)
        self.name = "scan"
        self.differentiable = True
        self.joint = self._joint
        self.plain = plain
        self.saving = saving
        self.n, self.m = n, m
        self.apart = apart
        self.steps = steps

    def over(self, tensors: Sequence[Any], frame: Frame) -> list[Any]:
        """The outputs."""
        return self.saving.outputs_of(_backend.apply(self, (*tensors, Call(frame))))

    def reconcile(self, raw: list[Any]) -> None:
        """Refuse a mix of floats; masks stay bool."""
        refuse_mixed_floats(raw)

    def _segments(self, frame: Frame) -> list[Segment]:
        """(start, stop, frame) in the order that the scan runs."""
        # Counted from the end that the backward begins with, where sums begin.
        cuts = [*range(0, frame.n_steps, self.steps), frame.n_steps]
        if not frame.reverse:
            cuts = [frame.n_steps - c for c in reversed(cuts)]
        pairs = itertools.pairwise(cuts)
        segments = [(a, b, _part(frame, a, b)) for a, b in pairs]
        return segments[::-1] if frame.reverse else segments

    def _cut(self, tensors: Sequence[Any], carry: Sequence[Any], a: int, b: int) -> Any:
        return [*carry, *(x[a:b] for x in tensors[self.n : self.m]), *tensors[self.m :]]

    def _forward(self, tensors: Arrays, call: Any) -> tuple[Any, ...]:
        frame = call.frame
        carry = tensors[: self.n]
        ys: list[Any] = []
        kept: list[Any] = []
        for a, b, part in self._segments(frame):
            kept += carry
            results = self.plain.run_forward(self._cut(tensors, carry, a, b), part, {})
            carry, found = results[: self.n], results[self.n :]
            if not ys:
                lead = (frame.n_steps,)
                ys = [_backend.empty((*lead, *y.shape[1:]), y.dtype) for y in found]
            for whole, y in zip(ys, found, strict=True):
                whole[a:b] = y
        # A view would keep a whole segment.
        call.saved = tuple(c.copy() for c in kept)
        return (*(c.copy() for c in carry), *ys)

    def _joint(
        self, node: Any, gs: Sequence[Any], needed: Sequence[bool], recorded: bool
    ) -> Iterator[tuple[int, Any]]:
        n, n_outputs = self.n, self.plain.n_outputs
        present = (*([True] * n), *(g is not None for g in gs[n:]))
        gradient = None if recorded else self.saving.gradient(present)
        if gradient is None:
            yield from self.saving.recorded_gradient(node, gs, needed)
            return
        *tensors, call = node.args
        frame, kept = call.frame, call.saved
        back = [None if g is None else g._data for g in gs]
        carried = _filled(back[:n], tensors)
        found: dict[int, Any] = {}
        totals: dict[int, Any] = {}
        segments = self._segments(frame)
        for i, (a, b, part) in reversed(list(enumerate(segments))):
            inputs = self._cut(tensors, kept[i * n : (i + 1) * n], a, b)
            saved = self.saving.run_forward(inputs, part, {})[n_outputs:]
            given = [*carried, *(g[a:b] for g in back[n:] if g is not None)]
            results = gradient.run([*inputs, *saved, *given], part, totals)
            pairs = zip(gradient.inputs, results, strict=True)
            self._collect(pairs, found, tensors, a, b)
            carried = _filled([found.pop(k, None) for k in range(n)], tensors)
        found.update(enumerate(carried))
        for k, g in found.items():
            if needed[k]:
                yield k, _backend.wrap(np.asarray(g))

    def _collect(
        self,
        results: Iterable[tuple[int, Any]],
        found: dict[int, Any],
        tensors: Sequence[Any],
        a: int,
        b: int,
    ) -> None:
        """What a segment's backward gave, with that of the segments after it."""
        for k, g in results:
            if self.n <= k < self.m:
                if k not in found:
                    found[k] = np.zeros_like(tensors[k])
                found[k][a:b] = g
            elif k in self.apart and k in found:
                found[k] = found[k] + g
            else:
                found[k] = g


def _filled(gs: Sequence[Any], tensors: Sequence[Any]) -> list[Any]:
    """The gradients of the first tensors; zeros for one that has none."""
    pairs = zip(gs, tensors, strict=False)
    return [np.zeros_like(t) if g is None else g for g, t in pairs]


def _part(frame: Frame, a: int, b: int) -> Frame:
    """The layout of the steps from a to b."""
    if isinstance(frame, Ragged):
        lengths = np.clip(frame.lengths[frame.inverse] - a, 0, b - a)
        return Ragged(lengths, b - a, frame.reverse)
    return uniform(b - a, frame.batch, frame.reverse)
