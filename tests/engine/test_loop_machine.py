"""The compiled machine and its plain twin run any code alike, and refuse bad code."""

import itertools
import os
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.policy import EXACT, exact_error
from minigrad import _loop, _loop_py
from minigrad._loop_py import (
    LOCAL,
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

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
NOTHING = (-1, -1)
ROUNDED = {"eq", "ne", "lt", "le", "gt", "ge", "sign", "where"}
ROUNDED |= {"logical_and", "logical_or", "logical_not"}
"""What turns a difference in the last place into one of the first."""
TAME = set(OPCODES) - ROUNDED - {"pow", "div", "log", "log1p", "sqrt", "exp", "expm1"}
TAME -= {"rsqrt", "reciprocal", "square"}
TAME -= {"rstd"}
BINARY = {"add", "sub", "mul", "div", "pow", "maximum", "minimum"}
BINARY |= {"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"}
BINARY |= {"mulrest", "mulmulrest", "muladdrest", "rstd", "standardize"}
TERNARY = {"where", "muladd", "add3", "standardize_grad"}


def arity(name):
    return 3 if name in TERNARY else 2 if name in BINARY else 1


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
        if self.draw(st.booleans()):
            self.code += [PRODUCT_SUM]
            for kinds in ((ROWS, STREAM, READ), (VECTOR,), (VECTOR,)):
                fit = [b for b in self.which(*kinds) if b != out]
                found = self.columns(fit, width) if self.draw(st.booleans()) else None
                self.code += found[:2] if found else NOTHING
        else:
            self.code += [PRODUCT]
        self.code += [out, column, width, n]
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
        wide = [width] * 4
        for i in ONE_COLUMN.get(name, ()):
            wide[i] = 1
        operands = [self.operand(wide[i]) for i in range(1, 1 + arity(name))]
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
        width = 1 if 0 in ONE_COLUMN.get(name, ()) else width
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


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("module", [_loop, _loop_py], ids=["compiled", "plain"])
@pytest.mark.parametrize(
    "added", [*itertools.product([True, False], repeat=3)], ids=str
)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 400])
def test_what_is_added_to_a_product_is_added_in_one_order(n, added, module, dtype):
    """(rows + vector) + product + vector, to the last bit, by each kind of tile."""
    rng = np.random.default_rng(0)

    def run(code):
        out = np.empty((n, width), dtype)
        machine = module.Machine(np.dtype(dtype), kinds, widths, [False] * 5, code, 0)
        machine.run([out, x, *more], [module.pack(w)], np.array([n]), False)
        return out

    kinds = [ROWS, STREAM, STREAM, VECTOR, VECTOR]
    for inner, width in ((5, 8), (300, 45), (70, 130)):
        widths = [width, inner, width + 1, width + 2, width + 3]
        shapes = [(n, inner), *zip((n, 1, 1), widths[2:], strict=True), (inner, width)]
        x, *more, w = (rng.standard_normal(s).astype(dtype) for s in shapes)
        code = [0, 0, width, 1, 1, 0, inner, 0]
        places = [(b, b - 1) if there else NOTHING for b, there in enumerate(added, 2)]
        found = run([PRODUCT_SUM, *itertools.chain(*places), *code])
        a, b, c = (v[:, -width:] * there for v, there in zip(more, added, strict=True))
        assert exact_error(found, (a + b) + run([PRODUCT, *code]) + c) == EXACT


@pytest.mark.parametrize("parts", [2, 3, 8])
@pytest.mark.parametrize(
    "sizes", [[32] * 5, [64, 64, 20, 3], [7, 7, 2], [3], [2, 0]], ids=str
)
def test_threads_have_as_much_to_run(sizes, parts):
    cuts = _loop.shares(np.array(sizes), parts)
    assert cuts[0] == 0 and cuts[-1] == max(sizes)
    steps = [sum(size > row for size in sizes) for row in range(max(sizes))]
    shares = [sum(steps[a:b]) for a, b in itertools.pairwise(cuts)]
    assert min(shares) > 0
    assert max(shares) < sum(steps) / parts + max(steps)


@pytest.fixture(autouse=True)
def number_of_threads():
    n = _loop.get_num_threads()
    yield
    _loop.set_num_threads(n)


# -- an LSTM -------------------------------------------------------------------------


def lstm(module, dtype, width, kept, xs=STREAM):
    """xs, h, h, c, c, z: gates i f g o of xs + h @ w."""
    gates = []
    for r, name in enumerate(["sigmoid", "sigmoid", "tanh", "sigmoid"]):
        gate = register(r)
        gates += instruction("add", gate, (5, r * width), (0, r * width))
        gates += instruction(name, gate, gate)
    i, f, g, o = map(register, range(4))
    code = [PRODUCT, 5, 0, 4 * width, 1, 1, 0, width, 0]
    code += [ROWWISE, 1, width, 13, *gates]
    code += instruction("mul", f, f, (3, 0)) + instruction("mul", i, i, g)
    code += instruction("add", (4, 0), f, i) + instruction("tanh", i, (4, 0))
    code += instruction("mul", (2, 0), i, o)
    widths = [4 * width, width, width, width, width, 4 * width]
    keeps = [False, kept, kept, kept, kept, False]
    kinds = [xs, READ, WRITE, READ, WRITE, ROWS]
    return module.Machine(np.dtype(dtype), kinds, widths, keeps, code, 4)


def run_lstm(module, dtype, width, sizes, reverse=False, kept=False, rows=None):
    """h and c of all steps or of the last two, of all rows or of some."""
    rng = np.random.default_rng(0)
    n_steps, batch = len(sizes), max(sizes)
    xs = rng.standard_normal((n_steps, batch, 4 * width)).astype(dtype)
    state = rng.standard_normal((2, batch, width)).astype(dtype)
    w = (rng.standard_normal((4 * width, width)) / width**0.5).astype(dtype).T
    if rows is not None:
        xs, state, batch = xs[:, rows], state[:, rows], len(state[0, rows])
        sizes = [batch] * n_steps
    xs = np.concatenate([x[:n] for x, n in zip(xs, sizes, strict=True)])
    h, c = (np.repeat(x[None], n_steps + 1 if kept else 2, 0) for x in state)
    z = np.empty((batch, 4 * width), dtype)
    lstm(module, dtype, width, kept).run(
        [xs, h, h, c, c, z], [module.pack(w)], np.array(sizes), reverse
    )
    return h, c


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_an_lstm_of_rows_that_end(dtype, reverse):
    sizes = [90, 90, 77, 31, 31, 12, 1, 0]
    expected = run_lstm(_loop_py, dtype, 200, sizes, reverse)
    for n in (1, 2, 3, 4):
        _loop.set_num_threads(n)
        found = run_lstm(_loop, dtype, 200, sizes, reverse)
        for x, y in zip(found, expected, strict=True):
            assert abs(x - y).max() <= TOLERANCE[dtype] * abs(y).max()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_bits_of_an_example_depend_on_nothing_else(dtype):
    _loop.set_num_threads(1)
    whole = run_lstm(_loop, dtype, 70, [96] * 30, kept=True)
    for n in (2, 3, 4):
        _loop.set_num_threads(n)
        again = run_lstm(_loop, dtype, 70, [96] * 30, kept=True)
        assert [x.tobytes() for x in again] == [x.tobytes() for x in whole]
    for n in range(1, 41, 3):
        rows = slice(n, 2 * n)
        part = run_lstm(_loop, dtype, 70, [96] * 30, kept=True, rows=rows)
        for x, y in zip(part, whole, strict=True):
            assert x.tobytes() == y[:, rows].tobytes()


def test_several_python_threads_run_machines_at_once():
    _loop.set_num_threads(2)
    expected = run_lstm(_loop, np.float32, 64, [64] * 60)[0].tobytes()
    found = []

    def run():
        found.append(run_lstm(_loop, np.float32, 64, [64] * 60)[0])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [x.tobytes() for x in found] == [expected] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.filterwarnings("ignore:os.fork.* JAX")  # where a peer is loaded
def test_a_machine_runs_in_a_child_process():
    _loop.set_num_threads(2)
    expected = run_lstm(_loop, np.float32, 64, [64] * 60)[0].tobytes()
    child = os.fork()
    if child == 0:
        same = run_lstm(_loop, np.float32, 64, [64] * 60)[0].tobytes() == expected
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("n_threads", [1, 3])
def test_ctrl_c_ends_a_run(n_threads):
    # More threads than the run has parts: one is left for this thread all the same.
    _loop.set_num_threads(5)
    run_lstm(_loop, np.float32, 64, [64] * 60)
    _loop.set_num_threads(n_threads)
    machine = lstm(_loop, np.float32, 256, False, VECTOR)
    h, c = (np.zeros((2, 64, 256), np.float32) for _ in range(2))
    arrays = [np.zeros(1024, np.float32), h, h, c, c, np.zeros((64, 1024), np.float32)]
    weights = [_loop.pack(np.zeros((256, 1024), np.float32))]
    threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        machine.run(arrays, weights, np.full(1_000_000, 64), False)
    assert time.monotonic() - started < 20
    machine.run(arrays, weights, np.full(3, 64), False)
    assert not h.any()
