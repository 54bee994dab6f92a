"""The cut: what depends on neither the carry nor x, on x alone, and the rest.

The first two run once, outside the loop, by ordinary ops on whole sequences, whose
gradients are ordinary too: so `w.T` or `exp(log_a)` need no rule, and `x @ w_ih.T` is
one product over all steps. Only products leave the loop, and what feeds them: an
elementwise op is cheaper inside, where its operands are at hand. What adds up rows
comes after the loop, on the sequences that it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from .. import ops
from ..program import Instruction, Program, Var
from . import frame as frames
from . import rows
from .errors import NotFusedError
from .frame import Frame
from .items import Counts
from .levels import Level, levels_of
from .loop import Loop
from .passes import checked, left_out, live
from .products import over, product

OTHER_BITS = {
    *(ops.pow, ops.expm1, ops.log, ops.log1p, ops.rsqrt, ops.sin, ops.cos),
    *(ops.silu, ops.softplus, ops.standardize, ops.standardize_grad),
}
"""Ops whose opcode rounds otherwise than they do by themselves: they stay in the loop,
or a sequence would have other bits as a whole than step by step."""

NAMES = {ops.clone, ops.detach, ops.getitem, ops.expand, ops.reshape}
"""Ops whose result may be their operand, to the loop."""


class Cut:
    """A program of one step, split; called on sequences, it runs all steps.

    Outputs of the program are the new carries, then what is asked of each step or of
    all rows together. before, stacked, after: the instructions that run outside the
    loop: on what is fixed, on whole sequences, on sums over rows. exact: what must have
    the bits there that it has in the loop, all if it isn't given. Raises NotFusedError
    if the rest can't be lowered.
    """

    def __init__(
        self, program: Program, counts: Counts, exact: Container[Var] | None = None
    ) -> None:
        self.program = program
        self.exact = exact
        self.counts = counts
        self.levels = levels_of(program, counts)
        lines = program.instructions
        self.sorted = {v for line in lines for v in self._owned(line)}
        needed = live(lines, program.outputs)
        self.before = [n for n in needed if self._level(n) <= Level.ROW]
        mixed = [n for n in needed if self._level(n) == Level.MIXED]
        self.after = self._sums(mixed)
        inner = [n for n in needed if Level.ROW < self._level(n) < Level.MIXED]
        self.stacked = [] if "hoist" in left_out() else self._hoisted(inner)
        products = {v for n in self.stacked if n.op is over[product] for v in n.outputs}
        n = counts.carries
        asked = [*program.outputs[n:], *(v for n in self.after for v in self._reads(n))]
        streams = {*program.inputs[n : n + counts.streams], *products}
        self.ys = list(
            dict.fromkeys(
                v for v in asked if self.levels[v] < Level.MIXED and v not in streams
            )
        )
        body = [n for n in inner if products.isdisjoint(n.outputs)]
        self.operands, self.loop = self._loop(body, streams)

    def __call__(
        self, inputs: Sequence[Any], frame: Frame, recorded: Callable[[Any], bool]
    ) -> list[Any]:
        """The outputs: states after the last step, sequences, sums over all rows.

        inputs: carries (B, n), streams and rows, as the frame has them, the rest.
        recorded: whether a gradient by a tensor may be asked for.
        """
        env: dict[Var, Any] = dict(zip(self.program.inputs, inputs, strict=True))
        rows.run(self.before, env, frame)
        outer = dict(env)
        if frame.ragged:
            for v in self.sorted:
                if self.levels[v] == Level.FIXED:
                    env[v] = frames.sort(env[v], frame)
                outer[v] = frames.own(env[v], frame)
        rows.run(self.stacked, outer, frame)
        env.update((v, outer[v]) for line in self.stacked for v in line.outputs)
        operands = [env[v] for v in self.operands]
        results = self.loop.over(operands, frame, recorded)
        n = self.counts.carries
        env.update(zip(self.ys, results[n:], strict=True))
        rows.run(self.after, env, frame)
        return [*results[:n], *(env[v] for v in self.program.outputs[n:])]

    def _level(self, line: Instruction) -> Level:
        return self.levels[line.outputs[0]]

    def _owned(self, line: Instruction) -> list[Var]:
        """What the instruction reads an unchanging row of for each example."""
        out = line.outputs[0]
        beside = line.op is ops.cat and rows.last(line.args[-1], len(out.shape))
        if not (line.op.elementwise or beside):
            return []
        if not Level.ROW < self.levels[out] < Level.MIXED:
            return []
        return [
            v
            for v in rows.variables(line)
            if self.levels[v] <= Level.ROW and v.shape[:-1] == out.shape[:-1]
        ]

    def _reads(self, line: Instruction) -> list[Var]:
        """What an instruction after the loop reads that has rows."""
        return [
            v
            for v in rows.variables(line)
            if Level.FIXED < self.levels[v] < Level.MIXED
        ]

    def _sums(self, lines: Sequence[Instruction]) -> list[Instruction]:
        """What adds up rows, on whole sequences."""
        number = max((v.number for v in self.levels), default=0)
        sums: list[Instruction] = []
        for line in lines:
            sums += rows.sums_over_time(line, number + 1)
            number += 2
        self.levels.update((v, Level.MIXED) for n in sums for v in n.outputs)
        return sums

    def _hoisted(self, lines: Sequence[Instruction]) -> list[Instruction]:
        """The products of x and what feeds them, for any axes in front."""
        n = self.counts.carries
        able = set(self.program.inputs[n : n + self.counts.streams])
        summed = _summed(lines)
        moved: list[Instruction] = []
        for line in lines:
            reads = [v for v in rows.variables(line) if self.levels[v] == Level.STREAM]
            outer = rows.along_last(line)
            if self._level(line) != Level.STREAM or not able.issuperset(reads):
                continue
            # Rows that don't change can't stand beside those of a whole sequence.
            if outer is None or (line.op is ops.cat and self._owned(line)):
                continue
            # The loop rounds a product and a sum once.
            rounds = line.op is ops.mul and not summed.isdisjoint(line.outputs)
            exact = self.exact is None or line.outputs[0] in self.exact
            if exact and (rounds or line.op in OTHER_BITS):
                continue
            moved.append(outer)
            able.update(line.outputs)
        products = [v for n in moved if n.op is over[product] for v in n.outputs]
        return live(moved, products)

    def _loop(
        self, body: list[Instruction], streams: set[Var]
    ) -> tuple[list[Var], Loop]:
        n = self.counts.carries
        carries = self.program.inputs[:n]
        outputs = (*self.program.outputs[:n], *self.ys)
        body = live(body, outputs)
        read = dict.fromkeys(v for line in body for v in rows.variables(line))
        read.update(dict.fromkeys(outputs))
        made = {v for line in body for v in line.outputs} | set(carries)
        given = [v for v in read if v not in made]
        groups = [
            [v for v in given if v in streams],
            [v for v in given if v in self.sorted or self.levels[v] == Level.ROW],
        ]
        rest = [v for v in given if v not in groups[0] and v not in groups[1]]
        if any(self.levels[v] > Level.FIXED for v in rest):
            raise NotFusedError("it has a sequence that no step makes")
        for v in self.sorted.intersection(_weights(body)):
            raise NotFusedError(f"{v.type} is a weight and a row for each example")
        operands = [*carries, *groups[0], *groups[1], *rest]
        counts = Counts(n, len(groups[0]), len(groups[1]))
        program = checked(Program(tuple(operands), tuple(body), outputs))
        return operands, Loop(program, counts)


def _summed(lines: Sequence[Instruction]) -> set[Var]:
    """What is added to something, perhaps under another name."""
    summed: set[Var] = set()
    for line in reversed(lines):
        if line.op is ops.add or (
            line.op in NAMES and not summed.isdisjoint(line.outputs)
        ):
            summed.update(rows.variables(line))
    return summed


def _weights(lines: Iterable[Instruction]) -> set[Var]:
    return {line.args[1] for line in lines if line.op is product}
