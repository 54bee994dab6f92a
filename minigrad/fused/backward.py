"""The derivative of a loop: its program, cut, and what it is run on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from .. import ops
from ..program import Instruction, Program, Var
from . import rows
from .cut import Cut
from .frame import Frame
from .items import Counts
from .joint import Pullback, pullback
from .loop import Loop, has_node
from .passes import live, without_repetition


class Backward:
    """The derivative of a loop, for outputs and inputs of which some count.

    present: which outputs have a cotangent; needed: which inputs get one.
    """

    def __init__(
        self, forward: Loop, present: Sequence[bool], needed: Sequence[bool]
    ) -> None:
        program, c = forward.program, forward.counts.carries
        floats = [v.dtype.kind == "f" for v in program.outputs[:c]]
        found = pullback(program, [*floats, *present[c:]], forward.wanted(needed))
        fresh = _Fresh(forward.program, found)
        again = _remade(forward, found, fresh)
        lines = [*again, *found.lines]
        carries, after = list(found.cotangents[:c]), []
        for seed, gradient in zip(carries, found.gradients[:c], strict=True):
            if gradient is None:
                gradient = fresh(seed)
                lines.append(Instruction(ops.zeros_like, (seed,), (gradient,)))
            after.append(gradient)
        self.n_carries = c
        # Of each gradient: of which input, and which of the results.
        self.finals = [(i, i) for i in range(c) if needed[i]]
        self.asked: list[tuple[int, int]] = []
        asked: list[Var] = []
        first_row = c + forward.counts.streams
        last_row = first_row + forward.counts.rows
        for i, gradient in enumerate(found.gradients[c:], c):
            if gradient is None or not needed[i]:
                continue
            if first_row <= i < last_row:  # added up in a carry: the rows stay apart
                total, grown = fresh(gradient), fresh(gradient)
                lines.append(Instruction(ops.add, (total, gradient), (grown,)))
                self.finals.append((i, len(carries)))
                carries.append(total)
                after.append(grown)
            else:
                self.asked.append((i, len(asked)))
                asked.append(gradient)
        self.totals = [i for i, at in self.finals if at >= c]
        outputs = (*after, *asked)
        lines = live(lines, outputs)
        self._find_inputs(forward, lines, outputs, (first_row, last_row))
        self.given = [i for i, p in enumerate(present) if p and i >= c]
        inputs = [*carries, *found.cotangents[c:]]
        inputs += [program.inputs[i] for i in self.streams]
        inputs += [program.outputs[i] for i in self.hidden]
        inputs += [program.inputs[i] for i in (*self.rows, *self.fixed)]
        n_streams = len(self.given) + len(self.streams) + len(self.hidden)
        derived = Program(tuple(inputs), tuple(lines), outputs)
        counts = Counts(len(carries), n_streams, len(self.rows))
        # What is made again may be compared with what was kept.
        exact = {v for line in again for v in line.outputs}
        self.cut = Cut(without_repetition(derived), counts, exact)

    def _find_inputs(
        self,
        forward: Loop,
        lines: Sequence[Instruction],
        outputs: Sequence[Var],
        rows_at: tuple[int, int],
    ) -> None:
        """What is read of the forward's inputs, and of its outputs."""
        program, c = forward.program, forward.counts.carries
        read = {v for n in lines for v in rows.variables(n)} | set(outputs)
        first, last = rows_at
        used = [i for i, v in enumerate(program.inputs) if v in read and i >= c]
        self.streams = [i for i in used if i < first]
        self.rows = [i for i in used if first <= i < last]
        self.fixed = [i for i in used if i >= last]
        inputs = set(program.inputs[c:])
        self.hidden = [
            c + program.outputs[c:].index(v)
            for v in dict.fromkeys(program.outputs[c:])
            if v in read and v not in inputs
        ]

    def __call__(
        self, gs: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], frame: Frame
    ) -> Iterator[tuple[int, Any]]:
        """The cotangents of the inputs xs: (index, cotangent), for those that count."""
        carries = [
            ops.zeros_like(x) if g is None else g
            for g, x in zip(gs[: self.n_carries], xs, strict=False)
        ]
        carries += [ops.zeros_like(xs[i]) for i in self.totals]
        inputs = [
            *carries,
            *(gs[i] for i in self.given),
            *(xs[i] for i in self.streams),
            *(ys[i] for i in self.hidden),
            *(xs[i] for i in self.rows),
            *(xs[i] for i in self.fixed),
        ]
        results = self.cut(inputs, frame.reversed, has_node)
        for i, at in self.finals:
            yield i, results[at]
        for i, at in self.asked:
            yield i, results[self.cut.counts.carries + at]


class _Fresh:
    """fresh(v): a new variable like v, which nobody has yet."""

    def __init__(self, program: Program, found: Pullback) -> None:
        lines = (*program.instructions, *found.lines)
        made = [v for line in lines for v in line.outputs]
        known = [*program.inputs, *found.cotangents, *made]
        self.numbers = itertools.count(1 + max(v.number for v in known))

    def __call__(self, v: Var) -> Var:
        return replace(v, number=next(self.numbers))


def _remade(forward: Loop, found: Pullback, fresh: _Fresh) -> list[Instruction]:
    """The forward's lines that make cheap values again, which the derivative reads."""
    program, c = forward.program, forward.counts.carries
    at_hand = {*program.inputs[c:], *program.outputs[c:]}
    makers = {v: n for n in program.instructions for v in n.outputs}
    wanted: set[Var] = set()
    left = [v for n in found.lines for v in rows.variables(n)]
    while left:
        v = left.pop()
        if v in makers and v not in at_hand and v not in wanted:
            wanted.update(makers[v].outputs)
            left += rows.variables(makers[v])
    # A split that makes again one of its outputs makes the others again too.
    return [
        replace(n, outputs=tuple(fresh(v) if v in at_hand else v for v in n.outputs))
        for n in program.instructions
        if n.outputs[0] in wanted
    ]
