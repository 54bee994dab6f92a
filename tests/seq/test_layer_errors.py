"""What a layer or a cell module refuses, and the words it does so with."""

import inspect
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    IndexRangeError,
    ShapeError,
)

LAYERS = [seq.RNN, seq.GRU, seq.LSTM]
CELLS = [seq.RNNCell, seq.GRUCell, seq.LSTMCell]


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"input_size": 0}, "input_size must be an int >= 1, got 0"),
        ({"input_size": 3.0}, "input_size must be an int >= 1, got 3.0"),
        ({"hidden_size": -1}, "hidden_size must be an int >= 1, got -1"),
        ({"hidden_size": True}, "hidden_size must be an int >= 1, got True"),
        ({"bias": 1}, "bias must be True or False, got 1"),
        ({"generator": "seed"}, "numpy.random.Generator or an int seed"),
    ],
)
def test_bad_sizes(kind: Any, kwargs: dict[str, Any], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        kind(**{"input_size": 3, "hidden_size": 4, **kwargs})


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
@pytest.mark.parametrize("name", ["bias_hh", "weight_ih"])
def test_a_parameter_can_not_be_none(kind: Any, name: str) -> None:
    layer, name = kind(3, 4), name + "_l0" * (kind in LAYERS)
    parameter = getattr(layer, name)
    with pytest.raises(ArgumentError, match=rf"\.{name} is read by the cell and can't"):
        setattr(layer, name, None)
    assert getattr(layer, name) is parameter
    setattr(layer, name, mg.nn.Parameter(mg.zeros(*parameter.shape)))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"num_layers": 0}, "num_layers must be an int >= 1, got 0"),
        ({"batch_first": None}, "batch_first must be True or False, got None"),
        ({"bidirectional": "no"}, "bidirectional must be True or False, got 'no'"),
        ({"dropout": 1.5}, r"dropout should be a number in range \[0, 1\].*got 1.5"),
        ({"dropout": -0.1}, "dropout should be a number"),
        ({"dropout": float("nan")}, "dropout should be a number"),
        ({"dropout": True}, "dropout should be a number"),
        ({"dropout": "0.5"}, "dropout should be a number"),
    ],
)
def test_bad_stacks(kind: Any, kwargs: dict[str, Any], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        kind(3, 4, **kwargs)


@pytest.mark.parametrize("dtype", [mg.int64, "float16", "complex64"])
def test_parameters_are_floats(dtype: Any) -> None:
    with pytest.raises(DTypeError):
        seq.LSTM(3, 4, dtype=dtype)


@pytest.mark.parametrize("kind", [seq.RNN, seq.RNNCell])
def test_an_unknown_nonlinearity(kind: Any) -> None:
    with pytest.raises(ArgumentError, match="Unknown nonlinearity 'gelu'"):
        kind(3, 4, nonlinearity="gelu")


def test_bad_projections() -> None:
    with pytest.raises(ArgumentError, match="proj_size must be smaller than hidden_s"):
        seq.LSTM(3, 4, proj_size=4)
    with pytest.raises(ArgumentError, match="proj_size must be an int >= 0, got -1"):
        seq.LSTM(3, 4, proj_size=-1)
    with pytest.raises(ArgumentError, match="cell 'gru' has no projection"):
        seq.Recurrent(seq.CELLS["gru"], 3, 4, proj_size=2)
    with pytest.raises(ArgumentError, match="proj_size of cell 'lstm_proj' must be"):
        seq.Recurrent(seq.CELLS["lstm_proj"], 3, 4)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (seq.Recurrent, "self"),
        (seq.Recurrent, "input"),
        (seq.Recurrent, "hx"),
        (seq.Recurrent, "lengths"),
        (seq.Recurrent, "dropout_masks"),
        (seq.Recurrent, "return_internals"),
        (seq.Recurrent, "checkpoint"),
        (seq.RecurrentCell, "hx"),
        (seq.RecurrentCell, "return_internals"),
    ],
)
def test_data_with_the_name_of_an_argument_of_the_call(module: Any, name: str) -> None:
    def equations(x: "I", h: "H", **data: Any) -> Any:  # noqa: F821
        return h * data[name]

    kind = inspect.Parameter.KEYWORD_ONLY
    named = inspect.Parameter(name, kind, annotation="B H")
    signature = inspect.signature(equations)
    arguments = [*list(signature.parameters.values())[:2], named]
    equations.__signature__ = signature.replace(parameters=arguments)  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match=f"data {name!r} would be .*another name"):
        module(seq.cell(equations), 3, 4)


@pytest.mark.parametrize(
    ("module", "steps", "places"),
    [(seq.Recurrent, (3,), (1,)), (seq.RecurrentCell, (), ())],
)
def test_data_may_be_called_data(
    module: Any, steps: tuple[int, ...], places: tuple[int, ...]
) -> None:
    @seq.cell
    def scaled(x: "I", h: "H", *, w: "H I", data: "B H"):  # noqa: F821, F722
        return (h + x @ w.T) * data

    layer = module(scaled, 3, 4, generator=0)
    output = layer(mg.ones(*steps, 2, 3), data=mg.zeros(*places, 2, 4))[0]
    assert not output.detach().numpy().any()


def test_a_function_is_no_cell() -> None:
    with pytest.raises(ArgumentError, match=r"expected a cell, made by seq\.cell, got"):
        seq.Recurrent(lambda x, h: h, 3, 4)  # the decorator is missing


@pytest.mark.parametrize("kind", LAYERS)
def test_dropout_of_a_single_layer_warns(kind: Any) -> None:
    with pytest.warns(UserWarning, match="non-zero dropout expects num_layers greater"):
        kind(3, 4, dropout=0.5)


# -- calls -----------------------------------------------------------------------------

X = np.zeros((5, 2, 3), np.float32)
STATE = np.zeros((2, 2, 4), np.float32)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (X[0, 0], ShapeError, r"input must be 2-D \(T, .* or 3-D \(T, B, .*got 1 dim"),
        (X[None], ShapeError, r"got 4 dimensions, \(1, 5, 2, 3\)"),
        (X[..., :2], ShapeError, r"input_size=3 as its last size, got \(5, 2, 2\)"),
        (X[:0], ShapeError, "Expected sequence length to be larger than 0"),
        (X[:0, 0], ShapeError, "Expected sequence length to be larger than 0"),
        (X.astype(np.float64), DTypeError, "input is float64 but the parameters are f"),
        (X.astype(np.int64), DTypeError, "input is int64 but the parameters are float"),
        (X.astype(np.float16), DTypeError, "input: .*float16"),
        (X.tolist(), DTypeError, "input must be a Tensor or a numpy array, got list"),
        (None, DTypeError, "input must be a Tensor or a numpy array, got NoneType"),
    ],
)
def test_bad_inputs(kind: Any, x: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=f"^{kind.__name__}: .*{match}"):
        kind(3, 4)(x)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("h", "error", "match"),
    [
        (
            STATE[:1],
            ShapeError,
            r"the shape \(2, 2, 4\) = \(num_layers \* num_d",
        ),
        (STATE[:, :1], ShapeError, r"got \(2, 1, 4\)"),
        (STATE[..., :3], ShapeError, r"got \(2, 2, 3\)"),
        (STATE[0], ShapeError, r"got \(2, 4\)"),
        (STATE.astype(np.float64), DTypeError, "is float64 but the parameters are"),
        (STATE.astype(np.int64), DTypeError, "is int64 but the parameters are"),
        (0.0, DTypeError, "must be a Tensor or a numpy array, got float"),
        (None, DTypeError, "must be a Tensor or a numpy array, got NoneType"),
    ],
)
def test_bad_states(kind: Any, h: Any, error: type[Exception], match: str) -> None:
    layer = kind(3, 4, num_layers=2)
    if kind is seq.LSTM:
        for i, name in enumerate("hc"):
            hx = [STATE, STATE]
            hx[i] = h
            with pytest.raises(
                error, match=rf"hx\[{i}\], the state '{name}', .*{match}"
            ):
                layer(X, tuple(hx))
    elif h is not None:
        with pytest.raises(error, match=f"hx .*{match}"):
            layer(X, h)


def test_bad_numbers_of_states() -> None:
    for hx, got in ((STATE, "ndarray"), ((STATE,), "1 values"), ((STATE,) * 3, "3 va")):
        with pytest.raises(
            ArgumentError, match=rf"hx must be a tuple \(h, c\), got {got}"
        ):
            seq.LSTM(3, 4, num_layers=2)(X, hx)
    with pytest.raises(DTypeError, match=r"hx must be a Tensor .*, got tuple"):
        seq.GRU(3, 4, num_layers=2)(X, (STATE, STATE))


@pytest.mark.parametrize(
    ("lengths", "error", "match"),
    [
        ([5, 6], IndexRangeError, r"lengths\[1\] is 6; expected 0..5"),
        ([-1, 5], IndexRangeError, r"lengths\[0\] is -1; expected 0..5"),
        ([5], ShapeError, r"lengths must be \(2,\)"),
        ([[5, 5]], ShapeError, r"lengths must be \(2,\)"),
        (5, ShapeError, r"lengths must be \(2,\)"),
        ([5.0, 5.0], DTypeError, "lengths must be integers, not float64"),
        ([True, True], DTypeError, "lengths must be integers, not bool"),
        ("ab", DTypeError, "lengths must be integers"),
    ],
)
def test_bad_lengths(lengths: Any, error: type[Exception], match: str) -> None:
    for layer in (seq.GRU(3, 4), seq.LSTM(3, 4, 2, bidirectional=True)):
        with pytest.raises(error, match=match):
            layer(X, lengths=lengths)


def test_lengths_without_a_batch_are_one_int() -> None:
    layer = seq.GRU(3, 4)
    with pytest.raises(ShapeError, match=r"must be one int, .* no batch; it is \(1,\)"):
        layer(X[:, 0], lengths=[5])
    with pytest.raises(IndexRangeError, match=r"lengths\[0\] is 6"):
        layer(X[:, 0], lengths=6)


MASK = np.ones((5, 2, 4), bool)


@pytest.mark.parametrize(
    ("masks", "error", "match"),
    [
        ([], ArgumentError, "a list of num_layers - 1 = 1 masks, got 0"),
        ([MASK, MASK], ArgumentError, "a list of num_layers - 1 = 1 masks, got 2"),
        (MASK, ArgumentError, "a list of num_layers - 1 = 1 masks, got array"),
        (
            [MASK[..., :3]],
            ShapeError,
            r"\(5, 2, 4\); got \(5, 2, 3\)",
        ),
        ([MASK[:, 0]], ShapeError, r"layer 0's output, \(5, 2, 4\); got \(5, 4\)"),
        ([MASK * 1.0], DTypeError, r"dropout_masks\[0\] must be bool .*got float64"),
        ([True], DTypeError, r"dropout_masks\[0\] must be a Tensor or a numpy array"),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_bad_masks(
    masks: Any, error: type[Exception], match: str, training: bool
) -> None:
    layer = seq.GRU(3, 4, num_layers=2, dropout=0.5).train(training)
    with pytest.raises(error, match=match):
        layer(X, dropout_masks=masks)


def test_masks_lie_as_the_input_does() -> None:
    layer = seq.GRU(3, 4, num_layers=2, dropout=0.5, batch_first=True)
    with pytest.raises(ShapeError, match=r"\(2, 5, 4\); got \(5, 2, 4\)"):
        layer(X.transpose(1, 0, 2), dropout_masks=[MASK])
    with pytest.raises(ShapeError, match=r"\(5, 4\); got \(5, 2, 4\)"):
        layer(X[:, 0], dropout_masks=[MASK])


def test_data_that_the_cell_does_not_take() -> None:
    with pytest.raises(ArgumentError, match=r"takes the data \[\] as.*got \['mask'\]"):
        seq.GRU(3, 4)(X, mask=MASK)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (X, ShapeError, r"input must be 1-D \(input_size,\) or 2-D .*got 3 dimensions"),
        (X[0, :, :2], ShapeError, r"input_size=3 as its last size, got \(2, 2\)"),
        (X[0].astype(np.float64), DTypeError, "input is float64"),
    ],
)
def test_bad_inputs_of_a_step(kind: Any, x: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=f"^{kind.__name__}: .*{match}"):
        kind(3, 4)(x)


def test_bad_states_of_a_step() -> None:
    h = STATE[0]
    with pytest.raises(ShapeError, match=r"hx must have the shape \(2, 4\) = \(B, H\)"):
        seq.GRUCell(3, 4)(X[0], h[0])
    with pytest.raises(ShapeError, match=r"hx must have the shape \(4,\) = \(H\), got"):
        seq.GRUCell(3, 4)(X[0, 0], h)
    with pytest.raises(ShapeError, match=r"hx\[1\], the state 'c', must have"):
        seq.LSTMCell(3, 4)(X[0], (h, h[:, :3]))
    with pytest.raises(
        ArgumentError, match=r"hx must be a tuple \(h, c\), got ndarray"
    ):
        seq.LSTMCell(3, 4)(X[0], h)
