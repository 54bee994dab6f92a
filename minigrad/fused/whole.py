"""One op of a whole scan: all that is inside and outside the loop, and its derivative.

Run as ordinary ops, a scan records a handful, and its gradient as many again: at small
sizes they cost more than the loop. Here they are traced once, forward and backward, and
then run as two lists of functions on arrays. A gradient that is itself recorded takes
the ordinary ops, the slow twin: they have derivatives of every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _backend, ops, tape
from ..mode import enable_grad, is_grad_enabled, trace_mode
from ..one_pass import kernels_whole
from ..op import Arrays, Op
from ..program import Builder, Instruction, Var, leaf
from .frame import Frame
from .loop import Loop, dependent, plain_derivatives, refuse_mixed_floats
from .passes import left_out, without
from .routine import Routine, routine
from .rows import variables

Run = Callable[[Sequence[Any], Frame, Callable[[Any], bool]], list[Any]]


class Call:
    """One call: its frame, and what the forward keeps for the gradient."""

    __slots__ = ("frame", "saved")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.saved: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return repr(self.frame)


@dataclass(frozen=True)
class Gradient:
    """run(inputs + saved + cotangents, ...): the gradients of `inputs`, by index."""

    run: Routine
    inputs: tuple[int, ...]


class Whole(Op):
    """A scan as one op.

    run: the scan as ordinary ops; like: the shapes and dtypes of stand-ins for its
    inputs, which are of frame's size; needed: which of these get a gradient.
    """

    def __init__(
        self,
        run: Run,
        like: Sequence[tuple[tuple[int, ...], np.dtype[Any]]],
        frame: Frame,
        needed: tuple[bool, ...],
    ) -> None:
        super().__init__(self._forward, None, samples=(), registered=False)
        self.name = "scan"
        self.differentiable = True
        self.joint = self._joint
        self.ordinary = run
        self.like = like
        self.needed = needed
        self.recorded = any(needed)
        self.frame = frame
        self.off = left_out()
        trace = _Trace(self)
        every = (True,) * len(trace.outputs)
        self.n_outputs = len(trace.outputs)
        self.depends = trace.depends() if self.recorded else list(every)
        self.all_depend = all(self.depends)
        self.saved = trace.backward(every)[2] if self.recorded else []
        self.run_forward = trace.forward(self.saved)
        self.gradients: dict[tuple[bool, ...], Gradient | None] = {}

    def over(self, tensors: Sequence[Any], frame: Frame) -> list[Any]:
        """The outputs."""
        if self.recorded:
            return self.outputs_of(_backend.apply(self, (*tensors, Call(frame))))
        # Nothing is to be recorded: without `apply` it takes 1 us less of 10.
        results = self.run_forward([t._data for t in tensors], frame, {})
        return [_backend.wrap(y) for y in results]

    def outputs_of(self, results: Sequence[Any]) -> list[Any]:
        """The results, of which some don't depend on what needs a gradient."""
        if self.all_depend:
            return list(results)
        return [
            y if depends else _backend.wrap(y._data)
            for y, depends in zip(results, self.depends, strict=True)
        ]

    def reconcile(self, raw: list[Any]) -> None:
        """Refuse a mix of floats; masks stay bool."""
        refuse_mixed_floats(raw)

    def _forward(self, tensors: Arrays, call: Any) -> tuple[Any, ...]:
        results = self.run_forward(tensors, call.frame, {})
        call.saved = results[self.n_outputs :]
        return results[: self.n_outputs]

    def _joint(
        self, node: Any, gs: Sequence[Any], needed: Sequence[bool], recorded: bool
    ) -> Iterable[tuple[int, Any]]:
        present = tuple([g is not None for g in gs])
        gradient = None if recorded else self.gradient(present)
        if gradient is None:
            return self.recorded_gradient(node, gs, needed)
        *given, call = node.args
        given += call.saved
        given += [g._data for g in gs if g is not None]
        found = gradient.run(given, call.frame, {})
        return [
            (i, _backend.wrap(np.asarray(g)))
            for i, g in zip(gradient.inputs, found, strict=True)
            if needed[i]
        ]

    def gradient(self, present: tuple[bool, ...]) -> Gradient | None:
        """The gradient for cotangents of the outputs present.

        None if it reads what isn't kept and would have to be run again.
        """
        if present not in self.gradients:
            with without(*self.off):
                self.gradients[present] = self._derived(present)
        return self.gradients[present]

    def _derived(self, present: tuple[bool, ...]) -> Gradient | None:
        trace = _Trace(self)
        lines, results, read = trace.backward(present)
        again = trace.remade(read, self.saved)
        if any(isinstance(line.op, Loop) for line in again):
            return None
        return trace.gradient([*again, *lines], self.saved, results)

    def recorded_gradient(
        self, node: Any, gs: Sequence[Any], needed: Sequence[bool]
    ) -> Iterator[tuple[int, Any]]:
        """The gradient by ordinary ops; recorded if the mode says so."""
        recorded = is_grad_enabled()
        (*tensors, call), _ = tape.read_back(node, recorded)
        frame = call.frame
        # One may be made of another, or be it: each is to get what is its own alone.
        tensors = [
            (ops.clone(t) if recorded else leaf(t._data)) if n else t
            for t, n in zip(tensors, needed, strict=True)
        ]
        with enable_grad():
            outputs = self.ordinary(tensors, frame, lambda t: t._node is not None)
        # An output may not depend on what needs a gradient, though the scan does.
        pairs = [
            (y, g)
            for y, g in zip(outputs, gs, strict=True)
            if g is not None and y._node is not None
        ]
        if not pairs:
            return
        wanted = [i for i, n in enumerate(needed) if n]
        found = tape.grad(
            [y for y, _ in pairs],
            [tensors[i] for i in wanted],
            [g for _, g in pairs],
            create_graph=recorded,
            allow_unused=True,
        )
        for i, g in zip(wanted, found, strict=True):
            if g is not None:
                yield i, g


class _Trace:
    """A scan on stand-ins, as ordinary ops, and its gradient."""

    def __init__(self, whole: Whole) -> None:
        self.leaves = [leaf(np.zeros(shape, dtype)) for shape, dtype in whole.like]
        self.needed = whole.needed
        ends = {x._node for x, n in zip(self.leaves, self.needed, strict=True) if n}

        def recorded(t: Any) -> bool:
            return t._node is not None and not ends.isdisjoint(
                tape.reachable([t._node])
            )

        with trace_mode():
            self.outputs = whole.ordinary(self.leaves, whole.frame, recorded)
        self.frame = whole.frame
        self.builder = Builder()
        self.inputs = [
            self.builder.name_slot((x._node, 0), x._data) for x in self.leaves
        ]
        self.first = self.builder.lines(self.outputs)
        self.ours = {v for line in self.first for v in line.outputs}

    def depends(self) -> list[bool]:
        """Of each output whether a gradient may be asked of it."""
        given = {x for x, n in zip(self.inputs, self.needed, strict=True) if n}
        live = dependent(self.first, given, self.frame.ragged)
        return [self.builder.slot(y) in live for y in self.outputs]

    def backward(
        self, present: Sequence[bool]
    ) -> tuple[list[Instruction], list[tuple[int, Var]], list[Var]]:
        """(lines, (input, gradient) pairs, the forward's variables that are read)."""
        outputs = [y for y, p in zip(self.outputs, present, strict=True) if p]
        inputs = [x for x, n in zip(self.leaves, self.needed, strict=True) if n]
        seeds = [leaf(np.zeros(y.shape, y.dtype)) for y in outputs]
        with trace_mode(), plain_derivatives(), kernels_whole(True):
            found = tape.grad(outputs, inputs, seeds, allow_unused=True)
        self.seeds = [self.builder.name_slot((s._node, 0), s._data) for s in seeds]
        lines = self.builder.lines([g for g in found if g is not None])
        places = [i for i, n in enumerate(self.needed) if n]
        results = [
            (i, self.builder.slot(g))
            for i, g in zip(places, found, strict=True)
            if g is not None
        ]
        read = dict.fromkeys(
            a
            for line in lines
            for a in line.args
            if isinstance(a, Var) and a in self.ours
        )
        return lines, results, list(read)

    def remade(self, read: Sequence[Var], saved: Sequence[Var]) -> list[Instruction]:
        """The forward's lines that make what is read and was not saved."""
        wanted = set(read).difference(saved)
        lines = []
        for line in reversed(self.first):
            if not wanted.isdisjoint(line.outputs):
                lines.append(line)
                wanted.update(set(variables(line)).difference(saved))
        return lines[::-1]

    def forward(self, saved: Sequence[Var]) -> Routine:
        """The forward: its outputs, and what is saved."""
        results = [*map(self.builder.slot, self.outputs), *saved]
        return self._routine(self.first, self.inputs, results)

    def gradient(
        self,
        lines: Sequence[Instruction],
        saved: Sequence[Var],
        results: Sequence[tuple[int, Var]],
    ) -> Gradient:
        """The backward: (an input, its gradient) are the results."""
        inputs = [*self.inputs, *saved, *self.seeds]
        run = self._routine(lines, inputs, [v for _, v in results])
        return Gradient(run, tuple(i for i, _ in results))

    def _routine(
        self,
        lines: Sequence[Instruction],
        inputs: Sequence[Var],
        results: Sequence[Var],
    ) -> Routine:
        return routine(lines, inputs, results, self.frame, self.builder.captured)
