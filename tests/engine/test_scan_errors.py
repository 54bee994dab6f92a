"""What scan refuses, and what it says."""

import contextlib
from typing import NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

START, XS = np.ones((3, 2)), np.ones((4, 3, 2))
H0, X = mg.tensor(START), mg.tensor(XS)


class Pair(NamedTuple):
    h: mg.Tensor
    c: mg.Tensor


def plain(h, x):
    return h + x, h


# -- errors ----------------------------------------------------------------------------

H0, X = mg.tensor(START), mg.tensor(XS)


def bad(id, call, error, match):
    return pytest.param(call, error, match, id=id)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        bad("no steps", lambda: mg.scan(plain, H0, X[:0]), ShapeError, "at least 1"),
        bad(
            "a scalar as xs",
            lambda: mg.scan(plain, H0, mg.tensor(1.0)),
            ShapeError,
            "time axis",
        ),
        bad("no xs", lambda: mg.scan(plain, H0, ()), ShapeError, "time axis"),
        bad(
            "xs of two lengths",
            lambda: mg.scan(plain, H0, (X, X[1:])),
            ShapeError,
            "same leading time axis",
        ),
        bad(
            "a list of xs",
            lambda: mg.scan(plain, H0, [X]),
            DTypeError,
            "xs 0 must be a Tensor, not list",
        ),
        bad(
            "an array as xs",
            lambda: mg.scan(plain, H0, XS),
            DTypeError,
            "xs 0 must be a Tensor, not ndarray",
        ),
        bad(
            "an array as the carry",
            lambda: mg.scan(plain, START, X),
            DTypeError,
            "carry 0 at step 0 must be a Tensor, not ndarray",
        ),
        bad(
            "no pair",
            lambda: mg.scan(lambda h, x: h, H0, X),
            ArgumentError,
            r"at step 0 .*float64\(3, 2\).* the pair \(carry, y\)",
        ),
        bad(
            "a triple",
            lambda: mg.scan(lambda h, x: (h, x, x), H0, X),
            ArgumentError,
            r"the pair \(carry, y\)",
        ),
        bad(
            "another class of tuple for the carry",
            lambda: mg.scan(lambda c, x: (tuple(c), x), Pair(H0, H0), (X,)),
            ArgumentError,
            "carry that is a tuple of 2, but it was a Pair of 2",
        ),
        bad(
            "another structure of the carry",
            lambda: mg.scan(lambda h, x: ((h, h), x), H0, X),
            ArgumentError,
            "carry that is a tuple of 2, but it was one tensor",
        ),
        bad(
            "another shape of the carry",
            lambda: mg.scan(lambda h, x: (h[:1], x), H0, X),
            ShapeError,
            r"carry 0 is float64\(3, 2\), but at step 0",
        ),
        bad(
            "another dtype of the carry",
            lambda: mg.scan(lambda h, x: (h.float(), x), H0, X),
            DTypeError,
            r"returned float32\(3, 2\)",
        ),
        bad(
            "a number as the carry",
            lambda: mg.scan(lambda h, x: (1.0, x), H0, X),
            DTypeError,
            "carry 0 at step 0 must be a Tensor, not float",
        ),
        bad(
            "a y of None",
            lambda: mg.scan(lambda h, x: (h, None), H0, X),
            DTypeError,
            "y 0 at step 0 must be a Tensor, not NoneType",
        ),
        bad(
            "lengths of another batch",
            lambda: mg.scan(plain, H0, X, [1, 2]),
            ShapeError,
            r"must be \(3,\)",
        ),
        bad(
            "float lengths",
            lambda: mg.scan(plain, H0, X, [1.0, 2.0, 3.0]),
            DTypeError,
            "must be integers, not float64",
        ),
        bad(
            "bool lengths",
            lambda: mg.scan(plain, H0, X, [True, True, True]),
            DTypeError,
            "must be integers, not bool",
        ),
        bad(
            "too long",
            lambda: mg.scan(plain, H0, X, [1, 5, 2]),
            IndexRangeError,
            r"lengths\[1\] is 5; expected 0\.\.4",
        ),
        bad(
            "negative",
            lambda: mg.scan(plain, H0, X, [1, 2, -1]),
            IndexRangeError,
            r"lengths\[2\] is -1",
        ),
        bad(
            "lengths without a batch",
            lambda: mg.scan(plain, H0, X[:, 0, 0], [1, 2, 3]),
            ShapeError,
            r"lengths need xs of \(T, B, \.\.\.\)",
        ),
        bad(
            "a carry without the batch",
            lambda: mg.scan(lambda h, x: (h, x), H0[0], X, [1, 2, 3]),
            ShapeError,
            r"lengths are for 3 rows.*float64\(2,\)",
        ),
        bad(
            "a y without the batch",
            lambda: mg.scan(lambda h, x: (h, x.sum()), H0, X, [1, 2, 3]),
            ShapeError,
            r"lengths are for 3 rows.*float64\(\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


IN_A_TUPLE = "must be a Tensor, not {}; give several Tensors as one flat tuple"


@pytest.mark.parametrize("call", [mg.scan, mg.explain], ids=["scan", "explain"])
@pytest.mark.parametrize(
    ("carry", "xs", "match"),
    [
        (lambda: [H0, H0], lambda: X, "carry 0 .*" + IN_A_TUPLE.format("list")),
        (lambda: {"h": H0}, lambda: X, "carry 0 .*" + IN_A_TUPLE.format("dict")),
        (lambda: (H0, (H0,)), lambda: X, "carry 1 .*" + IN_A_TUPLE.format("tuple")),
        (lambda: H0, lambda: [X, X], "xs 0 " + IN_A_TUPLE.format("list")),
        (lambda: H0, lambda: {"x": X}, "xs 0 " + IN_A_TUPLE.format("dict")),
    ],
    ids=["list", "dict", "nested", "list of xs", "dict of xs"],
)
def test_several_tensors_are_a_tuple(call, carry, xs, match):
    with pytest.raises(DTypeError, match=match):
        call(plain, carry(), xs())


@pytest.mark.parametrize("looped", [contextlib.nullcontext, mg.eager_loops])
def test_what_a_step_returns_is_a_tuple_too(looped):
    for step, what in [
        (lambda h, x: ([h], x), "carry 0 at step 0 "),
        (lambda h, x: (h, {"x": x}), "y 0 at step 0 "),
    ]:
        with looped(), pytest.raises(DTypeError, match=what + "must .* flat tuple"):
            mg.scan(step, H0, X)
    with looped(), pytest.raises(ArgumentError, match=r"pair \(carry, y\), a tuple"):
        mg.scan(lambda h, x: [h, x], H0, X)


@pytest.mark.parametrize(
    ("later", "error", "match"),
    [
        (lambda x: (x, x), ArgumentError, "y that is a tuple of 2"),
        (lambda x: x[:1], ShapeError, "y 0 is .* at step 1"),
        (lambda x: x.float(), DTypeError, "y 0 is .* at step 1"),
    ],
    ids=["structure", "shape", "dtype"],
)
def test_ys_stay_alike(later, error, match):
    seen = []

    def step(h, x):
        seen.append(x)
        return h, x if len(seen) == 1 else later(x)

    with mg.eager_loops(), pytest.raises(error, match=match):
        mg.scan(step, H0, X)


def test_an_error_in_the_step_passes_through():
    with pytest.raises(ZeroDivisionError):
        mg.scan(lambda h, x: 1 / 0, H0, X)
