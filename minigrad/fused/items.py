"""What a program's instructions come to: products, and opcodes over rows.

Each instruction becomes items that read and make values, some columns for each row. A
split or a slice is no item: its result is columns of a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .. import ops
from .._loop_py import OPCODES, READ, ROWS, STREAM, VECTOR, WRITE
from ..program import Instruction, Program, Var
from . import rows
from .errors import NotFusedError
from .products import product

REDUCTIONS = ("sum", "amax", "amin", "rstd")


class Counts(NamedTuple):
    """How many of a program's inputs are carries, streams and rows; the rest are fixed.

    As many of its outputs are carries.
    """

    carries: int
    streams: int
    rows: int


@dataclass(eq=False)
class Value:
    """Some columns for each row. home: where another value has room for it."""

    width: int
    writers: list[Item] = field(default_factory=list)
    home: Operand | None = None
    buffer: int | None = None
    register: int | None = None


class Operand(NamedTuple):
    """Columns of a value."""

    value: Value
    column: int
    width: int

    @property
    def whole(self) -> bool:
        """Whether these are all of its columns."""
        return self.width == self.value.width

    @property
    def root(self) -> Value:
        """The value that has room for them in the end."""
        value = self.value
        while value.home is not None:
            value = value.home.value
        return value


@dataclass(eq=False)
class Item:
    """An opcode and its operands; for a product, operands and weights in turns.

    added: to a product: rows and two vectors, each an operand or None.
    """

    name: str
    out: Operand
    args: list[Any]
    added: list[Operand | None] = field(default_factory=list)

    @property
    def width(self) -> int:
        """The width of the segment that it can be in."""
        wide = self.name in REDUCTIONS
        return self.reads[0].width if wide else self.out.width

    @property
    def reads(self) -> list[Operand]:
        """The operands, without weights."""
        return [a for a in (*self.args, *self.added) if isinstance(a, Operand)]


@dataclass(frozen=True)
class Buffer:
    """Where a machine's buffer gets its array: what, and which one of those."""

    kind: int
    width: int
    what: str
    which: Any = None


class Items:
    """The items of a program, and the buffers of what it is given and gives.

    kept: for each carry, whether all its states stay; outputs: for each, ("out", i) for
    a stream of its own, ("read", k) or ("write", k) for the states of a carry. ragged:
    some rows end before others; the states of a carry are then not kept. Raises
    NotFusedError for what no opcode can do.
    """

    def __init__(self, program: Program, counts: Counts, ragged: bool) -> None:
        self.buffers: list[Buffer] = []
        self.items: list[Item] = []
        self.numbers: dict[tuple[str, int], Value] = {}
        self.ones: set[Value] = set()
        self.fixed: dict[Var, int] = {}
        self.env: dict[Var, Operand] = {}
        kinds = [READ] * counts.carries + [STREAM] * counts.streams
        kinds += [ROWS] * counts.rows
        names = {READ: "carry", STREAM: "stream", ROWS: "row", VECTOR: "vector"}
        firsts = {READ: 0, STREAM: counts.carries}
        firsts[ROWS] = firsts[STREAM] + counts.streams
        firsts[VECTOR] = firsts[ROWS] + counts.rows
        for i, v in enumerate(program.inputs):
            kind = kinds[i] if i < len(kinds) else VECTOR
            which = i - firsts[kind]
            if kind == VECTOR:
                self.fixed[v] = which
                if v.shape[:-1] not in ((), (1,)):
                    continue  # a weight
            elif len(v.shape) != 2 or v.dtype.kind not in "fb":
                raise NotFusedError(f"{v.type} is not a row of floats for each example")
            width = v.shape[-1] if v.shape else 1
            self.env[v] = self.given(kind, width, names[kind], which)
        for line in program.instructions:
            self.line(line)
        n = counts.carries
        self.kept = [False] * n
        reads = [self.env[v].value for v in program.inputs[:n]]
        self.writes = [self.write(k, v) for k, v in enumerate(program.outputs[:n])]
        self.outputs = [
            self.output(j, self.env[v], reads, ragged)
            for j, v in enumerate(program.outputs[n:])
        ]
        self.items = self._read_items()

    def _read_items(self) -> list[Item]:
        """The items that something reads: zeros_like reads nothing of its operand."""
        read: set[Value] = set()
        kept = []
        for item in reversed(self.items):
            value = item.out.root
            if value.buffer is not None or value in read:
                read.update(a.root for a in item.reads)
                kept.append(item)
        return kept[::-1]

    # -- values ----------------------------------------------------------------------

    def given(self, kind: int, width: int, what: str, which: Any) -> Operand:
        value = Value(width, buffer=len(self.buffers))
        self.buffers.append(Buffer(kind, width, what, which))
        return Operand(value, 0, width)

    def number(self, x: float, width: int) -> Operand:
        key = (repr(float(x)), width)  # 0.0 == -0.0
        if key not in self.numbers:
            self.numbers[key] = self.given(VECTOR, width, "number", float(x)).value
            self.ones.update([self.numbers[key]] if x == 1 else [])
        return Operand(self.numbers[key], 0, width)

    def emit(self, name: str, *args: Any, width: int | None = None) -> Operand:
        """An opcode's result; operands are made as wide as the widest, numbers too."""
        if name in REDUCTIONS:
            width = 1
        else:
            width = width or max(a.width for a in args if isinstance(a, Operand))
            args = tuple(self.widen(a, width) for a in args)
        return self.add(Item(name, self.new(width), list(args)))

    def new(self, width: int) -> Operand:
        return Operand(Value(width), 0, width)

    def add(self, item: Item) -> Operand:
        self.items.append(item)
        item.out.value.writers.append(item)
        return item.out

    def widen(self, a: Any, width: int) -> Operand:
        if not isinstance(a, Operand):
            return self.number(a, width)
        if a.width == width:
            return a
        return self.add(Item("spread", self.new(width), [a]))

    def settle(self, a: Operand, home: Operand) -> None:
        """Have the columns at `home`: made there, if they are made nowhere else."""
        value = a.value
        if a.whole and value.writers and value.home is None:
            value.home = home
            home.value.writers += value.writers
        else:
            self.add(Item("copy", home, [a]))

    def write(self, k: int, v: Var) -> Value:
        home = self.given(WRITE, v.shape[-1], "carry", k)
        self.settle(self.env[v], home)
        return home.value

    def output(
        self, j: int, a: Operand, reads: Sequence[Value], ragged: bool
    ) -> tuple[str, int]:
        if not ragged and a.whole:
            if a.value in reads:
                k = reads.index(a.value)
                self.kept[k] = True
                return "read", k
            home = a.value.home
            if home is not None and home.value in self.writes and home.whole:
                k = self.writes.index(home.value)
                self.kept[k] = True
                return "write", k
        self.settle(a, self.given(STREAM, a.width, "out", j))
        return "out", j

    # -- instructions ----------------------------------------------------------------

    def line(self, line: Instruction) -> None:
        op = line.op
        if op is ops.split:
            self.split(line)
            return
        if op is ops.standardize and len(line.outputs[0].shape) == 2:
            x, eps = self.env[line.args[0]], self.number(line.args[1], 1)
            scale = self.add(Item("rstd", self.new(1), [x, eps]))
            y = self.add(Item(op.name, self.new(x.width), [x, scale]))
            self.env.update(zip(line.outputs, (y, scale), strict=True))
            return
        out = line.outputs[0]
        if len(out.shape) > 2 or not out.shape:
            raise self.refusal(line, f"{op.name} makes {out.type}")
        width = out.shape[-1] if len(out.shape) == 2 else 1
        if not width:
            raise self.refusal(line, f"{op.name} makes no columns")
        args = [self.env.get(a, a) if isinstance(a, Var) else a for a in line.args]
        lowered = self.lowered(line, args, width)
        if lowered is None:
            raise self.refusal(line, f"{op.name} has no opcode")
        self.env[out] = lowered

    def refusal(self, line: Instruction, why: str) -> NotFusedError:
        """What to raise of an instruction that has no code."""
        if rows.keeps_apart(line, self.fixed):
            return NotFusedError(f"{why}: {line}")
        return NotFusedError(f"{line.op.name} mixes rows: {line}", True)

    def lowered(self, line: Instruction, args: list[Any], width: int) -> Operand | None:
        """The value of an instruction with one output; None if there is no way."""
        op, out = line.op, line.outputs[0]
        if op is product:
            return self.product(line, args)
        if op.elementwise:
            read = rows.variables(line)
            ranks = {len(v.shape) for v in read if v not in self.fixed}
            sizes = {len(v.shape) for v in read if v in self.fixed}
            if len(ranks) > 1 or (ranks == {1} and sizes - {0}):
                raise NotFusedError(f"{op.name} mixes rows: {line}", True)
            return self.elementwise(op.name, args, width)
        if op is ops.cat and rows.last(line.args[-1], len(out.shape)):
            return self.cat(args[:-1])
        if op is ops.getitem and (c := rows.columns_of(args[1], line.args[0].shape)):
            return Operand(args[0].value, args[0].column + c[0], c[1] - c[0])
        if op is ops.put and (c := rows.columns_of(args[1], args[2])):
            before, after = c[0], args[2][1] - c[1]
            parts = [self.number(0.0, before)] if before else []
            parts.append(args[0])
            return self.cat([*parts, self.number(0.0, after)] if after else parts)
        if op in (ops.expand, ops.reshape) and len(line.args[0].shape) <= 2:
            before, after = line.args[0].shape, out.shape
            if before[:1] == after[:1] and (before[1:] or (1,)) in (after[1:], (1,)):
                return self.widen(args[0], width)
        if op is ops.standardize_grad:
            return self.add(Item(op.name, self.new(width), args))
        if op is ops.sum_to and width == 1:
            return self.emit("sum", args[0])
        return self.along(op.name, line, args)

    def elementwise(self, name: str, args: list[Any], width: int) -> Operand | None:
        if name in ("clamp", "hardtanh"):
            x, low, high = args
            x = x if low is None else self.emit("maximum", x, low)
            return x if high is None else self.emit("minimum", x, high)
        if name == "zeros_like":
            return self.number(0.0, width)
        if name in ("clone", "detach"):
            return args[0]
        if name == "softplus":
            x, beta, threshold = args
            z = self.emit("mul", x, beta)
            small = self.emit("exp", self.emit("neg", self.emit("abs", z)))
            soft = self.emit("add", self.emit("relu", z), self.emit("log1p", small))
            soft = self.emit("div", soft, beta)
            return self.emit("where", self.emit("gt", z, threshold), x, soft)
        return self.emit(name, *args, width=width) if name in OPCODES else None

    def along(self, name: str, line: Instruction, args: list[Any]) -> Operand | None:
        """Reductions over the last dim, and the ops that are made of them."""
        if name not in (*REDUCTIONS, "softmax", "log_softmax", "logsumexp"):
            return None
        x, dim = args[0], args[1]
        dim = dim[0] if isinstance(dim, tuple | list) and len(dim) == 1 else dim
        if not rows.last(dim, len(line.args[0].shape)):
            raise NotFusedError(f"{name} mixes rows: {line}", True)
        if name in REDUCTIONS:
            return self.emit(name, x)
        top = self.emit("amax", x)
        if name == "logsumexp":  # which an infinity makes infinite, not NaN
            finite = self.emit("lt", self.emit("abs", top), math.inf)
            top = self.emit("where", finite, top, 0.0)
        shifted = self.emit("sub", x, top)
        exps = self.emit("exp", shifted)
        total = self.emit("sum", exps)
        if name == "softmax":
            return self.emit("div", exps, total)
        log = self.emit("log", total)
        return (
            self.emit("add", log, top)
            if name == "logsumexp"
            else self.emit("sub", shifted, log)
        )

    def split(self, line: Instruction) -> None:
        x = self.env[line.args[0]]
        if not rows.last(line.args[2], len(line.args[0].shape)):
            raise NotFusedError(f"split mixes rows: {line}", True)
        column = x.column
        for v in line.outputs:
            self.env[v] = Operand(x.value, column, v.shape[-1])
            column += v.shape[-1]

    def cat(self, parts: Iterable[Operand]) -> Operand:
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        whole = self.new(sum(p.width for p in parts))
        column = 0
        for part in parts:
            self.settle(part, Operand(whole.value, column, part.width))
            column += part.width
        return whole

    def product(self, line: Instruction, args: list[Any]) -> Operand:
        weight = line.args[1]
        if weight not in self.fixed or not isinstance(args[0], Operand):
            raise NotFusedError(f"a product of rows with what is no weight: {line}")
        out = self.new(weight.shape[1])
        return self.add(Item("product", out, [args[0], self.fixed[weight]]))

    def readers(self, value: Value) -> list[Item]:
        return [i for i in self.items if any(a.value is value for a in i.reads)]
