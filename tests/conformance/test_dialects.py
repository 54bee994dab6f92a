"""Weights go to every dialect and back; what is lost is said, or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import policy
from conformance.data import resolve
from conformance.dialects import DIALECTS, dialect
from conformance.dialects.notation import (
    GATES,
    NotRepresentableError,
    Stack,
    all_rows,
    gates,
)
from conformance.kinds import KINDS, SIZES

NAMES = [f"{d.framework} {d.layer}" for d in DIALECTS]
each = pytest.mark.parametrize("known", DIALECTS, ids=NAMES)
lossless = pytest.mark.parametrize(
    "known",
    [d for d in DIALECTS if not d.losses()],
    ids=lambda d: f"{d.framework} {d.layer}",
)


def draw(known, seed=0, dtype=np.float64, bias=True, sizes=SIZES):
    """Random parameters of a dialect's kind."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(resolve(shape, sizes)).astype(dtype)
        for name, shape in KINDS[known.kind].parameters.items()
        if bias or not name.startswith("bias_")
    }


def held(known, parameters):
    """The same with zeros where the dialect has no place."""
    return known.from_framework(known.to_framework(without_the_lost(known, parameters)))


def without_the_lost(known, parameters):
    kept = {row for s in known.arrays for b in s.blocks for row in b.rows}
    found = {name: array.copy() for name, array in parameters.items()}
    for name, gate in set(all_rows(known.kind)) - kept:
        order = GATES[len(found[name]) // SIZES["H"]]
        found[name].reshape(len(order), -1)[order.index(gate)] = 0
    return found


def same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert policy.relative_error(found[name], array) <= policy.FLOAT64_RTOL, name


@lossless
@given(
    seed=st.integers(0, 2**32 - 1),
    units=st.integers(1, 6),
    inputs=st.integers(1, 6),
    bias=st.booleans(),
)
def test_what_is_lossless_comes_back(known, seed, units, inputs, bias):
    sizes = {"H": units, "I": inputs}
    parameters = draw(known, seed, bias=bias, sizes=sizes)
    back = known.from_framework(known.to_framework(parameters))
    if not (bias or known.bias_option):  # zeros came into being
        back = {name: back[name] for name in parameters}
    same(back, parameters)


@each
@given(seed=st.integers(0, 2**32 - 1))
def test_what_the_framework_holds_comes_back(known, seed):
    first = known.to_framework(without_the_lost(known, draw(known, seed)))
    second = known.to_framework(known.from_framework(first))
    same(second, first)


@each
def test_a_sum_stays_a_sum(known):
    """What is merged adds up to what was there: the layer computes the same."""
    parameters = without_the_lost(known, draw(known))
    back = held(known, parameters)
    if {"bias_ih", "bias_hh"} <= set(back):
        total = parameters["bias_ih"] + parameters["bias_hh"]
        same({"b": back["bias_ih"] + back["bias_hh"]}, {"b": total})
    for name in set(parameters) - {"bias_ih", "bias_hh"}:
        same({name: back[name]}, {name: parameters[name]})


@each
def test_gradients_are_the_transposed_conversion(known):
    """<g, A p> = <A' g, p>, but for what a framework adds by itself."""
    parameters = without_the_lost(known, draw(known))
    zeros = {name: np.zeros_like(a) for name, a in parameters.items()}
    there, origin = known.to_framework(parameters), known.to_framework(zeros)
    rng = np.random.default_rng(1)
    slopes = {name: rng.standard_normal(a.shape) for name, a in there.items()}
    back = known.gradients(slopes, parameters)
    left = sum(np.sum(slopes[n] * (there[n] - origin[n])) for n in there)
    right = sum(np.sum(back[n] * parameters[n]) for n in parameters)
    assert policy.relative_error(left, right) <= policy.FLOAT64_RTOL


@each
def test_every_row_has_one_place_at_most(known):
    rows = [row for s in known.arrays for b in s.blocks for row in b.rows]
    assert len(rows) == len(set(rows))
    assert set(rows) <= set(all_rows(known.kind))


@each
def test_float32_stays_float32(known):
    parameters = without_the_lost(known, draw(known, dtype=np.float32))
    there = known.to_framework(parameters)
    assert {a.dtype for a in there.values()} == {np.dtype(np.float32)}
    assert {a.dtype for a in known.from_framework(there).values()} == {
        np.dtype(np.float32)
    }


def test_what_is_lost_is_said():
    assert dialect("Keras", "lstm").losses() == ["bias_ih + bias_hh of ifgo: the sum"]
    assert dialect("Flax nnx", "gru").losses() == [
        "bias_ih + bias_hh of rz: the sum",
        "bias_hh of n: nothing",
    ]
    assert dialect("ONNX", "gru").losses() == []


def test_a_bias_without_a_place_is_refused_unless_it_is_zero():
    known = dialect("Flax nnx", "gru")
    parameters = draw(known)
    with pytest.raises(NotRepresentableError, match="no place for bias_hh of gate n"):
        known.to_framework(parameters)
    parameters["bias_hh"][10:] = 0
    assert set(known.to_framework(parameters)) == {
        "dense_i/kernel",
        "dense_h/kernel",
        "dense_i/bias",
    }


def test_a_known_order_of_gates():
    """By hand, of one unit and one input: ONNX's LSTM is i, o, f, c."""
    column = np.arange(4.0)[:, None]
    parameters = {"weight_ih": column, "weight_hh": 10 * column}
    there = dialect("ONNX", "lstm").to_framework(parameters)
    assert there["W"].tolist() == [[0], [3], [1], [2]]
    assert there["R"].tolist() == [[0], [30], [10], [20]]
    assert "B" not in there


def test_an_inverted_gate_and_an_added_bias():
    weight = {"weight_ih": np.ones((3, 1)), "weight_hh": np.ones((3, 1))}
    assert dialect("Haiku", "gru_reset_before").to_framework(weight)[
        "w_i"
    ].tolist() == [[-1, 1, 1]]
    weight = {"weight_ih": np.ones((4, 1)), "weight_hh": np.ones((4, 1))}
    bias = dialect("Haiku", "lstm").to_framework(weight)["linear/b"]
    assert bias.tolist() == [0, 0, -1, 0]


def test_layouts():
    blocks = np.arange(12).reshape(2, 3, 2)  # gates, units, inputs
    rows = gates("rz", "weight_ih")
    assert Stack("w", rows, "gh i").pack(blocks).shape == (6, 2)
    assert Stack("w", rows, "hg i").pack(blocks)[1].tolist() == [6, 7]
    assert Stack("w", rows, "i gh").pack(blocks)[0].tolist() == [0, 2, 4, 6, 8, 10]
    assert Stack("w", rows, "i g h").pack(blocks)[1, 1].tolist() == [7, 9, 11]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_ig": np.ones((4, 1))}, "lstm has weight_ih, .* not weight_ig"),
        ({"weight_hh": None}, "lstm needs weight_hh"),
    ],
)
def test_wrong_parameters_are_refused(change, message):
    parameters = {**draw(dialect("ONNX", "lstm")), **change}
    parameters = {n: a for n, a in parameters.items() if a is not None}
    with pytest.raises(ValueError, match=message):
        dialect("ONNX", "lstm").to_framework(parameters)


@pytest.mark.parametrize("shape", [(5, 5, 2), (7, 3)])
def test_wrong_arrays_are_refused(shape):
    known = dialect("ONNX", "lstm")
    arrays = {**known.to_framework(draw(known)), "W": np.ones(shape)}
    with pytest.raises(ValueError, match="W has the axes 'gh i'"):
        known.from_framework(arrays)


def test_what_there_is_no_dialect_of():
    with pytest.raises(LookupError, match="Thinc has no gru"):
        dialect("Thinc", "gru")
    with pytest.raises(LookupError, match="no dialect of 'Theano'"):
        dialect("Theano", "lstm")
