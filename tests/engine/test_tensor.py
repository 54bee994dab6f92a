"""Tensor: what it is made of, what it keeps, and what it refuses."""

import copy
import operator

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import ArgumentError, DTypeError, GraphError, ShapeError

F32, F64, I64, BOOL = mg.float32, mg.float64, mg.int64, mg.bool


def leaf(*values, dtype=F64):
    return mg.tensor(list(values), dtype, requires_grad=True)


# -- construction ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        pytest.param(1.5, F32, id="a float"),
        pytest.param([1, 2.5], F32, id="ints and floats"),
        pytest.param([], F32, id="an empty list"),
        pytest.param(3, I64, id="an int"),
        pytest.param([[1], [2]], I64, id="nested ints"),
        pytest.param(True, BOOL, id="a bool"),
        pytest.param(np.float64(1.5), F64, id="a numpy float64"),
        pytest.param([np.float64(1.5)], F64, id="a list of numpy float64"),
        pytest.param([np.zeros(2), np.ones(2)], F64, id="a list of float64 arrays"),
        pytest.param([mg.tensor(1.0, F64)], F64, id="a list of float64 tensors"),
        pytest.param(np.zeros(2, np.float32), F32, id="a float32 array"),
        pytest.param(np.zeros(2), F64, id="a float64 array"),
        pytest.param(np.zeros(2, np.int8), I64, id="an int8 array"),
        pytest.param(np.zeros(2, np.uint32), I64, id="a uint32 array"),
        pytest.param(np.zeros(2, bool), BOOL, id="a bool array"),
        pytest.param(mg.tensor([1.0], F64), F64, id="a tensor"),
        pytest.param(range(3), I64, id="a range"),
    ],
)
def test_the_dtype_is_that_of_the_data(data, dtype):
    x = mg.tensor(data)
    assert x.dtype == dtype
    assert np.array_equal(x.numpy(), np.array(data))
    assert not x.requires_grad and x.is_leaf and x.grad is None


def test_a_torch_tensor_is_an_array():
    x = mg.tensor(torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert x.dtype == F64 and x.tolist() == [1.0, 2.0]
    with pytest.raises(DTypeError, match="requires grad"):
        mg.tensor(torch.ones(2, requires_grad=True))


@pytest.mark.parametrize("dtype", [F32, F64, I64, BOOL], ids=str)
@pytest.mark.parametrize("data", [[1.5, 0.0], np.array([2, 0]), [True, False]])
def test_a_dtype_that_is_asked_for_is_given(data, dtype):
    assert mg.tensor(data, dtype).dtype == dtype
    assert np.array_equal(mg.tensor(data, dtype).numpy(), np.array(data).astype(dtype))


@pytest.mark.parametrize(
    ("data", "dtype", "match"),
    [
        pytest.param(np.zeros(2, np.float16), None, "float16", id="float16"),
        pytest.param([1j], None, "complex128", id="complex"),
        pytest.param(np.zeros(2, np.uint64), None, "uint64", id="uint64"),
        pytest.param("text", None, "<U4", id="text"),
        pytest.param(None, None, "object", id="None"),
        pytest.param([[1.0], [1.0, 2.0]], None, "inhomogeneous", id="ragged"),
        pytest.param([1.0, "a"], None, "expected numbers", id="numbers and text"),
        pytest.param([1.0], "float16", "must be float32", id="to float16"),
        pytest.param([1.0], "colour", "'colour'", id="to no dtype"),
        pytest.param([2**70], None, "object", id="too large for int64"),
        pytest.param([leaf(1.0)], None, "detach", id="a list of trained tensors"),
    ],
)
def test_other_data_is_refused(data, dtype, match):
    with pytest.raises(DTypeError, match=match):
        mg.tensor(data, dtype)


def test_what_a_dtype_can_not_hold_gives_no_warning():
    assert mg.tensor([1e300, np.nan]).tolist()[0] == np.inf
    assert mg.tensor(np.array([np.nan]), I64).dtype == I64
    assert mg.full((2,), 1e300).tolist() == [np.inf, np.inf]


@pytest.mark.parametrize("dtype", [I64, BOOL], ids=str)
def test_only_floats_require_grad(dtype):
    with pytest.raises(DTypeError, match="only float32 and float64"):
        mg.tensor([1], dtype, requires_grad=True)
    with pytest.raises(DTypeError, match="only float32 and float64"):
        mg.tensor([1], dtype).requires_grad_()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (mg.zeros(2, 3), np.zeros((2, 3), np.float32)),
        (mg.zeros((2, 3)), np.zeros((2, 3), np.float32)),
        (mg.ones(2, dtype=F64), np.ones(2)),
        (mg.full((2,), 3, I64), np.array([3, 3])),
        (mg.ones_like(mg.zeros(2, dtype=F64)), np.ones(2)),
        (mg.zeros_like(mg.ones(2, dtype=I64)), np.array([0, 0])),
        (mg.arange(3), np.array([0, 1, 2])),
        (mg.arange(0), np.array([], np.int64)),
        (mg.arange(1, 2, 0.5), np.array([1.0, 1.5], np.float32)),
        (mg.arange(2, dtype=F64), np.array([0.0, 1.0])),
        (mg.eye(2), np.eye(2, dtype=np.float32)),
        (mg.rand(2, generator=3), mg.rand((2,), generator=3).numpy()),
        (mg.randn(2, dtype=F64, generator=3), mg.randn(2, dtype=F64, generator=3)),
    ],
    ids=lambda value: repr(value) if isinstance(value, mg.Tensor) else "",
)
def test_creation(made, expected):
    assert made.dtype == expected.dtype
    assert np.array_equal(made.numpy(), np.asarray(expected))


@pytest.mark.parametrize("name", ["zeros", "ones", "eye", "rand", "randn"])
def test_no_dtype_is_float32(name):
    for lib in (mg, torch):
        assert getattr(lib, name)(2, dtype=None).dtype == lib.float32


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda: mg.zeros(-1), ShapeError, id="a negative size"),
        pytest.param(lambda: mg.ones(1.5), DTypeError, id="half a size"),
        pytest.param(lambda: mg.full((2,), "a"), ShapeError, id="text"),
        pytest.param(lambda: mg.full((2,), 1.0, "int8"), DTypeError, id="int8"),
        pytest.param(lambda: mg.rand(2, -1), ShapeError, id="a negative draw"),
        pytest.param(lambda: mg.arange(0, 1, 0), ArgumentError, id="a step of zero"),
        pytest.param(lambda: mg.eye(-1), ShapeError, id="a negative identity"),
    ],
)
def test_creation_refuses(make, error):
    with pytest.raises(error):
        make()


# -- copies and immutability -----------------------------------------------------------

X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]])
NOT_BOTH = np.array([[True, False, True], [False, True, True]])
CHANGED_LATER = {
    "an operand": (X, lambda x, a: x * a),
    "an operand on the left": (X, lambda x, a: a - x * a),
    "a factor": (X, lambda x, a: x.T @ a),
    "an index": (np.array([1, 0, 0]), lambda x, a: x[a]),
    "a part of an index": (np.array([0, 2]), lambda x, a: x[1, a]),
    "a mask": (NOT_BOTH, lambda x, a: x[a]),
    "a condition": (NOT_BOTH, lambda x, a: mg.where(a, x, 0.0)),
    "labels": (np.array([0, 1]), lambda x, a: mg.cross_entropy(x, a)),
    "rows": (np.array([0, 1]), lambda x, a: mg.embedding(a, x)),
    "a place": (np.array([[0, 1], [2, 2]]), lambda x, a: x.gather(1, a)),
    "a dropout mask": (NOT_BOTH, lambda x, a: mg.dropout(x, 0.5, mask=a)),
    "a list of dims": ([1, 0], lambda x, a: mg.permute(x, a)),
    "a list of dims to flip": ([0], lambda x, a: mg.flip(x, a)),
    "a list of dims to sum": ([0], lambda x, a: mg.sum(x, a)),
}


@pytest.mark.parametrize("name", CHANGED_LATER)
def test_an_argument_that_is_changed_later_has_no_effect(name):
    given, build = CHANGED_LATER[name]

    def run(disturb):
        x, mine = mg.tensor(X, requires_grad=True), copy.copy(given)
        y = build(x, mine)
        if disturb:
            mine[:] = [1] if len(mine) == 1 else mine[::-1]
        (slope,) = mg.grad((y * y).sum(), x)
        return y.detach().numpy(), slope.numpy()

    for disturbed, expected in zip(run(True), run(False), strict=True):
        assert np.array_equal(disturbed, expected)


@pytest.mark.parametrize("make", [mg.tensor, nn.Parameter], ids=lambda f: f.__name__)
def test_the_data_is_copied(make):
    mine = X.copy()
    x = make(mine)
    mine[:] = 0
    assert np.array_equal(x.detach().numpy(), X) and mine.flags.writeable


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda x: mg.tensor(X), id="data"),
        pytest.param(lambda x: (x * 2).detach(), id="an output"),
        pytest.param(lambda x: x.T.detach(), id="a view"),
        pytest.param(lambda x: x.unbind()[0].detach(), id="a piece"),
        pytest.param(lambda x: x.sum().detach(), id="a scalar"),
        pytest.param(lambda x: x.expand(3, 2, 3).detach(), id="an expanded view"),
        pytest.param(lambda x: mg.grad(x.sum(), x)[0], id="a gradient"),
        pytest.param(lambda x: mg.grad((x + x + x).sum(), x)[0], id="a summed one"),
    ],
)
def test_arrays_are_read_only(make):
    array = make(mg.tensor(X, requires_grad=True)).numpy()
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 0


def test_items_can_not_be_assigned():
    x = mg.ones(2)
    with pytest.raises(GraphError, match=r"where\(\).*assign\(\)"):
        x[0] = 2.0


IN_PLACE = [
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ipow,
]


@pytest.mark.parametrize("update", IN_PLACE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("make", [nn.Parameter, leaf], ids=["a Parameter", "a leaf"])
@pytest.mark.parametrize("recording", [mg.enable_grad, mg.no_grad])
def test_in_place_arithmetic_on_what_is_trained_raises(recording, make, update):
    p = make([2.0]) if make is nn.Parameter else make(2.0)
    with recording(), pytest.raises(GraphError, match=r"optimiser, or assign\(\)"):
        update(p, 0.5)
    assert p.tolist() == [2.0]


@pytest.mark.parametrize("update", IN_PLACE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("trained", [False, True], ids=["a constant", "an output"])
def test_in_place_arithmetic_elsewhere_rebinds(trained, update):
    before = leaf(4.0) * 1 if trained else mg.tensor([4.0], F64)
    after = update(before, 2.0)
    assert before.tolist() == [4.0]
    assert after.tolist() == [update(4.0, 2.0)]
    assert after.requires_grad == trained


def test_a_matrix_product_in_place_rebinds_or_raises():
    x, w = mg.ones(2, 2), mg.ones(2, 2, requires_grad=True)
    x @= w
    assert x.requires_grad and x.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    with pytest.raises(GraphError, match="train nothing"):
        w @= x
