"""The op that runs a loop, and its derivative, which is a loop over the same rows.

The derivative of a step is traced from the VJPs of its ops, cut like any step, and run
from the other end. It reads forward values: those that are dear to make again are
outputs of the forward loop that nobody else sees, with cotangents of their own. So the
derivative is an op like its forward, and has a derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from .. import _backend, ops, tape
from .._routine_py import AFTER, ALL, BEFORE
from ..errors import DTypeError
from ..mode import is_grad_enabled
from ..op import Arrays, Op
from ..program import Instruction, Program, Var
from . import rows
from .frame import Frame
from .items import Counts
from .joint import Pullback, pullback
from .lower import Code, lower
from .passes import left_out, without

CHEAP = {
    *(ops.add, ops.sub, ops.mul, ops.neg, ops.relu, ops.where, ops.zeros_like),
    *(ops.eq, ops.ne, ops.lt, ops.le, ops.gt, ops.ge),
    *(ops.logical_and, ops.logical_or, ops.logical_not),
    *(ops.split, ops.getitem, ops.expand, ops.clone, ops.detach),
}


def is_cheap(line: Instruction) -> bool:
    """Whether to make its result again: it costs little, or is no row of floats."""
    return line.op in CHEAP or line.outputs[0].dtype.kind == "i"


class Loop(Op):
    """A program of one step, over all steps; one op.

    Called with carries (B, n), streams and rows in the layout of the frame, and what is
    the same for all rows and steps; gives the carries after the last step, and a stream
    for each other output of the program. Raises NotFusedError if it can't be lowered.
    """

    def __init__(self, program: Program, counts: Counts, n_hidden: int = 0) -> None:
        super().__init__(self._forward, None, samples=(), registered=False)
        self.name = "loop"
        self.program = program
        self.counts = counts
        self.n_hidden = n_hidden
        self.off = left_out()
        self.differentiable = True
        self.joint = self._joint
        self._variants: dict[tuple[bool, ...], Loop] = {}
        self._layouts: dict[Any, tuple[Code, Any]] = {}
        self._backwards: dict[Any, Any] = {}
        lower(program, counts, False)

    def over(
        self, tensors: Sequence[Any], frame: Frame, recorded: Callable[[Any], bool]
    ) -> list[Any]:
        """The outputs; what a gradient by the recorded tensors reads is kept."""
        needed = tuple(t.dtype.kind == "f" and recorded(t) for t in tensors)
        op = self.saving(needed) if any(needed) else self
        return list(_backend.apply(op, (*tensors, frame))[: len(self.program.outputs)])

    def saving(self, needed: tuple[bool, ...]) -> Loop:
        """The loop that also gives what the gradients of the needed inputs read."""
        if needed not in self._variants:
            kept = self._residuals(needed)
            program = Program(
                self.program.inputs,
                self.program.instructions,
                (*self.program.outputs, *kept),
            )
            with without(*self.off):
                self._variants[needed] = Loop(program, self.counts, len(kept))
        return self._variants[needed]

    def dependent(self, given: Sequence[bool], ragged: bool) -> list[bool]:
        """Which outputs depend on the inputs given, after any number of steps."""
        c, inputs = self.counts.carries, self.program.inputs
        before = list(given)
        while True:
            live = {v for v, g in zip(inputs, before, strict=True) if g}
            live = dependent(self.program.instructions, live, ragged)
            found = [v in live for v in self.program.outputs]
            after = [a or b for a, b in zip(before[:c], found[:c], strict=True)]
            if after == before[:c]:
                # A row of no steps has the carry that it began with.
                return [*after, *found[c:]] if ragged else found
            before[:c] = after

    def reconcile(self, raw: list[Any]) -> None:
        """Refuse a mix of floats; masks stay bool, as the derivative reads them."""
        refuse_mixed_floats(raw)

    # -- forward ---------------------------------------------------------------------

    def _forward(self, tensors: Arrays, frame: Any) -> tuple[Any, ...]:
        layout = self.layout(tensors[0].dtype, frame.ragged)[1]
        results: tuple[Any, ...] = _backend.routine.run_loop(layout, tensors, frame)
        return results

    def layout(self, dtype: np.dtype[Any], ragged: bool) -> tuple[Code, Any]:
        """The code, and its machine with what makes and reads its arrays."""
        key = dtype, ragged
        if key not in self._layouts:
            with without(*self.off):
                code = lower(self.program, self.counts, ragged)
            kept = [b.what == "carry" and code.kept[b.which] for b in code.buffers]
            machine = _backend.loop.Machine(
                dtype,
                [b.kind for b in code.buffers],
                [b.width for b in code.buffers],
                kept,
                code.code,
                code.n_registers,
            )
            numbers = [
                np.full(b.width, b.which, dtype) if b.what == "number" else None
                for b in code.buffers
            ]
            c, n_streams, n_rows = self.counts
            first = {
                "stream": c,
                "row": c + n_streams,
                "vector": c + n_streams + n_rows,
            }
            given = [
                (i, first[what] + k) for i, what, k, _ in code.places if what in first
            ]
            made = [
                (i, what == "out", width)
                for i, what, _, width in code.places
                if what in ("out", "scratch")
            ]
            weights = [sum(self.counts) + i for i in code.weights]
            layout = _backend.routine.Layout(
                *(machine, numbers, given, made, code.carries, code.kept, weights),
                self._outputs(code),
            )
            self._layouts[key] = code, layout
        return self._layouts[key]

    def _outputs(self, code: Code) -> list[tuple[int, int, bool]]:
        """Of each output after the carries: its array, which part, whether a mask."""
        places = {which: i for i, what, which, _ in code.places if what == "out"}
        masks = [
            v.dtype.kind != "f" for v in self.program.outputs[self.counts.carries :]
        ]
        parts = {"out": ALL, "read": BEFORE, "write": AFTER}
        return [
            (places[i] if what == "out" else code.carries[i][0], parts[what], mask)
            for (what, i), mask in zip(code.outputs, masks, strict=True)
        ]

    # -- backward --------------------------------------------------------------------

    def _residuals(self, needed: tuple[bool, ...]) -> list[Var]:
        """The forward values that the gradients read and that are not at hand."""
        every = [v.dtype.kind == "f" for v in self.program.outputs]
        found = pullback(self.program, every, self.wanted(needed))
        return self._to_keep(found)

    def wanted(self, needed: Sequence[bool]) -> list[bool]:
        """A carry's cotangent is always needed: it is the carry of the derivative."""
        c = self.counts.carries
        return [*(v.dtype.kind == "f" for v in self.program.inputs[:c]), *needed[c:]]

    def _to_keep(self, found: Pullback) -> list[Var]:
        c = self.counts.carries
        at_hand = {*self.program.inputs[c:], *self.program.outputs[c:]}
        makers = {v: n for n in self.program.instructions for v in n.outputs}
        mine = {*makers, *self.program.inputs}
        read = dict.fromkeys(
            v for n in found.lines for v in rows.variables(n) if v in mine
        )
        summed = {
            v
            for n in found.lines
            if rows.mixes(n)
            for v in rows.variables(n)
            if v in mine
        }
        # What costs a product or an elementary function is kept; what is cheap is made
        # again if all that it is made of is there.
        kept = {
            v: None
            for v in read
            if v not in at_hand
            and (v in summed or v not in makers or not is_cheap(makers[v]))
        }

        def is_made(v: Var) -> bool:
            if v in at_hand or v in kept:
                return True
            line = makers.get(v)
            return (
                line is not None
                and is_cheap(line)
                and all(is_made(a) for a in rows.variables(line))
            )

        for v in read:
            if not is_made(v):
                kept[v] = None
        return list(kept)

    def _joint(
        self, node: Any, gs: Sequence[Any], needed: Sequence[bool], recorded: bool
    ) -> Iterator[tuple[int, Any]]:
        (*tensors, frame), ys = tape.read_back(node, recorded)
        # A mask that another loop made is recorded with the rest of what that made.
        needed = [
            n and t.dtype.kind == "f" for n, t in zip(needed, tensors, strict=False)
        ]
        if not any(needed):
            return
        backward = self.derivative([g is not None for g in gs], needed)
        yield from backward(gs, ys, tensors, frame)

    def derivative(self, present: Sequence[bool], needed: Sequence[bool]) -> Any:
        """The derivative for outputs that have a cotangent and inputs that need one."""
        key = tuple(present), tuple(needed)
        if key not in self._backwards:
            from .backward import Backward

            with without(*self.off):
                self._backwards[key] = Backward(self, *key)
        return self._backwards[key]


def dependent(lines: Sequence[Instruction], given: set[Var], ragged: bool) -> set[Var]:
    """What a gradient flows from to the variables given, and these."""
    live = set(given)
    for line in lines:
        if isinstance(line.op, Loop):
            tensors = line.args[: len(line.op.program.inputs)]
            flags = [isinstance(a, Var) and a in live for a in tensors]
            found = line.op.dependent(flags, ragged)
        else:
            read = rows.variables(line)
            found = [line.op.differentiable and not live.isdisjoint(read)]
            found *= len(line.outputs)
        pairs = zip(line.outputs, found, strict=True)
        live.update(v for v, f in pairs if f and v.dtype.kind == "f")
    return live


_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain_derivatives() -> Iterator[None]:
    """Inside, a derivative keeps nothing for a derivative of its own."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def has_node(tensor: Any) -> bool:
    """Whether a gradient may be asked of what is made of the tensor."""
    return is_grad_enabled() and tensor._node is not None and not _plain.get()


def refuse_mixed_floats(raw: Sequence[Any]) -> None:
    """Raise DTypeError if the arrays, all but the last, are of more than one float."""
    if len({a.dtype for a in raw[:-1] if a.dtype.kind == "f"}) > 1:
        raise DTypeError(
            "scan: float32 and float64 do not mix; bring them to one dtype with "
            ".float(), .double() or .to(dtype)"
        )
