"""The compiled machine and its plain twin run any code alike, and refuse bad code."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import _loop, _loop_py
from minigrad._loop_py import (
    LOCAL,
    OPCODES,
    PRODUCT,
    READ,
    ROWS,
    ROWWISE,
    STREAM,
    VECTOR,
    WRITE,
)
from minigrad.errors import ArgumentError, DTypeError, MinigradError

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
NOTHING = (-1, -1)
ROUNDED = {"eq", "ne", "lt", "le", "gt", "ge", "sign", "where"}
ROUNDED |= {"logical_and", "logical_or", "logical_not"}
"""What turns a difference in the last place into one of the first."""
TAME = set(OPCODES) - ROUNDED - {"pow", "div", "log", "log1p", "sqrt", "exp", "expm1"}
BINARY = {"add", "sub", "mul", "div", "pow", "maximum", "minimum"}
BINARY |= {"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"}
REDUCTIONS = {"sum", "amax", "amin"}


def arity(name):
    return 3 if name == "where" else 2 if name in BINARY else 1


def instruction(name, out, *operands):
    places = [out, *operands, *[NOTHING] * (3 - len(operands))]
    return [OPCODES[name], *[number for place in places for number in place]]


def register(r):
    return (-2 - r, 0)


# -- random programs -----------------------------------------------------------------


class Draw:
    """A random program, buffer by buffer and phase by phase."""

    def __init__(self, draw):
        self.draw = draw
        self.batch = draw(st.integers(1, 40))
        n_steps = draw(st.integers(1, 5))
        self.ragged = draw(st.booleans())
        sizes = [self.batch] * n_steps
        if self.ragged:
            sizes = sorted((self.integer(0, self.batch) for _ in sizes), reverse=True)
        self.sizes = np.array(sizes, np.int64)
        self.kinds, self.widths, self.kept, self.pairs = [], [], [], {}
        for kind in (ROWS, STREAM, VECTOR, *(self.integer(0, 2) for _ in range(3))):
            self.buffer(kind)
        for _ in range(self.integer(1, 2)):
            kept = not self.ragged and draw(st.booleans())
            width = self.width()
            self.buffer(READ, width, kept)
            self.buffer(WRITE, width, kept)
            self.pairs[len(self.kinds) - 1] = len(self.kinds) - 2
        self.buffer(LOCAL)
        self.weights, self.code, self.n_registers = [], [], 0
        for _ in range(self.integer(1, 4)):
            self.product() if self.draw(st.booleans()) else self.rowwise()

    def integer(self, low, high):
        return self.draw(st.integers(low, high))

    def width(self):
        return self.draw(st.sampled_from([1, 2, 3, 7, 16, 17, 40, 64, 130, 600]))

    def buffer(self, kind, width=None, kept=False):
        self.kinds.append(kind)
        self.widths.append(width or self.width())
        self.kept.append(kept)

    def columns(self, buffers, width=None):
        """(buffer, column, width): some of its columns, or None."""
        fit = [b for b in buffers if self.widths[b] >= (width or 1)]
        if not fit:
            return None
        b = self.draw(st.sampled_from(fit))
        width = width or self.integer(1, self.widths[b])
        return b, self.integer(0, self.widths[b] - width), width

    def which(self, *kinds):
        return [b for b, kind in enumerate(self.kinds) if kind in kinds]

    def product(self):
        out, column, width = self.columns(self.which(ROWS, STREAM, WRITE))
        left = [b for b in self.which(ROWS, STREAM, READ, VECTOR) if b != out]
        n = self.integer(1, 2)
        self.code += [PRODUCT, out, column, width, n]
        for _ in range(n):
            b, start, inner = self.columns(left)
            self.code += [b, start, inner, len(self.weights)]
            self.weights.append((inner, width))

    def rowwise(self):
        n = self.integer(1, 2)
        self.code += [ROWWISE, n]
        self.local = []
        for _ in range(n):
            self.segment()

    def segment(self):
        _, _, width = self.columns(self.which(ROWS, STREAM, READ))
        self.registers = {}
        code = [self.instruction(width) for _ in range(self.integer(1, 6))]
        self.code += [width, len(code), *[number for line in code for number in line]]

    def instruction(self, width):
        name = self.draw(st.sampled_from(sorted(TAME)))
        wide = 1 if name == "spread" else width
        operands = [self.operand(wide) for _ in range(arity(name))]
        return instruction(name, self.result(name, width, operands), *operands)

    def operand(self, width):
        ready = [r for r, w in self.registers.items() if w == width]
        if ready and self.draw(st.booleans()):
            return register(self.draw(st.sampled_from(ready)))
        local = [place for place in self.local if place[2] == width]
        if local and self.draw(st.booleans()):
            return self.draw(st.sampled_from(local))[:2]
        found = self.columns(self.which(ROWS, STREAM, READ, VECTOR), width)
        return found[:2]

    def result(self, name, width, operands):
        width = 1 if name in REDUCTIONS else width
        to = self.which(ROWS, STREAM, WRITE, LOCAL)
        found = self.columns(to, width) if self.draw(st.booleans()) else None
        if found is None or any(
            found[0] == b and found[1] != c and abs(found[1] - c) < width
            for b, c in operands
        ):
            r = self.integer(0, 3)
            self.n_registers = max(self.n_registers, r + 1)
            self.registers[r] = width
            return register(r)
        if self.kinds[found[0]] == LOCAL:
            self.local.append(found)
        return found[:2]

    def arrays(self, dtype):
        rng = np.random.default_rng(0)
        rows = {ROWS: self.batch, VECTOR: 1, STREAM: int(self.sizes.sum())}
        arrays = []
        for b, kind in enumerate(self.kinds):
            if kind == LOCAL:
                arrays.append(None)
            elif b in self.pairs:
                arrays.append(arrays[self.pairs[b]])
            else:
                n = rows.get(kind)
                if n is None:
                    n = (len(self.sizes) + 1 if self.kept[b] else 2) * self.batch
                x = rng.uniform(-2, 2, (n, self.widths[b]))
                arrays.append(x.astype(dtype))
        weights = [(rng.uniform(-1, 1, s) / s[0]).astype(dtype) for s in self.weights]
        return arrays, weights

    def machine(self, module, dtype):
        return module.Machine(
            np.dtype(dtype),
            self.kinds,
            self.widths,
            self.kept,
            self.code,
            self.n_registers,
        )

    def run(self, module, dtype, reverse):
        arrays, weights = self.arrays(dtype)
        weights = [module.pack(w) for w in weights]
        self.machine(module, dtype).run(arrays, weights, self.sizes, reverse)
        return arrays


programs = st.composite(lambda draw: Draw(draw))()


@given(programs, st.sampled_from([np.float32, np.float64]), st.booleans())
def test_any_program_runs_as_in_the_twin(program, dtype, reverse):
    found = program.run(_loop, dtype, reverse)
    expected = program.run(_loop_py, dtype, reverse)
    for x, y in zip(found, expected, strict=True):
        if y is not None and y.size:
            # Of what the numbers came from, too: a sum may cancel.
            scale = max(1, abs(y).max()) * 600
            assert abs(x - y).max() <= TOLERANCE[dtype] * scale
