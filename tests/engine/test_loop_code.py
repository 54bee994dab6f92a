"""The compiled machine refuses code and arrays that would lead a kernel astray."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import _loop
from minigrad._loop_py import (
    LOCAL,
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
from minigrad.errors import ArgumentError, DTypeError

NOTHING = (-1, -1)

ADD, SUM, SPREAD, COPY = (OPCODES[name] for name in ("add", "sum", "spread", "copy"))
KINDS = [ROWS, STREAM, VECTOR, READ, WRITE, LOCAL]
WIDTHS = [8, 8, 8, 8, 8, 8]
"""The buffers 0 to 5 of the codes below, which have two registers."""


def rowwise(*lines, width=8):
    return [ROWWISE, 1, width, len(lines), *[v for line in lines for v in line]]


def line(opcode, out, x, y=NOTHING, z=NOTHING):
    return [opcode, *out, *x, *y, *z]


def built(code, kinds=KINDS, widths=WIDTHS, kept=None, n_registers=2):
    kept = [False] * len(kinds) if kept is None else kept
    return _loop.Machine(np.dtype(np.float32), kinds, widths, kept, code, n_registers)


GOOD = [
    [PRODUCT, 0, 0, 8, 1, 3, 0, 8, 0],
    [PRODUCT, 4, 2, 3, 2, 1, 0, 8, 0, 3, 5, 3, 1],
    [PRODUCT, 0, 0, 4, 1, 0, 4, 4, 0],
    [PRODUCT_SUM, 1, 0, 2, 0, -1, 0, 0, 0, 8, 1, 3, 0, 8, 0],
    [PRODUCT_SUM, 0, 4, -1, 0, 2, 4, 0, 0, 4, 1, 3, 0, 4, 0],
    rowwise(line(ADD, (0, 0), (1, 0), (2, 0))),
    rowwise(line(COPY, (-2, 0), (3, 0)), line(ADD, (0, 0), (-2, 0), (-2, 0))),
    rowwise(line(SUM, (0, 7), (1, 0)), line(SPREAD, (0, 0), (0, 7))),
    rowwise(line(SUM, (-2, 0), (1, 0)), line(SPREAD, (-2, 0), (-2, 0))),
    rowwise(line(COPY, (5, 0), (1, 0)), line(COPY, (4, 0), (5, 0))),
    [],
    [ROWWISE, 0],
]


@pytest.mark.parametrize("code", GOOD)
def test_code_that_is_good(code):
    built(code)


BAD = [
    ([7], "no phase 7"),
    ([-1], "no phase -1"),
    ([PRODUCT, 0, 0], "ends too early"),
    ([PRODUCT, 0, 0, 8, 1, 3, 0], "ends too early"),
    ([PRODUCT, 0, 0, 8, 2**30], "ends too early"),
    ([ROWWISE], "ends too early"),
    ([ROWWISE, 1, 8, 1, ADD], "ends too early"),
    ([ROWWISE, -1], "a phase of -1 segments"),
    ([ROWWISE, 1, 8, -1], "a segment of -1 instructions"),
    ([PRODUCT, 0, 0, 8, 0], "a product of nothing"),
    ([PRODUCT, 9, 0, 8, 1, 3, 0, 8, 0], "no buffer 9"),
    ([PRODUCT_SUM, 1, 0], "ends too early"),
    ([PRODUCT_SUM, 9, 0, -1, 0, -1, 0, 0, 0, 8, 1, 3, 0, 8, 0], "no buffer 9"),
    (
        [PRODUCT_SUM, 1, 1, -1, 0, -1, 0, 0, 0, 8, 1, 3, 0, 8, 0],
        "columns 1 to 9 of buffer 1",
    ),
    (
        [PRODUCT_SUM, 2, 0, -1, 0, -1, 0, 0, 0, 8, 1, 3, 0, 8, 0],
        "rows are added to a product, then vectors: not buffer 2",
    ),
    (
        [PRODUCT_SUM, -1, 0, 1, 0, -1, 0, 0, 0, 8, 1, 3, 0, 8, 0],
        "rows are added to a product, then vectors: not buffer 1",
    ),
    (
        [PRODUCT_SUM, 0, 3, -1, 0, -1, 0, 0, 0, 4, 1, 3, 0, 8, 0],
        "writes the columns of buffer 0 that are added to it",
    ),
    (
        [PRODUCT_SUM, 5, 0, -1, 0, -1, 0, 0, 0, 8, 1, 3, 0, 8, 0],
        "a local buffer lives within a phase",
    ),
    ([PRODUCT, -2, 0, 8, 1, 3, 0, 8, 0], "no buffer -2"),
    ([PRODUCT, 0, 1, 8, 1, 3, 0, 8, 0], "columns 1 to 9 of buffer 0"),
    ([PRODUCT, 0, -1, 8, 1, 3, 0, 8, 0], "columns -1 to 7 of buffer 0"),
    ([PRODUCT, 0, 0, 0, 1, 3, 0, 8, 0], "columns 0 to 0 of buffer 0"),
    ([PRODUCT, 0, 0, 8, 1, 3, 4, 8, 0], "columns 4 to 12 of buffer 3"),
    ([PRODUCT, 0, 0, 8, 1, 3, 0, 8, -1], "no weight -1"),
    ([PRODUCT, 3, 0, 8, 1, 1, 0, 8, 0], "buffer 3 can't be written"),
    ([PRODUCT, 2, 0, 8, 1, 1, 0, 8, 0], "buffer 2 can't be written"),
    ([PRODUCT, 5, 0, 8, 1, 1, 0, 8, 0], "a local buffer lives within a phase"),
    ([PRODUCT, 0, 0, 8, 1, 5, 0, 8, 0], "a local buffer lives within a phase"),
    ([PRODUCT, 0, 0, 4, 1, 0, 3, 4, 0], "columns of buffer 0 that it reads"),
    ([PRODUCT, 0, 0, 4, 2, 1, 0, 4, 0, 1, 0, 8, 0], "weight 0 of two sizes"),
    ([ROWWISE, 1, 0, 0], "a segment of width 0"),
    (rowwise(line(99, (0, 0), (1, 0))), "no opcode 99"),
    (rowwise(line(-1, (0, 0), (1, 0))), "no opcode -1"),
    (rowwise(line(ADD, (0, 0), (1, 0))), "no buffer|no register"),
    (rowwise(line(COPY, (0, 0), (1, 0), (1, 0))), "copy has no operand 2"),
    (rowwise(line(COPY, NOTHING, (1, 0))), "no register"),
    (rowwise(line(COPY, (0, 0), (1, 1))), "columns 1 to 9 of buffer 1"),
    (rowwise(line(COPY, (0, 1), (1, 0))), "columns 1 to 9 of buffer 0"),
    (rowwise(line(COPY, (0, 0), (6, 0))), "no buffer 6"),
    (rowwise(line(COPY, (-4, 0), (1, 0))), "no register 2"),
    (rowwise(line(COPY, (0, 0), (-9, 0))), "no register 7"),
    (rowwise(line(COPY, (0, 0), (-3, 0))), "register 1 before it is set"),
    (rowwise(line(COPY, (2, 0), (1, 0))), "buffer 2 can't be written"),
    (rowwise(line(COPY, (0, 0), (0, 1)), width=7), "writes part of what it reads"),
    (rowwise(line(COPY, (0, 0), (5, 0))), "its phase hasn't written"),
    (
        rowwise(line(SUM, (-2, 0), (1, 0)), line(COPY, (0, 0), (-2, 0))),
        "8 columns of register 0, which has 1",
    ),
    (
        rowwise(line(COPY, (-2, 0), (1, 0)), line(SPREAD, (0, 0), (-2, 0))),
        "1 columns of register 0, which has 8",
    ),
    (
        [*rowwise(line(COPY, (-2, 0), (1, 0))), *rowwise(line(COPY, (0, 0), (-2, 0)))],
        "register 0 before it is set",
    ),
]


@pytest.mark.parametrize(("code", "message"), BAD)
def test_code_that_is_bad(code, message):
    with pytest.raises(ArgumentError, match=message):
        built(code)


@given(st.data())
def test_code_with_a_wrong_number_is_refused_or_runs(data):
    """No number of a code leads anywhere but to an error or to its own buffers."""
    code = list(data.draw(st.sampled_from([c for c in GOOD if c])))
    wrong = st.one_of(st.integers(-12, 50), st.sampled_from([2**31 - 1, -(2**31)]))
    for _ in range(data.draw(st.integers(1, 3))):
        code[data.draw(st.integers(0, len(code) - 1))] = data.draw(wrong)
    try:
        machine = built(code)
        machine.run(*arguments(), False)
    except ArgumentError:
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": [*KINDS[:5], 6]}, "kinds"),
        ({"kinds": KINDS[:5]}, "5 kinds, 6 widths"),
        ({"widths": [*WIDTHS[:5], -1]}, "widths"),
        ({"kept": [False]}, "1 of kept"),
        ({"n_registers": -1}, "-1 registers"),
    ],
)
def test_buffers_that_are_bad(change, message):
    with pytest.raises(ArgumentError, match=message):
        built([], **change)


def test_a_dtype_that_no_machine_has():
    with pytest.raises(DTypeError, match="float32 or float64, not int64"):
        _loop.Machine(np.dtype(np.int64), [], [], [], [], 0)


# -- bad arrays ----------------------------------------------------------------------


def arguments(**changes):
    """Arrays, weights and sizes of three steps of two rows; some replaced."""
    carry = np.zeros((2, 2, 8), np.float32)
    arrays = [
        np.zeros((2, 8), np.float32),
        np.zeros((6, 8), np.float32),
        np.zeros(8, np.float32),
        carry,
        carry,
        None,
    ]
    weights = [_loop.pack(np.zeros((8, 8), np.float32))] * 2
    sizes = np.array([2, 2, 2])
    for name, value in changes.items():
        if name == "weights":
            weights = value
        elif name == "sizes":
            sizes = value
        else:
            arrays[int(name[1:])] = value
    return arrays, weights, sizes


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def read_only(x):
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_0": None}, "buffer 0 must be a C-contiguous float32 array"),
        ({"_0": [1.0] * 16}, "buffer 0 must be a C-contiguous float32 array"),
        ({"_0": zeros(2, 8, dtype=float)}, "buffer 0 must be a C-contiguous float32"),
        ({"_0": zeros(2, 8).astype(">f4")}, "buffer 0 must be a C-contiguous float32"),
        ({"_0": zeros(8, 2).T}, "buffer 0 must be a C-contiguous float32 array"),
        ({"_0": read_only(zeros(2, 8))}, "the code writes buffer 0, a read-only array"),
        ({"_0": zeros(1, 8)}, "buffer 0 must have at least 2 rows of 8 columns"),
        ({"_0": zeros(17)}, "buffer 0 must have at least 2 rows of 8 columns"),
        ({"_1": zeros(5, 8)}, "buffer 1 must have 6 rows of 8 columns"),
        ({"_1": zeros(7, 8)}, "buffer 1 must have 6 rows of 8 columns"),
        ({"_2": zeros(9)}, "buffer 2 must have one row of 8 columns"),
        ({"_3": zeros(2, 1, 8)}, "buffer 3 must have two halves of at least 2 rows"),
        ({"_3": zeros(5, 8)}, "buffer 3 must have two halves of at least 2 rows"),
        ({"_5": zeros(2, 8)}, "buffer 5 is local"),
        ({"weights": []}, "no packed weight 0"),
        ({"weights": [zeros(8, 8)]}, "no packed weight 0"),
        ({"weights": [_loop.pack(zeros(8, 9))]}, r"\(8, 8\), not float32 \(8, 9\)"),
        (
            {"weights": [_loop.pack(zeros(8, 8, dtype=float))]},
            r"float32 \(8, 8\), not float64 \(8, 8\)",
        ),
        ({"sizes": [2, 2, 2]}, "sizes must be a C-contiguous int64 array"),
        ({"sizes": np.array([2.0])}, "sizes must be a C-contiguous int64 array"),
        (
            {"sizes": np.array([2, 2, 2])[::2]},
            "sizes must be a C-contiguous int64 array",
        ),
        ({"sizes": np.array([7, -1])}, "step 1 has -1 rows"),
    ],
)
def test_arrays_that_are_bad(changes, message):
    machine = built(GOOD[0])
    machine.run(*arguments(), False)
    with pytest.raises(ArgumentError, match=message):
        machine.run(*arguments(**changes), False)


def test_a_carry_that_keeps_all_states():
    machine = built(GOOD[3], kept=[False, False, False, True, True, False])
    for x in (zeros(3, 2, 8), zeros(5, 2, 8)):
        with pytest.raises(ArgumentError, match="4 times 2 rows, as many at each step"):
            machine.run(*arguments(_3=x, _4=x), False)
    ragged = arguments(_1=zeros(3, 8), _3=zeros(6, 8), _4=zeros(6, 8))[:2]
    with pytest.raises(ArgumentError, match="as many at each step"):
        machine.run(*ragged, np.array([2, 1]), False)


def test_no_steps_do_nothing():
    none = np.array([], np.int64)
    built(GOOD[0]).run(*arguments(_1=zeros(0, 8), sizes=none), False)
    built(GOOD[0]).run(*arguments(_1=zeros(0, 8), sizes=np.array([0, 0])), False)
