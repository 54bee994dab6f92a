"""Parameters of the layers: PyTorch's names, order, shapes and initial values."""

import copy
import math
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import minigrad as mg
import seq
from minigrad.errors import StateDictError

SIZE, HIDDEN = 4, 6
every_kind = pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RNN", {}),
        ("RNN", {"nonlinearity": "relu"}),
        ("GRU", {}),
        ("LSTM", {}),
        ("LSTM", {"proj_size": 2}),
    ],
)


def make(kind: str = "LSTM", **options: Any) -> seq.Recurrent:
    plain = {"num_layers": 2, "bidirectional": True, "generator": 1}
    arguments = {**plain, "dtype": mg.float64, **options}
    made: seq.Recurrent = getattr(seq, kind)(SIZE, HIDDEN, **arguments)
    return made


def assert_same(a: Mapping[str, mg.Tensor], b: Mapping[str, mg.Tensor]) -> None:
    assert list(a) == list(b)
    for name, value in a.items():
        assert np.array_equal(value, b[name]), name


@every_kind
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_weights_move_both_ways_by_name(
    kind: str, options: Any, num_layers: int, bidirectional: bool, bias: bool
) -> None:
    kwargs = {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias}
    ours = make(kind, **kwargs, **options)
    theirs = getattr(torch.nn, kind)(
        SIZE, HIDDEN, dtype=torch.float64, **kwargs, **options
    )
    assert repr(ours) == repr(theirs)
    check_exchange(ours, theirs)


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("bias", [False, True])
def test_weights_of_cells_move_both_ways_by_name(kind: str, bias: bool) -> None:
    ours = getattr(seq, kind)(SIZE, HIDDEN, bias)
    theirs = getattr(torch.nn, kind)(SIZE, HIDDEN, bias)
    assert repr(ours) == repr(theirs)
    check_exchange(ours, theirs)


def check_exchange(ours: mg.nn.Module, theirs: torch.nn.Module) -> None:
    """Each one loads what the other had, whole and in the same order."""
    sent = ours.state_dict()
    received = {name: value.clone() for name, value in theirs.state_dict().items()}
    assert list(sent) == list(received)
    theirs.load_state_dict(sent)
    ours.load_state_dict(received)
    for name, value in theirs.state_dict().items():
        assert np.array_equal(value.numpy(), sent[name])
        assert np.array_equal(ours.state_dict()[name], received[name].numpy())


def test_a_state_dict_of_another_layer_is_refused() -> None:
    with pytest.raises(StateDictError, match="missing keys: 'weight_ih_l1'"):
        make().load_state_dict(make(num_layers=1).state_dict())
    with pytest.raises(StateDictError, match="mismatch for weight_ih_l0"):
        make().load_state_dict(make("GRU").state_dict())


@every_kind
def test_initial_values_fill_pytorchs_range(kind: str, options: Any) -> None:
    bound = 1 / math.sqrt(HIDDEN)
    layer = make(kind, **options)
    for parameter in layer.parameters():
        assert bound / 2 < np.abs(parameter.detach().numpy()).max() <= bound
    values = layer.state_dict()
    assert_same(make(kind, **options).state_dict(), values)
    layer.reset_parameters(2)
    assert not np.array_equal(
        layer.state_dict()["weight_hh_l1"], values["weight_hh_l1"]
    )
    layer.reset_parameters(1)
    assert_same(layer.state_dict(), values)


@every_kind
def test_without_a_bias_it_is_zero(kind: str, options: Any) -> None:
    bare, full = make(kind, bias=False, **options), make(kind, **options)
    assert not any("bias" in name for name in bare.state_dict())
    zeros = {name: mg.zeros(*p.shape) for name, p in full.state_dict().items()}
    full.load_state_dict({**zeros, **bare.state_dict()})
    x = mg.randn(5, 2, 4, dtype=mg.float64, generator=0)
    assert np.array_equal(bare(x)[0].detach(), full(x)[0].detach())


def test_it_can_be_copied_pickled_and_cast() -> None:
    layer = make()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_same(twin.state_dict(), layer.state_dict())
        assert twin.cell is layer.cell
    output, (h_n, _) = layer.float()(mg.zeros(5, 2, 4))
    assert output.dtype == h_n.dtype == mg.float32
