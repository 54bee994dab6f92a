"""Operators: what may stand on the other side, which dtype comes out, the slopes."""

import operator

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad.errors import ArgumentError, DTypeError, MinigradError, ShapeError
from minigrad.op import OPS

F32, F64, I64, BOOL = mg.float32, mg.float64, mg.int64, mg.bool
ARITHMETIC = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
]
COMPARISONS = [
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
VALUES = np.array([[0.5, 2.0, 3.0], [1.0, 0.25, 2.5]])

named = pytest.mark.parametrize
each_dtype = named("dtype", [F32, F64], ids=str)
each_side = named("swapped", [False, True], ids=["right", "left"])
by_name = {"ids": lambda f: f.__name__}


def apply(operate, x, other, swapped):
    return operate(other, x) if swapped else operate(x, other)


# -- what stands on the other side -----------------------------------------------------


@each_side
@each_dtype
@named("other", [2.0, 2, True, np.float32(2), np.float64(2), np.int64(2), np.True_])
@named("operate", [*ARITHMETIC, *COMPARISONS], **by_name)
def test_scalars_are_weak(operate, other, dtype, swapped):
    x = mg.tensor(VALUES, dtype)
    found = apply(operate, x, other, swapped)
    expected = apply(operate, x.numpy(), dtype.type(other), swapped)
    assert isinstance(found, mg.Tensor) and found.dtype == expected.dtype
    assert np.array_equal(found.numpy(), expected)


@each_side
@each_dtype
@named("shape", [(2, 3), (3,), (2, 1), (), (2, 2, 3)], ids=str)
@named("operate", [*ARITHMETIC, *COMPARISONS], **by_name)
def test_numpy_arrays_become_tensors(operate, shape, dtype, swapped):
    x = mg.tensor(VALUES, dtype, requires_grad=True)
    other = np.random.default_rng(0).uniform(0.5, 2.0, shape).astype(dtype)
    found = apply(operate, x, other, swapped)
    expected = apply(operate, VALUES.astype(dtype), other, swapped)
    assert isinstance(found, mg.Tensor) and found.dtype == expected.dtype
    assert np.array_equal(found.detach().numpy(), expected)


@named("left", [(2, 3), (3,), (4, 2, 3)], ids=str)
def test_matrix_products_with_arrays_on_either_side(left):
    x, w = np.ones(left), np.arange(6.0).reshape(3, 2)
    for found in (mg.tensor(x) @ w, x @ mg.tensor(w), x.tolist() and mg.matmul(x, w)):
        assert isinstance(found, mg.Tensor)
        assert np.array_equal(found.numpy(), x @ w)


def test_numbers_alone_are_a_tensor():
    assert mg.add(1, 2).item() == 3 and mg.add(1, 2).dtype == I64
    assert mg.maximum(1.0, 2).dtype == F32
    assert mg.where([True, False] == [True], 1.0, 2.0).dtype == F32
    assert mg.where(np.array([True, False]), 1, 0).tolist() == [1, 0]


# -- which dtype comes out -------------------------------------------------------------

PROMOTED = [
    (I64, "+", I64, I64),
    (I64, "+", BOOL, I64),
    (BOOL, "+", BOOL, BOOL),
    (BOOL, "*", BOOL, BOOL),
    (F32, "+", I64, F32),
    (F64, "*", BOOL, F64),
    (BOOL, "-", F32, F32),
    (I64, "/", I64, F32),
    (BOOL, "/", BOOL, F32),
    (I64, "/", F64, F64),
    (I64, "**", I64, I64),
    (I64, "**", F32, F32),
    (I64, "+", 1.5, F32),
    (I64, "+", True, I64),
    (BOOL, "*", 2, I64),
    (BOOL, "+", 0.5, F32),
    (I64, "**", 2, I64),
    (I64, "**", 0.5, F32),
    (2, "**", I64, I64),
    (1, "/", I64, F32),
]
SIGNS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}


@named(("x", "sign", "y", "expected"), PROMOTED, ids=str)
def test_integers_and_bools_follow(x, sign, y, expected):
    x, y = (mg.tensor([1, 1], v) if isinstance(v, np.dtype) else v for v in (x, y))
    found = SIGNS[sign](x, y)
    arrays = [np.asarray(v) for v in (x, y)]
    assert found.dtype == expected
    assert np.array_equal(found.numpy(), SIGNS[sign](*arrays).astype(expected))


def test_a_function_of_an_integer_is_float32():
    for function in (mg.exp, mg.log, mg.sqrt, mg.tanh, mg.sigmoid):
        assert function(mg.tensor([1, 2])).dtype == F32
    assert mg.tensor([1, 2]).mean().dtype == F32
    assert mg.tensor([True, True]).sum().item() == 2
    assert mg.tensor([1, 5]).clamp(2).tolist() == [2, 5]
    assert mg.tensor([1, 5]).clamp(1.5).dtype == F32
    assert mg.ones(2).clamp(np.float64(0.5), np.float64(2)).dtype == F32


@named("other", [I64, BOOL], ids=str)
def test_the_gradient_of_a_float_beside_an_integer_has_its_dtype(other):
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (slope,) = mg.grad((x * mg.tensor([1, 0, 1], other)).sum(), x)
    assert slope.dtype == F32 and slope.tolist() == [1.0, 0.0, 1.0]


SINGLE, DOUBLE = mg.ones(2, 2), mg.ones(2, 2, dtype=F64)
MIXED = {
    **{f.__name__: lambda a, b, f=f: f(a, b) for f in (*ARITHMETIC, *COMPARISONS)},
    "matmul": operator.matmul,
    "maximum": mg.maximum,
    "where": lambda a, b: mg.where(mg.tensor([True, False]), a, b),
    "cat": lambda a, b: mg.cat([a, b]),
    "stack": lambda a, b: mg.stack([a, b]),
    "scatter_add": lambda a, b: mg.scatter_add(a, 0, mg.zeros(2, 2, dtype=I64), b),
    "mse_loss": mg.mse_loss,
    "cross_entropy": mg.cross_entropy,
}


@named("kind", [np.asarray, mg.tensor], ids=["an array", "a tensor"])
@named("first", [SINGLE, DOUBLE], ids=["float32 first", "float64 first"])
@named("name", MIXED)
def test_float32_and_float64_do_not_mix(name, first, kind):
    second = DOUBLE if first is SINGLE else SINGLE
    with pytest.raises(DTypeError, match=r"do not mix.*\.double\(\)"):
        MIXED[name](first, kind(second))


COMBINED = [n for n, op in OPS.items() if op.elementwise and len(op.promoting) == 2]


@named("y", [F32, F64, I64, BOOL, 2, 2.5, True], ids=str)
@named("x", [F32, F64, I64, BOOL], ids=str)
@named("name", COMBINED)
def test_no_combination_leaves_the_four_dtypes(name, x, y):
    operands = [mg.ones(2, dtype=v) if isinstance(v, np.dtype) else v for v in (x, y)]
    condition = [mg.tensor([True, False])] if name == "where" else []
    for pair in (operands, operands[::-1]):
        try:
            found = OPS[name](*condition, *pair)
        except MinigradError:
            continue
        assert found.dtype in (F32, F64, I64, BOOL)


@named(
    ("call", "error", "match"),
    [
        (lambda: mg.tensor([True]) - mg.tensor([True]), DTypeError, "sub"),
        (lambda: mg.tensor([True]) ** mg.tensor([True]), DTypeError, "two bools"),
        (lambda: mg.tensor([2]) ** -1, ArgumentError, "negative power"),
        (lambda: mg.tensor([2]) ** mg.tensor([-1]), ArgumentError, "negative power"),
        (lambda: pow(mg.tensor([2]), 2, 3), TypeError, ""),
        (lambda: pow(2, mg.tensor([2]), 3), TypeError, ""),
        (lambda: mg.tensor([2]) + 2**70, ArgumentError, "too large"),
        (lambda: mg.ones(2) + 10**400, ArgumentError, "too large"),
        (lambda: mg.ones(2) + mg.ones(3), ShapeError, "broadcast"),
        (lambda: mg.ones(2, 3) @ mg.ones(2, 3), ShapeError, "inner sizes 3 and 2"),
        (lambda: mg.ones(2) @ 2.0, ShapeError, "use mul"),
        (lambda: mg.add(mg.ones(2), None), DTypeError, "y must be a Tensor"),
        (lambda: mg.add(mg.ones(2), 1j), DTypeError, "complex"),
        (lambda: mg.add(mg.ones(2), [1.0]), DTypeError, "list; make it a Tensor"),
        (lambda: mg.add(mg.ones(2)), ArgumentError, "it is add(x: Array, y: Array)"),
    ],
)
def test_operands_that_do_not_fit(call, error, match):
    with pytest.raises(error) as caught:
        call()
    assert match in str(caught.value)


# -- comparisons and logic -------------------------------------------------------------


@each_dtype
@named("compare", COMPARISONS, **by_name)
def test_comparisons_are_bool_and_follow_ieee(compare, dtype):
    special = np.array([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan], dtype)
    x, y = special[:, None], special
    found = compare(mg.tensor(x), mg.tensor(y))
    assert found.dtype == BOOL and not found.requires_grad
    assert np.array_equal(found.numpy(), compare(x, y))


@named("element", [3, 2.5, True, np.nan, np.float32(3)], ids=str)
@named("values", [[[3.0, 1.0], [0.5, 2.0]], [], 3.0, [3, 4], [True]], ids=str)
def test_what_a_tensor_holds_is_what_torch_says(values, element):
    assert (element in mg.tensor(values)) == (element in torch.tensor(values))


def test_a_tensor_is_in_another_if_any_element_is_equal():
    x = mg.tensor(VALUES)
    assert mg.tensor(0.25, F64) in x and mg.tensor([0.0, 0.0, 2.5], F64) in x
    assert mg.tensor([[0.0], [0.5]], F64) not in x and np.array(3.0) in x


@named(
    ("element", "error", "match"),
    [
        ("3", DTypeError, "not '3'"),
        (None, DTypeError, "not None"),
        ([3.0], DTypeError, r"a Tensor or an array, not \[3.0\]"),
        (3j, DTypeError, "a number, a Tensor"),
        (mg.ones(2, dtype=F64), ShapeError, "broadcast"),
    ],
    ids=str,
)
def test_what_no_tensor_can_hold_is_refused(element, error, match):
    with pytest.raises(error, match=match):
        _ = element in mg.tensor(VALUES)


MASKS = np.array([True, True, False, False]), np.array([True, False, True, False])


@named("kind", [mg.tensor, np.asarray], ids=["a tensor", "an array"])
def test_logic_of_masks(kind):
    a, b = MASKS
    x, y = mg.tensor(a), kind(b)
    for found, expected in [
        (x & y, a & b),
        (x | y, a | b),
        (y & x, a & b),
        (y | x, a | b),
        (~x, ~a),
        (x & True, a),
        (False | x, a),
        (x.logical_and(y), a & b),
        (x.logical_not(), ~a),
    ]:
        assert found.dtype == BOOL and np.array_equal(found.numpy(), expected)


@named("operate", [operator.and_, operator.or_], **by_name)
@named("other", [1, 1.0, mg.ones(2), np.ones(2)], ids=str)
def test_logic_of_numbers_is_refused(operate, other):
    for pair in ((mg.tensor([True, False]), other), (mg.ones(2), mg.ones(2))):
        with pytest.raises(DTypeError, match="compare first"):
            operate(*pair)
    with pytest.raises(DTypeError, match="compare first"):
        operator.invert(mg.ones(2))


# -- slopes ----------------------------------------------------------------------------


@each_side
@named("other", [1.5, 3, VALUES[0], VALUES[:, :1]], ids=["1.5", "3", "row", "column"])
@named("operate", ARITHMETIC, **by_name)
def test_slopes_beside_constants(operate, other, swapped):
    x = mg.tensor(VALUES, requires_grad=True)
    assert mg.gradcheck(lambda x: apply(operate, x, other, swapped), [x])
    assert mg.gradgradcheck(lambda x: apply(operate, x, other, swapped), [x])


@named("operate", [operator.neg, operator.pos, operator.abs], **by_name)
def test_slopes_of_unary_operators(operate):
    assert mg.gradcheck(operate, [mg.tensor(VALUES - 1.2, requires_grad=True)])


@named(
    ("base", "exponent", "slopes"),
    [
        (0.0, 0, (0.0,)),
        (0.0, 1, (1.0, 0.0)),
        (0.0, 2, (0.0, 2.0, 0.0)),
        (0.0, 3, (0.0, 0.0, 6.0, 0.0)),
        (-2.0, 2, (-4.0, 2.0, 0.0)),
        (-2.0, 3.0, (12.0, -12.0, 6.0, 0.0)),
    ],
)
def test_all_derivatives_of_a_power(base, exponent, slopes):
    x = mg.tensor(base, F64, requires_grad=True)
    y = x**exponent
    for slope in slopes:
        (y,) = mg.grad(y, x, create_graph=True)
        assert y.item() == slope


@named(("base", "exponent", "slope"), [(0, 2, 0), (0, 0, 0), (0, -1, -np.inf)])
def test_the_derivative_of_a_power_of_zero_by_its_exponent(base, exponent, slope):
    y = mg.tensor(float(exponent), requires_grad=True)
    for x in (float(base), mg.tensor(float(base))):
        assert mg.grad(x**y, y)[0].item() == slope
