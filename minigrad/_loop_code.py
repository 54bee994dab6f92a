"""The code of a machine, read and checked, so that none can lead a kernel astray."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ._loop_py import (
    ALONG,
    LOCAL,
    NAMES,
    ONE_COLUMN,
    OPCODES,
    PRODUCT,
    PRODUCT_SUM,
    READ,
    ROWS,
    ROWWISE,
    STREAM,
    VECTOR,
    WRITE,
)
from .errors import ArgumentError

Place = tuple[int, int, int]
"""Columns of a buffer or a register: (place, column, width)."""

BINARY = "add sub mul div pow maximum minimum eq ne lt le gt ge logical_and logical_or"
ARITIES = {
    **dict.fromkeys(OPCODES, 1),
    **dict.fromkeys([*BINARY.split(), "rstd", "standardize"], 2),
    **dict.fromkeys(["mulrest", "mulmulrest", "muladdrest"], 2),
    **dict.fromkeys(["where", "muladd", "add3", "standardize_grad"], 3),
}


NOTHING = [-1, 0]
"""The place and the column of what there is not."""


class Phase(NamedTuple):
    """A phase: of rows, segments first to last; or a product, terms first to last.

    hand: the numbers of a row that a phase of rows has at hand; streams: those that it
    reads or writes. out, column, width: where a product goes; added: the place and the
    column of rows and of two vectors that are added to it.
    """

    rowwise: bool
    first: int
    last: int
    hand: int = 0
    streams: Sequence[int] = ()
    out: int = 0
    column: int = 0
    width: int = 0
    added: Sequence[tuple[int, int]] = ()


def need(holds: bool, message: str) -> None:
    """Raise ArgumentError unless the condition holds."""
    if not holds:
        raise ArgumentError(f"Machine: {message}")


class Reader:
    """The phases, segments, instructions and terms of a code, all of them checked."""

    def __init__(
        self,
        kinds: Iterable[int],
        widths: Iterable[int],
        kept: Iterable[bool],
        code: Iterable[int],
        n_registers: int,
    ) -> None:
        self.kinds = [int(kind) for kind in kinds]
        self.widths = [int(width) for width in widths]
        self.kept = [bool(k) for k in kept]
        self.n_registers = int(n_registers)
        n = len(self.kinds)
        need(
            len(self.widths) == len(self.kept) == n,
            f"{n} kinds, {len(self.widths)} widths and {len(self.kept)} of kept",
        )
        need(all(ROWS <= kind <= WRITE for kind in self.kinds), f"kinds {self.kinds}")
        need(all(0 <= w < 2**31 for w in self.widths), f"widths {self.widths}")
        need(0 <= self.n_registers < 2**16, f"{self.n_registers} registers")
        self.code = [int(number) for number in code]
        self.at = 0
        self.phases: list[Phase] = []
        self.segments: list[tuple[int, bool, int, int]] = []
        self.instructions: list[tuple[int, list[Place | None]]] = []
        self.terms: list[tuple[int, int, int, int]] = []
        self.written: set[int] = set()
        self.weights: dict[int, tuple[int, int]] = {}
        while self.at < len(self.code):
            (kind,) = self.take(1)
            need(kind in (PRODUCT, ROWWISE, PRODUCT_SUM), f"there is no phase {kind}")
            if kind == ROWWISE:
                self.rowwise()
            else:
                self.product(self.take(6) if kind == PRODUCT_SUM else NOTHING * 3)

    def take(self, n: int) -> list[int]:
        """The next n numbers of the code."""
        need(0 <= n <= len(self.code) - self.at, "the code ends too early")
        self.at += n
        return self.code[self.at - n : self.at]

    def buffer(self, place: int, column: int, width: int, writes: bool) -> None:
        """Check that columns of a buffer are there, and may be written."""
        need(0 <= place < len(self.kinds), f"there is no buffer {place}")
        end = self.widths[place]
        need(
            column >= 0 and width >= 1 and column + width <= end,
            f"columns {column} to {column + width} of buffer {place}, which has {end}",
        )
        if writes:
            kind = self.kinds[place]
            need(kind not in (VECTOR, READ), f"buffer {place} can't be written")
            self.written.add(place)

    def product(self, more: list[int]) -> None:
        """A phase that is a product, and what is added to it."""
        out, column, width, n = self.take(4)
        need(n >= 1, "a product of nothing")
        self.buffer(out, column, width, True)
        first = len(self.terms)
        for _ in range(n):
            left, start, inner, weight = self.take(4)
            self.buffer(left, start, inner, False)
            need(
                left != out or start + inner <= column or column + width <= start,
                f"a product writes the columns of buffer {out} that it reads",
            )
            need(
                LOCAL not in (self.kinds[out], self.kinds[left]),
                "a local buffer lives within a phase of rows: a product can't use it",
            )
            need(weight >= 0, f"there is no weight {weight}")
            need(
                self.weights.setdefault(weight, (inner, width)) == (inner, width),
                f"weight {weight} of two sizes",
            )
            self.terms.append((left, weight, start, inner))
        places = list(zip(more[::2], more[1::2], strict=True))
        for i, (place, start) in enumerate(places):
            if place != NOTHING[0]:
                self.added(i, place, start, out, column, width)
        last = len(self.terms)
        streams = [b for b, _ in places if b >= 0 and self.kinds[b] == STREAM]
        self.phases.append(
            Phase(False, first, last, 0, streams, out, column, width, places)
        )

    def added(
        self, i: int, place: int, start: int, out: int, column: int, width: int
    ) -> None:
        """Check what is added to a product: rows first, then vectors."""
        self.buffer(place, start, width, False)
        kind = self.kinds[place]
        need(kind != LOCAL, "a local buffer lives within a phase of rows")
        need(
            (kind == VECTOR) == (i > 0),
            f"rows are added to a product, then vectors: not buffer {place}",
        )
        need(
            place != out or start + width <= column or column + width <= start,
            f"a product writes the columns of buffer {out} that are added to it",
        )

    def rowwise(self) -> None:
        """A phase of rows."""
        (n,) = self.take(1)
        need(n >= 0, f"a phase of {n} segments")
        first = len(self.segments)
        self.local: set[tuple[int, int]] = (
            set()
        )  # (buffer, column) of what this phase has written
        self.streams: set[int] = set()
        self.used: set[int] = set()  # registers
        for _ in range(n):
            self.segment()
        widest = max((s[0] for s in self.segments[first:]), default=1)
        # Of a row: the widest register, and what is at hand of it.
        hand = sum(self.widths[b] for b in {b for b, _ in self.local})
        hand += widest * len(self.used)
        last, hand = len(self.segments), max(hand, widest)
        streams = sorted(self.streams)
        self.phases.append(Phase(True, first, last, hand, streams=streams))

    def segment(self) -> None:
        """A segment of a phase of rows."""
        width, n = self.take(2)
        need(width >= 1, f"a segment of width {width}")
        need(n >= 0, f"a segment of {n} instructions")
        first = len(self.instructions)
        self.registers: dict[int, int] = {}  # the width of each that has a value
        self.writes: list[Place] = []
        self.reads: list[Place] = []
        whole = False
        for _ in range(n):
            opcode, *operands = self.take(9)
            need(0 <= opcode < len(NAMES), f"there is no opcode {opcode}")
            name = NAMES[opcode]
            whole = whole or name in ALONG
            places: list[Place | None] = [None] * 4
            earlier = len(self.reads)
            for i in (1, 2, 3, 0):  # the result may take the place of an operand
                one = i in ONE_COLUMN.get(name, ())
                places[i] = self.place(
                    name, operands[2 * i], operands[2 * i + 1], i, 1 if one else width
                )
            self.apart(name, places[0], self.reads[earlier:])
            self.instructions.append((opcode, places))
        # Columns by tiles, unless a tile would read or lose what another writes.
        whole = whole or any(
            place == other and c < d + v and d < c + w and (c, w) != (d, v)
            for place, c, w in self.writes
            for other, d, v in self.writes + self.reads
        )
        self.segments.append((width, whole, first, len(self.instructions)))

    def apart(self, name: str, result: Place | None, reads: Sequence[Place]) -> None:
        """Check that a result takes the columns of an operand, or others."""
        assert result is not None  # every opcode has one
        place, column, width = result
        for other, start, size in reads:
            need(
                other != place
                or width != size
                or start == column
                or start + size <= column
                or column + width <= start,
                f"{name} writes part of what it reads",
            )

    def place(
        self, name: str, place: int, column: int, i: int, width: int
    ) -> Place | None:
        """A place of an instruction, the i-th: (place, column, its width), or None."""
        if i > ARITIES[name]:
            need(place == -1, f"{name} has no operand {i}")
            return None
        if place >= 0:
            self.buffer(place, column, width, not i)
            columns = {(place, c) for c in range(column, column + width)}
            if self.kinds[place] == STREAM:
                self.streams.add(place)
            if i:
                self.reads.append((place, column, width))
                need(
                    self.kinds[place] != LOCAL or columns <= self.local,
                    f"{name} reads of the local buffer {place} what its phase "
                    "hasn't written",
                )
                return place, column, width
            self.writes.append((place, column, width))
            if self.kinds[place] == LOCAL:
                self.local |= columns
            return place, column, width
        register = -2 - place
        need(
            0 <= register < self.n_registers, f"{name}: there is no register {register}"
        )
        if i:
            found = self.registers.get(register)
            need(
                found is not None, f"{name} reads register {register} before it is set"
            )
            need(
                found == width,
                f"{name} reads {width} columns of register {register}, "
                f"which has {found}",
            )
        else:
            self.registers[register] = width
            self.used.add(register)
        return len(self.kinds) + register, 0, width
