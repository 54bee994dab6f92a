"""The time loop in plain numpy, name for name the twin of `_loop.pyx`: read this first.

A machine runs the code of one step for every step of a sequence. Rows are examples,
the longest first, so that the rows still running at a step are the first ones.

A buffer is a place that the code reads or writes, `width` numbers a row:

- ROWS: one row an example, the same at each step;
- VECTOR: one row for all;
- STREAM: a row for each example at each step, steps in order of time;
- LOCAL: a few rows that live within a phase, at hand in the cache;
- READ, WRITE: a carry, as it comes into the step and as it leaves it.

A carry's array has two halves (2, B, width) that take turns as READ and WRITE, both
with the initial state at first; or, if it is `kept`, T + 1 blocks of B rows, so that
every state stays, and then no row may end before the others.

The code is a flat sequence of int32, phase after phase:

- PRODUCT, out, column, width, n, then n times (left, column, inner, weight): the sum of
  n products of rows with weights that `pack` made ready;
- PRODUCT_SUM, then (place, column) of rows, of a vector and of another one, -1 for what
  there is not, and then as PRODUCT: (rows + vector) + that sum + the other vector;
- ROWWISE, n, then n segments: width, n, then n instructions: opcode, then (place,
  column) of the result and of three operands, -1 for one that the opcode doesn't have.

A place is the index of a buffer, or -2 - r for the register r, whose values live until
the segment ends. An instruction of a segment of width w reads and writes w columns, but
for those that ONE_COLUMN names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .op import OPS

Array = np.ndarray[Any, Any]

SIMD = "numpy"
"""The instruction set in use; MINIGRAD_SIMD chooses it."""

SIMD_SUPPORTED = (SIMD,)
"""Those that this machine has, the best first."""

ROWS, VECTOR, STREAM, LOCAL, READ, WRITE = range(6)
PRODUCT, ROWWISE, PRODUCT_SUM = range(3)

ELEMENTWISE = [
    "add",
    "sub",
    "mul",
    "div",
    "neg",
    "pow",
    "abs",
    "square",
    "reciprocal",
    "sign",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "relu",
    "silu",
    "softsign",
    "maximum",
    "minimum",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_not",
    "where",
]
"""Ops of the table that are opcodes of the same name and arguments."""

COMBINED: dict[str, Callable[..., Array]] = {
    "muladd": lambda a, b, c: a * b + c,
    "add3": lambda a, b, c: a + b + c,
    "mulrest": lambda a, b: a * (1 - b),
    "mulmulrest": lambda a, b: a * b * (1 - b),
    "muladdrest": lambda a, b: (a * b + a) * (1 - b),
}
"""Opcodes that do the work of two to four: rows are read and written less often."""


def _mean(x: Array) -> Array:
    total: Array = np.sum(x, -1, keepdims=True)
    return total / x.dtype.type(x.shape[-1])


ALONG: dict[str, Callable[..., Array]] = {
    "sum": lambda x: OPS["sum"].forward(x, -1, True),
    "amax": lambda x: OPS["amax"].forward(x, -1, True),
    "amin": lambda x: OPS["amin"].forward(x, -1, True),
    "rstd": lambda x, eps: 1 / np.sqrt(_mean((x - _mean(x)) ** 2) + eps),
    "standardize": lambda x, scale: (x - _mean(x)) * scale,
    "standardize_grad": lambda g, y, scale: OPS["standardize_grad"].forward(
        g, y, scale
    ),
}
"""Opcodes that see whole rows: the columns of the segment are all of them."""

OPCODES = {
    name: i
    for i, name in enumerate(
        # copy(x); spread(x): one column, repeated.
        [*ELEMENTWISE, *COMBINED, "copy", "spread", *ALONG]
    )
}
"""The number of each opcode."""

ONE_COLUMN = {
    "spread": (1,),
    **dict.fromkeys(["sum", "amax", "amin"], (0,)),
    "rstd": (0, 2),
    "standardize": (2,),
    "standardize_grad": (3,),
}
"""Which of the result, 0, and the operands are one column, whatever the segment is."""


def get_num_threads() -> int:
    """How many threads run a loop or a large product."""
    return 1


def set_num_threads(n: int) -> None:
    """Nothing depends on their number but the time."""


def pack(weight: Array) -> Array:
    """A weight (K, N) as products read it."""
    return weight


def product(x: Array, packed: Array, width: int) -> Array:
    """x (..., K) times a packed weight: (..., width)."""
    return np.ascontiguousarray(x) @ packed


GRAM_ROWS = 256
"""The most rows of a sum that are added up by themselves."""


MOST_LEFTS = 16
"""The most x that `sums` takes."""


def sums(
    rows: Sequence[Array],
    total: bool,
    out: Sequence[Array] | None = None,
    block: int = GRAM_ROWS,
    ascending: bool = False,
) -> tuple[Array, ...]:
    """Sums over all rows of (*x, y), of which each is (..., K) and y is (..., N).

    For each x the sum of the products of its rows with those of y, (K, N); then, if
    `total`, the sum of the rows of y, (N,).

    Blocks of rows are added up by themselves, then to each other, from the last one
    on, or from the first if `ascending`. So rows that are cut at a multiple of `block`,
    from where the sum begins, can be summed apart, with what the others gave as `out`,
    to which the sums are added in place: the bits are the same.
    """
    *lefts, y = (x.reshape(-1, x.shape[-1]) for x in rows)
    found = [x.T @ y for x in lefts]
    if total:
        found.append(y.sum(0))
    if out is None:
        return tuple(found)
    return tuple(np.add(o, x, o) for o, x in zip(out, found, strict=True))


def gram(
    x: Array,
    y: Array,
    out: Array | None = None,
    block: int = GRAM_ROWS,
    ascending: bool = False,
) -> Array:
    """The sum over all rows of x (..., K) and y (..., N) of their products: (K, N)."""
    return sums((x, y), False, None if out is None else (out,), block, ascending)[0]


def sum_rows(
    x: Array,
    out: Array | None = None,
    block: int = GRAM_ROWS,
    ascending: bool = False,
) -> Array:
    """The sum over all rows of x (..., N): (N,)."""
    return sums((x,), True, None if out is None else (out,), block, ascending)[0]


class Machine:
    """The code of a step, made ready to run.

    kinds, widths: of each buffer. kept: for each READ or WRITE buffer, whether its
    array keeps every state.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        kinds: Sequence[int],
        widths: Sequence[int],
        kept: Sequence[bool],
        code: Sequence[int],
        n_registers: int,
    ) -> None:
        self.dtype = dtype
        self.kinds = kinds
        self.widths = widths
        self.kept = kept
        self.code = list(code)

    def run(
        self,
        arrays: Sequence[Array | None],
        weights: Sequence[Array],
        sizes: Array,
        reverse: bool,
    ) -> None:
        """Run all steps. arrays: of each buffer, None for a LOCAL one.

        sizes: int64 (T,), the number of rows at each step. Arrays are C-contiguous, of
        the machine's dtype, and of the size that the buffer's kind says.
        """
        self.run_from(0, arrays, weights, sizes, reverse)

    def prepare(
        self, arrays: Sequence[Array | None], weights: Sequence[Array], rows: int
    ) -> Steps:
        """The machine on arrays for one step of so many rows, to be run many times."""
        return Steps(self, arrays, weights, rows)

    def run_from(
        self,
        turn: int,
        arrays: Sequence[Array | None],
        weights: Sequence[Array],
        sizes: Array,
        reverse: bool,
    ) -> None:
        """`run`; turn: the half of a carry that is read first."""
        starts = np.cumsum(sizes) - sizes
        local = {
            i: np.empty((int(sizes.max()), w), self.dtype)
            for i, (kind, w) in enumerate(zip(self.kinds, self.widths, strict=True))
            if kind == LOCAL
        }
        for i in range(len(sizes)):
            t = len(sizes) - 1 - i if reverse else i
            rows = [
                local[b][: sizes[t]]
                if array is None
                else self._rows(b, array, i + turn, t, starts[t], sizes, reverse)
                for b, array in enumerate(arrays)
            ]
            self._step(rows, weights)

    def _rows(
        self,
        b: int,
        array: Array,
        i: int,
        t: int,
        start: int,
        sizes: Array,
        reverse: bool,
    ) -> Array:
        """The rows of a buffer that the step t sees, which is the i-th to run."""
        kind, n, flat = self.kinds[b], sizes[t], array.reshape(-1, self.widths[b])
        if kind == VECTOR:
            return flat
        if kind == ROWS:
            first = 0
        elif kind == STREAM:
            first = start
        elif self.kept[b]:
            first = (t + (reverse == (kind == READ))) * n
        else:
            first = ((i + (kind == WRITE)) % 2) * (len(flat) // 2)
        return flat[first : first + n]

    def _step(self, rows: Sequence[Array], weights: Sequence[Array]) -> None:
        code = iter(self.code)

        def take(n: int) -> list[int]:
            return [next(code) for _ in range(n)]

        for phase in code:
            if phase != ROWWISE:
                more = take(6) if phase == PRODUCT_SUM else [-1, 0] * 3
                out, column, width, n = take(4)
                total: Any = 0
                for left, start, inner, weight in (take(4) for _ in range(n)):
                    x = rows[left][:, start : start + inner]
                    total = total + x @ weights[weight]
                first, vector, last = (
                    None if place == -1 else rows[place][:, c : c + width]
                    for place, c in zip(more[::2], more[1::2], strict=True)
                )
                before = [v for v in (first, vector) if v is not None]
                total = sum(before) + total if before else total
                rows[out][:, column : column + width] = (
                    total if last is None else total + last
                )
            else:
                for _ in range(*take(1)):
                    self._segment(rows, take)

    def _segment(self, rows: Sequence[Array], take: Callable[[int], list[int]]) -> None:
        width, n = take(2)
        registers: dict[int, Array] = {}
        for _ in range(n):
            opcode, out, out_column, *operands = take(9)
            name = NAMES[opcode]
            places = zip(operands[::2], operands[1::2], strict=True)
            wide = [width] * 4
            for i in ONE_COLUMN.get(name, ()):
                wide[i] = 1
            args = [
                registers[place] if place < -1 else rows[place][:, c : c + wide[i]]
                for i, (place, c) in enumerate(places, 1)
                if place != -1
            ]
            y = run_opcode(name, args, width)
            if out < -1:
                registers[out] = y
            else:
                rows[out][:, out_column : out_column + y.shape[1]] = y


NAMES = list(OPCODES)


def run_opcode(name: str, args: list[Array], width: int) -> Array:
    """What an opcode makes of rows; comparisons give 0 and 1 as numbers."""
    if name == "copy":
        return args[0]
    if name == "spread":
        return np.broadcast_to(args[0], (len(args[0]), width))
    if name in COMBINED or name in ALONG:
        with np.errstate(all="ignore"):
            return {**COMBINED, **ALONG}[name](*args)
    dtype = args[0].dtype
    if name in ("where", "logical_not", "logical_and", "logical_or"):
        n = 1 if name == "where" else 2
        args = [a.astype(bool) if i < n else a for i, a in enumerate(args)]
    with np.errstate(all="ignore"):
        y: Array = OPS[name].forward(*args).astype(dtype, copy=False)
    return y


class Steps:
    """A machine on arrays for one step: each `step()` reads what the last one wrote."""

    def __init__(
        self,
        machine: Machine,
        arrays: Sequence[Array | None],
        weights: Sequence[Array],
        rows: int,
    ) -> None:
        self.machine = machine
        self.given = arrays, weights, np.array([rows])
        self.turn = 0

    def step(self) -> None:
        """Run the step."""
        self.machine.run_from(self.turn, *self.given, False)
        self.turn ^= 1
