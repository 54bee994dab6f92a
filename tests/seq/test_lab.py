"""The lab: each measure beside a number that is known, or derived in another way."""

from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import init, nn
from minigrad.errors import ArgumentError
from seq.data import tasks
from seq.lab import (
    clipped_run,
    first_nonfinite,
    gate_saturation,
    gradient_norms,
)
from seq.models.shapes import Classifier
from seq.text.padding import Batch

T, B, SIZE, HIDDEN = 7, 3, 4, 5


def make(kind: str, **options: Any) -> seq.Recurrent:
    arguments = {"dtype": mg.float64, "generator": 0, **options}
    layer: seq.Recurrent = getattr(seq, kind)(SIZE, HIDDEN, **arguments)
    return layer


def inputs() -> mg.Tensor:
    return mg.randn(T, B, SIZE, dtype=mg.float64, generator=1)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_the_norms_of_the_gradients_are_torchs(kind: str) -> None:
    layer, x = make(kind, num_layers=2), inputs()
    found = gradient_norms(layer, x, generator=3)
    twin = getattr(torch.nn, kind)(SIZE, HIDDEN, 2).double()
    twin.load_state_dict(
        {k: torch.tensor(v.numpy()) for k, v in layer.state_dict().items()}
    )
    state, path = None, []
    for row in torch.tensor(x.numpy()):
        _, state = twin(row[None], state)
        state = state if isinstance(state, tuple) else (state,)
        for value in state:
            value.retain_grad()
        path.append(state)
        state = state if kind == "LSTM" else state[0]
    u = np.random.default_rng(3).normal(size=(B, HIDDEN))
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    (path[-1][0][-1] * torch.tensor(u)).sum().backward()
    for i, (name, norms) in enumerate(found.items()):
        for distance, norm in enumerate(norms):
            grad = path[T - 1 - distance][i].grad
            expected = 0.0 if grad is None else grad[-1].norm(dim=-1).mean().item()
            assert abs(norm - expected) <= FLOAT64_RTOL, (name, distance)
    assert relative_error(found["h"][0], 1.0) <= FLOAT64_RTOL


def test_the_norms_of_a_frozen_layer_are_those_of_a_trained_one() -> None:
    layer = make("LSTM")
    found = [
        gradient_norms(layer.requires_grad_(on), inputs(), generator=3)
        for on in (True, False)
    ]
    assert found[0]["c"].tolist() == found[1]["c"].tolist()


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_a_linear_recurrence_fades_or_explodes_as_its_power(factor: float) -> None:
    layer = make("RNN", nonlinearity="relu")
    init.constant_(layer.bias_ih_l0, 100.0)  # far from the kink, all is linear
    layer.weight_hh_l0.assign(factor * np.eye(HIDDEN))
    norms = gradient_norms(layer, inputs())["h"]
    assert relative_error(norms, factor ** np.arange(T)) <= FLOAT64_RTOL


@pytest.mark.parametrize(
    ("bias", "closed", "opened"), [(-9, 1, 0), (0, 0, 0), (9, 0, 1)]
)
def test_a_forget_gate_is_as_open_as_its_bias_says(
    bias: int, closed: int, opened: int
) -> None:
    layer = make("LSTM", bidirectional=True)
    for parameter in layer.parameters():
        init.zeros_(parameter)
    forward = np.zeros(4 * HIDDEN)
    forward[HIDDEN : 2 * HIDDEN] = bias
    layer.bias_ih_l0.assign(forward)
    found = gate_saturation(layer, inputs())
    assert sorted(found) == ["f", "i", "o"]
    assert np.all(found["f"].closed == closed) and np.all(found["f"].open == opened)
    assert np.all(found["i"].values == 0.5)


def test_the_grus_gates_are_gates_already() -> None:
    layer = make("GRU")
    values = gate_saturation(layer, inputs())["z"].values
    _, _, internals = layer(inputs(), return_internals=("z",))
    assert np.array_equal(values, internals["z"].detach().numpy().reshape(-1, HIDDEN))


def test_of_the_coupled_lstm_one_name_is_a_gate_and_one_a_sum() -> None:
    layer = seq.Recurrent(seq.CELLS["lstm_coupled"], SIZE, HIDDEN, generator=0)
    for parameter in layer.parameters():
        init.zeros_(parameter)
    bias = np.repeat([-9.0, 0.0, 9.0], HIDDEN)  # of i, g, o
    layer.bias_ih_l0.assign(bias.astype(np.float32))
    found = gate_saturation(layer, inputs().float())
    assert np.all(found["i"].closed == 1) and np.all(found["o"].open == 1)


def test_a_cell_without_known_gates_needs_them_named() -> None:
    with pytest.raises(ArgumentError, match="which names of cell 'rnn_tanh' are gates"):
        gate_saturation(make("RNN"), inputs())
    with pytest.raises(ArgumentError, match="one direction"):
        gradient_norms(make("GRU", bidirectional=True), inputs())
    with pytest.raises(ArgumentError, match="first_nonfinite needs a layer with time"):
        first_nonfinite(make("GRU", batch_first=True), inputs())


def exploding() -> tuple[Classifier, mg.optim.SGD]:
    layer = seq.RNN(20, 16, generator=0)
    layer.weight_hh_l0.assign(3 * layer.weight_hh_l0.detach().numpy())
    embedding = nn.Embedding(20, 20, generator=1)
    model = Classifier(layer, 2, inputs=embedding, generator=2)
    return model, mg.optim.SGD(model.parameters(), lr=1.0)


def sentences(step: int) -> Batch:
    x, y = tasks.agreement(8, 30, np.random.default_rng(step))
    return Batch(x, np.full(8, len(x)), y)


def test_a_clip_by_norm_keeps_the_direction_and_one_by_value_does_not() -> None:
    plain = clipped_run(exploding, sentences, 5)
    by_norm = clipped_run(exploding, sentences, 5, norm=0.1)
    by_value = clipped_run(exploding, sentences, 5, value=0.01)
    assert plain.losses[0] == by_norm.losses[0] == by_value.losses[0]
    assert plain.norms[0] == by_norm.norms[0] == by_value.norms[0] > 1
    for run in (plain, by_norm):
        assert np.all(1 - run.cosines < 1e-6)
    assert np.all(by_value.cosines < 0.9)
    assert len({run.losses[1] for run in (plain, by_norm, by_value)}) == 3


def test_the_norms_of_a_run_are_those_of_each_step_if_a_part_is_not_optimised() -> None:
    def partly() -> tuple[Classifier, mg.optim.SGD]:
        model, _ = exploding()
        return model, mg.optim.SGD(model.head.parameters(), lr=0.0)

    run = clipped_run(partly, lambda step: sentences(0), 3)
    assert run.norms[0] == run.norms[1] == run.norms[2] > 0


@pytest.mark.parametrize("step", [0, 4])
@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_nan_is_found_by_layer_step_and_gate(
    step: int, depth: int, backwards: bool
) -> None:
    layer = make("LSTM", num_layers=2, bidirectional=True)
    x = inputs()
    assert first_nonfinite(layer, x) is None
    suffix = f"_l{depth}" + "_reverse" * backwards
    parameter = getattr(layer, f"bias_ih{suffix}")
    spoilt = parameter.detach().numpy().copy()
    spoilt[HIDDEN + 2] = np.nan  # unit 2 of the forget gate
    parameter.assign(spoilt)
    first = T - 1 if backwards else 0
    direction = "reverse" if backwards else "forward"
    assert first_nonfinite(layer, x) == (depth, direction, first, "f", 2)
    parameter.assign(np.nan_to_num(spoilt))
    bad = x.numpy().copy()
    bad[step, 1, 3] = np.inf
    found = first_nonfinite(layer, bad)
    assert found is not None and found[:4] == (0, "forward", step, "i")


def test_parts_of_weights_are_passed_over() -> None:
    cell = seq.CELLS["gru_reset_before"]
    layer = seq.Recurrent(cell, SIZE, HIDDEN, dtype=mg.float64, generator=0)
    bias = layer.bias_hh_l0.detach().numpy().copy()
    bias[HIDDEN] = np.nan
    layer.bias_hh_l0.assign(bias)
    assert first_nonfinite(layer, inputs()) == (0, "forward", 0, "z", 0)
