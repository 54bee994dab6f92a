"""One op of a whole scan: all that is inside and outside the loop, and its derivative.

Run as ordinary ops, a scan records a handful, and its gradient as many again: at small
sizes they cost more than the loop. Here they are traced once, forward and backward, and
then run as two lists of functions on arrays. A gradient that is itself recorded takes
the ordinary ops, the slow twin: they have derivatives of every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import _backend, tape
from ..mode import enable_grad, is_grad_enabled, trace_mode
from ..op import Arrays, Op
from ..program import Builder, Instruction, Var
from .frame import Frame
from .loop import Loop, plain_derivatives, refuse_mixed_floats
from .products import gram_over, sum_over
from .rows import variables

Run = Callable[[Sequence[Any], Frame, Callable[[Any], bool]], list[Any]]


# Arguments: a result, itself, the frame, it reversed, a shape of rows that run.
PLACE, VALUE, ON, BACK, ROWS = range(5)


SUMS = (gram_over, sum_over)  # whose last argument is what they add to


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
        self.frame = frame
        trace = _Trace(self)
        every = (True,) * len(trace.outputs)
        self.n_outputs = len(trace.outputs)
        _, read = trace.backward(every) if any(needed) else ((), [])
        self.saved = read
        self.lines, self.results = trace.forward(read)
        self.gradients: dict[tuple[bool, ...], Any] = {}

    def over(self, tensors: Sequence[Any], frame: Frame) -> list[Any]:
        """The outputs."""
        return list(_backend.apply(self, (*tensors, frame))[: self.n_outputs])

    def reconcile(self, raw: list[Any]) -> None:
        """Refuse a mix of floats; masks stay bool."""
        refuse_mixed_floats(raw)

    def forward_of(self, tensors: Sequence[Any], frame: Frame) -> tuple[Any, ...]:
        """The arrays of the outputs, and of what the gradient reads."""
        env = list(tensors)
        execute(self.lines, env, frame)
        return tuple(env[i] for i in self.results)

    def _forward(self, tensors: Arrays, frame: Any) -> tuple[Any, ...]:
        return self.forward_of(tensors, frame)

    def _joint(
        self, node: Any, gs: Sequence[Any], needed: Sequence[bool], recorded: bool
    ) -> Iterator[tuple[int, Any]]:
        gs = gs[: self.n_outputs]
        gradient = None if recorded else self.gradient(tuple(g is not None for g in gs))
        if gradient is None:
            yield from self.recorded_gradient(node, gs, needed)
            return
        lines, results = gradient
        *env, frame = node.args
        env += node.values[self.n_outputs :]
        env += [g._data for g in gs if g is not None]
        execute(lines, env, frame)
        for i, at in results:
            if needed[i]:
                yield i, _backend.wrap(np.asarray(env[at]))

    def gradient(self, present: tuple[bool, ...]) -> Any:
        """(lines, results) of the gradient for cotangents of the outputs present.

        The lines read the inputs, what was saved and the cotangents, in this order;
        results are pairs of an input and the place of its gradient. None if the
        gradient reads what isn't kept.
        """
        if present not in self.gradients:
            trace = _Trace(self)
            (lines, results), read = trace.backward(present)
            again = trace.remade(read, self.saved)
            found = None
            if not any(isinstance(line.op, Loop) for line in again):
                found = trace.compiled([*again, *lines], self.saved, results)
            self.gradients[present] = found
        return self.gradients[present]

    def recorded_gradient(
        self, node: Any, gs: Sequence[Any], needed: Sequence[bool]
    ) -> Iterator[tuple[int, Any]]:
        """The gradient by ordinary ops; recorded if the mode says so."""
        recorded = is_grad_enabled()
        (*tensors, frame), _ = tape.read_back(node, recorded)
        if not recorded:
            tensors = [
                _backend.wrap(t._data, _backend.Node()) if n else t
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
        self.leaves = [
            _backend.wrap(np.zeros(shape, dtype), _backend.Node())
            for shape, dtype in whole.like
        ]
        self.needed = whole.needed
        ends = {
            leaf._node for leaf, n in zip(self.leaves, whole.needed, strict=True) if n
        }

        def recorded(t: Any) -> bool:
            return t._node is not None and not ends.isdisjoint(
                tape.reachable([t._node])
            )

        with trace_mode():
            self.outputs = whole.ordinary(self.leaves, whole.frame, recorded)
        self.lead = whole.frame.lead
        self.builder = Builder()
        self.inputs = [
            self.builder.name_slot((x._node, 0), x._data) for x in self.leaves
        ]
        slots = set(self.builder.by_slot)
        roots = [y._node for y in self.outputs if (y._node, y._slot) not in slots]
        nodes = tape.reachable(roots, stop=slots)
        self.first = [self.builder.line(n) for n in reversed(nodes) if n.args]
        self.ours = {v for line in self.first for v in line.outputs}

    def backward(self, present: Sequence[bool]) -> tuple[Any, list[Var]]:
        """((lines, results), the forward's variables that they read)."""
        outputs = [y for y, p in zip(self.outputs, present, strict=True) if p]
        inputs = [x for x, n in zip(self.leaves, self.needed, strict=True) if n]
        seeds = [
            _backend.wrap(np.zeros(y.shape, y.dtype), _backend.Node()) for y in outputs
        ]
        with trace_mode(), plain_derivatives():
            found = tape.grad(outputs, inputs, seeds, allow_unused=True)
        slots = {*self.builder.by_slot}
        self.seeds = [self.builder.name_slot((s._node, 0), s._data) for s in seeds]
        slots.update(self.builder.by_slot)
        roots: list[Any] = [
            g._node for g in found if g is not None and (g._node, g._slot) not in slots
        ]
        nodes = tape.reachable(roots, stop=slots)
        lines = [self.builder.line(n) for n in reversed(nodes) if n.args]
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
        return (lines, results), list(read)

    def remade(self, read: Sequence[Var], saved: Sequence[Var]) -> list[Instruction]:
        """The forward's lines that make what is read and was not saved."""
        wanted = set(read).difference(saved)
        lines = []
        for line in reversed(self.first):
            if not wanted.isdisjoint(line.outputs):
                lines.append(line)
                wanted.update(set(variables(line)).difference(saved))
        return lines[::-1]

    def forward(self, saved: Sequence[Var]) -> tuple[Any, list[int]]:
        """The lines of the forward, and where its outputs and what is saved stand."""
        outputs = [*map(self.builder.slot, self.outputs), *saved]
        lines, results = self._numbered(
            self.first, self.inputs, list(enumerate(outputs))
        )
        return lines, [at for _, at in results]

    def compiled(self, lines: Any, saved: Sequence[Var], results: Any) -> Any:
        """The lines of the backward, and where its results stand."""
        return self._numbered(lines, [*self.inputs, *saved, *self.seeds], results)

    def _numbered(
        self, lines: Sequence[Instruction], inputs: Sequence[Var], results: Any
    ) -> tuple[list[Any], list[tuple[int, int]]]:
        """Lines as (function, arguments, number of outputs), by places in a list."""
        constants = self.builder.captured
        places = {v: i for i, v in enumerate(inputs)}
        compiled = []
        n = len(inputs)
        for line in lines:
            args: list[tuple[int, Any]] = []
            for a in line.args:
                if isinstance(a, Frame):  # the stand-in's, which runs forward
                    args.append((BACK if a.reverse else ON, None))
                elif isinstance(a, Var) and a in places:
                    args.append((PLACE, places[a]))
                elif self._is_shape_of_rows(a):
                    args.append((ROWS, a[len(self.lead) :]))
                else:
                    args.append((VALUE, constants[a] if isinstance(a, Var) else a))
            places.update((v, n + i) for i, v in enumerate(line.outputs))
            n += len(line.outputs)
            split = len(args) - line.op.n_params if line.op.variadic else None
            compiled.append((line.op.forward, args, split))
        return compiled, [(i, places[v]) for i, v in results]

    def _is_shape_of_rows(self, a: Any) -> bool:
        """Whether it is the shape of a stream: of the stand-ins' number of rows."""
        n = len(self.lead)
        return isinstance(a, tuple) and len(a) > n and a[:n] == self.lead


def execute(
    lines: Sequence[Any],
    env: list[Any],
    frame: Frame,
    totals: dict[int, Any] | None = None,
) -> None:
    """Run the lines; each adds its results to env.

    totals: of the lines that add up rows, the sums so far, which go on.
    """
    for i, (function, args, split) in enumerate(lines):
        values = [
            env[a]
            if kind == PLACE
            else a
            if kind == VALUE
            else frame
            if kind == ON
            else frame.reversed
            if kind == BACK
            else (*frame.lead, *a)
            for kind, a in args
        ]
        if split is not None:
            values = [values[:split], *values[split:]]
        if totals is not None and function in SUMS:
            values[-1] = totals.get(i)
            totals[i] = result = function(*values)
        else:
            result = function(*values)
        if type(result) is tuple:
            env += result
        else:
            env.append(result)
