"""The derivative of a loop: its program, cut, and what it is run on."""

from __future__ import annotations

import functools
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
        self.n_carries = c
        states = [v.dtype.kind == "f" for v in program.outputs[:c]]
        self.present = present
        found = pullback(program, [*states, *present[c:]], forward.wanted(needed))
        n_streams, n_rows = forward.counts.streams, forward.counts.rows
        lines, numbers = self._with_remade(forward, found)
        carries = list(found.cotangents[:c])
        after: list[Var] = []
        for seed, gradient in zip(carries, found.gradients[:c], strict=True):
            if gradient is None:
                gradient = next(numbers)(seed)
                lines.append(Instruction(ops.zeros_like, (seed,), (gradient,)))
            after.append(gradient)
        asked: list[Var] = []
        self.places: list[tuple[int, str, int]] = [
            (i, "carry", i) for i in range(c) if needed[i]
        ]
        first_row = c + n_streams
        self.totals: list[int] = []
        for i, gradient in enumerate(found.gradients[c:], c):
            if gradient is None or not needed[i]:
                continue
            if first_row <= i < first_row + n_rows:
                make = next(numbers)
                total, grown = make(gradient), next(numbers)(gradient)
                lines.append(Instruction(ops.add, (total, gradient), (grown,)))
                self.places.append((i, "carry", len(carries)))
                self.totals.append(i)
                carries.append(total)
                after.append(grown)
            else:
                self.places.append((i, "output", len(asked)))
                asked.append(gradient)
        outputs = (*after, *asked)
        lines = live(lines, outputs)
        read = {v for n in lines for v in rows.variables(n)} | set(outputs)
        streams = [v for v in program.inputs[c:first_row] if v in read]
        hidden = [v for v in dict.fromkeys(program.outputs[c:]) if v in read]
        hidden = [v for v in hidden if v not in streams and v not in program.inputs[c:]]
        in_rows = [
            v for v in program.inputs[first_row : first_row + n_rows] if v in read
        ]
        fixed = [v for v in program.inputs[first_row + n_rows :] if v in read]
        given = [i for i, p in enumerate(present) if p and i >= c]
        self.given = given
        self.streams = [program.inputs.index(v) for v in streams]
        self.hidden = [c + program.outputs[c:].index(v) for v in hidden]
        self.rows = [program.inputs.index(v) for v in in_rows]
        self.fixed = [program.inputs.index(v) for v in fixed]
        inputs = (*carries, *found.cotangents[c:], *streams, *hidden, *in_rows, *fixed)
        n_given = len(given) + len(streams) + len(hidden)
        counts = Counts(len(carries), n_given, len(in_rows))
        program = without_repetition(Program(inputs, tuple(lines), outputs))
        self.cut = Cut(program, counts)

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
        n = self.cut.counts.carries
        for i, kind, at in self.places:
            yield i, results[at if kind == "carry" else n + at]

    def _with_remade(
        self, forward: Loop, found: Pullback
    ) -> tuple[list[Instruction], Iterator[Any]]:
        """The derivative's lines, after those that make cheap forward values again."""
        c = forward.counts.carries
        at_hand = {*forward.program.inputs[c:], *forward.program.outputs[c:]}
        makers = {v: n for n in forward.program.instructions for v in n.outputs}
        read = [v for n in found.lines for v in rows.variables(n)]
        remade: set[Var] = set()
        left = [v for v in read if v in makers and v not in at_hand]
        while left:
            line = makers[left.pop()]
            if remade.isdisjoint(line.outputs):
                remade.update(line.outputs)
                left += [
                    v for v in rows.variables(line) if v in makers and v not in at_hand
                ]
        ordered = [n for n in forward.program.instructions if n.outputs[0] in remade]
        number = max(v.number for v in self._all(forward.program, found.lines, found))
        numbers = (functools.partial(_like, n) for n in itertools.count(number + 1))
        # A split that makes again one of its outputs makes the others again too.
        lines = [
            replace(
                n,
                outputs=tuple(
                    next(numbers)(v) if v in at_hand else v for v in n.outputs
                ),
            )
            for n in ordered
        ]
        return [*lines, *found.lines], numbers

    @staticmethod
    def _all(
        program: Program, lines: Sequence[Instruction], found: Pullback
    ) -> list[Var]:
        return [
            *program.inputs,
            *found.cotangents,
            *(v for n in (*program.instructions, *lines) for v in n.outputs),
        ]


def _like(number: int, v: Var) -> Var:
    return Var(number, v.shape, v.dtype)
