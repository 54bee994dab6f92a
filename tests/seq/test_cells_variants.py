"""What sets the variants apart: how each is related to the plain LSTM or GRU."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError
from seq import CELLS

T, B, SIZE, HIDDEN = 5, 3, 4, 6


def draw(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.randn(*shape, dtype=mg.float64, generator=seed)


def make(name: str, num_layers: int = 2, **options: Any) -> seq.Recurrent:
    return seq.Recurrent(
        CELLS[name],
        SIZE,
        HIDDEN,
        num_layers,
        bidirectional=True,
        dtype=mg.float64,
        generator=1,
        **options,
    )


def twin(name: str, layer: seq.Recurrent) -> seq.Recurrent:
    """A layer of another cell with the same parameters."""
    other = make(name, layer.num_layers)
    other.load_state_dict(layer.state_dict())
    return other


def run(layer: seq.Recurrent, *args: Any, **data: Any) -> list[mg.Tensor]:
    output, h_n = layer(*args, **data)
    return [output, *(h_n if isinstance(h_n, tuple) else (h_n,))]


def start(layer: seq.Recurrent) -> Any:
    places = layer.num_layers * 2
    states = tuple(draw(places, B, HIDDEN, seed=7 + i) for i in range(2))
    return states[: len(layer.cell.carry)] if len(layer.cell.carry) > 1 else states[0]


def same(a: list[mg.Tensor], b: list[mg.Tensor]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(np.array_equal(x.detach(), y.detach()) for x, y in pairs)


def close(a: list[mg.Tensor], b: list[mg.Tensor]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(relative_error(x.detach(), y.detach()) <= FLOAT64_RTOL for x, y in pairs)


# -- coupled gates, layer norm, independent units --------------------------------------


def test_a_coupled_lstm_is_one_whose_forget_gate_is_the_input_gates_opposite() -> None:
    layer, plain = make("lstm_coupled"), make("lstm")
    state = {}
    for name, value in layer.state_dict().items():
        i, g, o = value.chunk(3, 0)
        state[name] = mg.cat([i, -i, g, o], 0)
    plain.load_state_dict(state)
    x, hx = draw(T, B, SIZE), start(layer)
    assert close(run(layer, x, hx), run(plain, x, hx))


def test_layer_norm_has_gains_of_one_and_biases_of_zero() -> None:
    layer = make("lstm_layer_norm", num_layers=1)
    state = {k: v.numpy() for k, v in layer.state_dict().items()}
    assert [name for name in state if "reverse" not in name] == [
        f"{name}_l0"
        for name in (
            *("weight_ih", "weight_hh", "g_ih", "g_hh", "g_c"),
            *("bias_ih", "bias_hh", "bias_c"),
        )
    ]
    for name, value in state.items():
        if name.startswith("g_"):
            assert np.all(value == 1)
        elif name.startswith("bias_"):
            assert np.all(value == 0)
        else:
            assert np.all(value != 0)
    bare = make("lstm_layer_norm", num_layers=1, bias=False)
    bare.load_state_dict({k: v for k, v in state.items() if "bias" not in k})
    x = draw(T, B, SIZE)
    assert same(run(bare, x), run(layer, x))


def test_layer_norm_does_not_see_what_all_gates_have_in_common() -> None:
    layer = make("lstm_layer_norm")
    moved = twin("lstm_layer_norm", layer)
    for name, parameter in moved.named_parameters():
        if name.startswith("weight"):
            row = draw(1, parameter.shape[1], seed=3)
            parameter.assign(parameter + row)
    x, hx = draw(T, B, SIZE), start(layer)
    assert close(run(moved, x, hx), run(layer, x, hx))


def test_the_units_of_an_indrnn_are_independent() -> None:
    layer = seq.Recurrent(CELLS["indrnn"], SIZE, HIDDEN, dtype=mg.float64, generator=1)
    assert layer.weight_hh_l0.shape == (HIDDEN,)
    layer.bias_ih_l0.assign(np.full(HIDDEN, 9.0))  # all of them active
    h_0 = draw(1, B, HIDDEN).requires_grad_()
    output, _ = layer(draw(T, B, SIZE), h_0)
    for unit in range(HIDDEN):
        (grad,) = mg.grad(output[-1, :, unit].sum(), [h_0], retain_graph=True)
        assert np.array_equal(np.any(grad.numpy(), (0, 1)), np.arange(HIDDEN) == unit)


# -- zoneout ---------------------------------------------------------------------------

ZONEOUT = [("lstm", ("keep_h", "keep_c")), ("gru", ("keep_h",))]
zoneout = pytest.mark.parametrize(("plain", "names"), ZONEOUT)


@zoneout
@pytest.mark.parametrize("lengths", [None, [2, 5, 0]])
def test_who_keeps_everything_never_moves(
    plain: str, names: tuple[str, ...], lengths: Any
) -> None:
    layer = make(f"{plain}_zoneout", num_layers=1)
    hx = start(layer)
    for dtype in (mg.float64, mg.bool):
        keep = np.ones((2, T, B, HIDDEN), dtype)
        data = dict.fromkeys(names, keep)
        found = run(layer, draw(T, B, SIZE), hx, lengths=lengths, **data)
        states = hx if isinstance(hx, tuple) else (hx,)
        assert same(found[1:], list(states))
        if lengths is None:
            still = mg.cat([states[0][0], states[0][1]], -1)
            assert same([found[0]], [mg.stack([still] * T)])


@zoneout
def test_who_keeps_nothing_is_the_plain_layer(
    plain: str, names: tuple[str, ...]
) -> None:
    layer = make(f"{plain}_zoneout")
    x, hx = draw(T, B, SIZE), start(layer)
    for keep in (np.zeros((4, T, B, HIDDEN)), np.zeros((4, T, B, HIDDEN), bool)):
        found = run(layer, x, hx, **dict.fromkeys(names, keep))
        assert same(found, run(twin(plain, layer), x, hx))


@zoneout
def test_bools_are_zeros_and_ones(plain: str, names: tuple[str, ...]) -> None:
    layer = make(f"{plain}_zoneout")
    x, hx = draw(T, B, SIZE), start(layer)
    masks = {n: draw(4, T, B, HIDDEN, seed=i).numpy() > 0 for i, n in enumerate(names)}
    ones = {name: mask.astype(np.float64) for name, mask in masks.items()}
    assert same(run(layer, x, hx, **masks), run(layer, x, hx, **ones))


@zoneout
def test_in_evaluation_a_probability_gives_the_mean(
    plain: str, names: tuple[str, ...]
) -> None:
    module = seq.RecurrentCell(
        CELLS[f"{plain}_zoneout"], SIZE, HIDDEN, dtype=mg.float64
    )

    def step(keep: float) -> Any:
        data = dict.fromkeys(names, np.full((B, HIDDEN), keep))
        hx = tuple(draw(B, HIDDEN, seed=i) for i in range(len(names)))
        return run(module, draw(B, SIZE), hx if len(hx) > 1 else hx[0], **data)

    moved, kept, mean = step(0.0), step(1.0), step(0.3)
    expected = [0.7 * a + 0.3 * b for a, b in zip(moved, kept, strict=True)]
    assert close(mean, expected)


# -- recurrent dropout -----------------------------------------------------------------

dropout = pytest.mark.parametrize("plain", ["lstm", "gru"])


@dropout
def test_who_drops_nothing_is_the_plain_layer(plain: str) -> None:
    layer = make(f"{plain}_recurrent_dropout")
    x, hx = draw(T, B, SIZE), start(layer)
    for mask in (np.ones((4, B, HIDDEN)), np.ones((4, B, HIDDEN), bool)):
        found = run(layer, x, hx, mask_h=mask)
        assert same(found, run(twin(plain, layer), x, hx))


@dropout
def test_who_drops_everything_has_gates_that_see_no_past(plain: str) -> None:
    layer = make(f"{plain}_recurrent_dropout")
    blind = twin(plain, layer)
    for name, parameter in blind.named_parameters():
        if name.startswith("weight_hh"):
            parameter.assign(np.zeros(parameter.shape))
    x, hx = draw(T, B, SIZE), start(layer)
    found = run(layer, x, hx, mask_h=np.zeros((4, B, HIDDEN)))
    assert close(found, run(blind, x, hx))


@dropout
def test_one_mask_scales_the_columns_at_every_step(plain: str) -> None:
    layer = make(f"{plain}_recurrent_dropout", num_layers=1)
    scaled = twin(plain, layer)
    mask = np.array([0.0, 2.0, 0.0, 2.0, 2.0, 0.0])
    for name, parameter in scaled.named_parameters():
        if name.startswith("weight_hh"):
            parameter.assign(parameter * mask)
    x, hx = draw(T, B, SIZE), start(layer)
    found = run(layer, x, hx, mask_h=np.broadcast_to(mask, (2, B, HIDDEN)).copy())
    assert close(found, run(scaled, x, hx))


@pytest.mark.parametrize("plain", ["lstm", "gru"])
@pytest.mark.parametrize("kind", ["zoneout", "recurrent_dropout"])
def test_masks_are_given_at_every_call(plain: str, kind: str) -> None:
    name = "keep_h" if kind == "zoneout" else "mask_h"
    with pytest.raises(ArgumentError, match=rf"takes the data \['?.*'{name}'\] as"):
        make(f"{plain}_{kind}")(draw(T, B, SIZE))
