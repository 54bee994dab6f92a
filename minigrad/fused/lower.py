"""Lowering: the program of one step becomes the code of a machine.

Items are put into phases: a product as soon as it can run, everything that is then
ready in one rowwise phase. A phase is split into segments of one width. What a value
needs decides where it is: a register within a segment, a few rows at hand within a
phase, an array otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._loop_py import LOCAL, OPCODES, PRODUCT, PRODUCT_SUM, ROWS, ROWWISE
from ..program import Program
from .combine import add_to_products, combine, merge_sums
from .items import Buffer, Counts, Item, Items, Operand, Value
from .passes import left_out


@dataclass(frozen=True)
class Code:
    """A machine's code, and what to give it.

    places: of the buffers that get an array at each call, (index, what, which, width);
    carries: for each, the indices of its buffers; kept: whether all its states stay.
    outputs: for each, ("out", i) for a stream of its own, ("read", k) or ("write", k)
    for the states of a carry. weights: which of the fixed inputs each weight is.
    """

    buffers: tuple[Buffer, ...]
    places: tuple[tuple[int, str, Any, int], ...]
    carries: tuple[tuple[int, ...], ...]
    kept: tuple[bool, ...]
    code: tuple[int, ...]
    n_registers: int
    weights: tuple[int, ...]
    outputs: tuple[tuple[str, int], ...]
    phases: tuple[Any, ...]


def lower(program: Program, counts: Counts, ragged: bool) -> Code:
    """The code of a program; raises NotFusedError for what no opcode can do.

    ragged: some rows end before others; the states of a carry are then not kept.
    """
    items = Items(program, counts, ragged)
    if "merged sums" not in left_out():
        merge_sums(items)
    if "combined opcodes" not in left_out():
        combine(items)
    if "sums in products" not in left_out():
        add_to_products(items)
    return _Lowering(items).code()


class _Lowering:
    def __init__(self, items: Items) -> None:
        self.items = items.items
        self.buffers = items.buffers
        self.kept = items.kept
        self.outputs = items.outputs

    def code(self) -> Code:
        phases = self.phases()
        where: dict[Item, tuple[int, int]] = {}
        for p, phase in enumerate(phases):
            for s, segment in enumerate(phase):
                where.update((item, (p, s)) for item in segment)
        self.place(where)
        code: list[int] = []
        n_registers = 0
        for phase in phases:
            if phase[0][0].name == "product":
                code += self.product_code(phase[0][0])
                continue
            code += [ROWWISE, len(phase)]
            for segment in phase:
                n_registers = max(n_registers, self.allocate(segment))
                code += [segment[0].width, len(segment)]
                for item in segment:
                    code.append(OPCODES[item.name])
                    places = [self.at(a) for a in (item.out, *item.args)]
                    places += [(-1, 0)] * (4 - len(places))
                    code += [n for place in places for n in place]
        buffers = list(enumerate(self.buffers))
        return Code(
            tuple(self.buffers),
            tuple(
                (i, b.what, b.which, b.width)
                for i, b in buffers
                if b.what not in ("carry", "number") and b.kind != LOCAL
            ),
            tuple(
                tuple(i for i, b in buffers if b.what == "carry" and b.which == k)
                for k in range(len(self.kept))
            ),
            tuple(self.kept),
            tuple(code),
            n_registers,
            tuple(self.weight_order()),
            tuple(self.outputs),
            tuple(tuple(map(tuple, phase)) for phase in phases),
        )

    def weight_order(self) -> list[int]:
        """Which fixed inputs are multiplied with, each once."""
        used = [a for i in self.items if i.name == "product" for a in i.args[1::2]]
        return sorted(set(used))

    def product_code(self, item: Item) -> list[int]:
        order = self.weight_order()
        terms: list[int] = []
        for x, weight in zip(item.args[::2], item.args[1::2], strict=True):
            terms += [*self.at(x), x.width, order.index(weight)]
        n = len(item.args) // 2
        code = [*self.at(item.out), item.out.width, n, *terms]
        if not item.added:
            return [PRODUCT, *code]
        added = [(-1, 0) if a is None else self.at(a) for a in item.added]
        return [PRODUCT_SUM, *(number for place in added for number in place), *code]

    def phases(self) -> list[list[list[Item]]]:
        """Phases, each a list of segments; a product is a phase of its own."""
        left, done, phases = list(self.items), set(), []

        def ready(item: Item) -> bool:
            return all(w in done for a in item.reads for w in a.value.writers)

        while left:
            taken = [i for i in left if i.name == "product" and ready(i)]
            if taken:
                phases += [[[item]] for item in taken]
                done.update(taken)
            else:
                phase = self.segments(left, done, ready)
                taken = [item for segment in phase for item in segment]
                phases.append(phase)
            left = [item for item in left if item not in done]
        return phases

    def segments(
        self, left: list[Item], done: set[Item], ready: Callable[[Item], bool]
    ) -> list[list[Item]]:
        """All rowwise items that can run now, grouped by width."""
        segments: list[list[Item]] = []
        while True:
            width, segment = None, []
            again = True
            while again:
                again = False
                for item in left:
                    if item in done or item.name == "product" or not ready(item):
                        continue
                    if width in (None, item.width):
                        width = item.width
                        segment.append(item)
                        done.add(item)
                        again = True
            if not segment:
                return segments
            segments.append(segment)

    def place(self, where: dict[Item, tuple[int, int]]) -> None:
        """Give every value that is made here a buffer, or leave it to registers."""
        users: dict[Value, dict[Item, None]] = {}
        parts: set[Value] = set()  # a register's columns can't be read by themselves
        for item in self.items:
            for a in (item.out, *item.reads):
                users.setdefault(a.root, {})[item] = None
            parts.update(a.root for a in item.reads if not a.whole)
        for value, items in users.items():
            if value.buffer is not None:
                continue
            spots = {where[item] for item in items}
            if len({phase for phase, _ in spots}) > 1:
                kind = ROWS
            elif len(spots) > 1 or len(value.writers) > 1 or value in parts:
                kind = LOCAL
            else:
                continue
            value.buffer = len(self.buffers)
            self.buffers.append(Buffer(kind, value.width, "scratch"))

    def allocate(self, segment: list[Item]) -> int:
        """Give the values that live in a segment registers; returns how many."""
        last: dict[Value, int] = {}
        for i, item in enumerate(segment):
            last.update((a.value, i) for a in item.reads)
        free: list[int] = []
        n = 0
        for i, item in enumerate(segment):
            value = item.out.value
            if value.buffer is None and value.home is None:
                if free:
                    value.register = free.pop()
                else:
                    value.register, n = n, n + 1
            # An operand's register is free for the next item, not for this result: a
            # reduction reads what it would overwrite.
            dead = {a.value for a in item.reads if last[a.value] == i}
            if value not in last:
                dead.add(value)
            free += [v.register for v in dead if v.register is not None]
        return n

    def at(self, a: Operand) -> tuple[int, int]:
        """(place, column) of an operand."""
        value, column = a.value, a.column
        while value.home is not None:
            column += value.home.column
            value = value.home.value
        if value.buffer is not None:
            return value.buffer, column
        assert value.register is not None
        return -2 - value.register, column
