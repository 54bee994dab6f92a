"""Linear, Embedding, Dropout and the losses, beside torch.nn."""

import math

import numpy as np
import pytest
import torch

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    IndexRangeError,
    ShapeError,
)


def agree(actual, expected):
    if isinstance(actual, mg.Tensor):
        actual = actual.detach().numpy()
    assert relative_error(actual, expected.detach().numpy()) <= FLOAT64_RTOL


LAYERS = {"Linear": (2, 3), "Embedding": (2, 3), "LayerNorm": (2,), "GRU": (2, 3)}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_no_dtype_is_float32(name):
    ours = getattr(nn if hasattr(nn, name) else seq, name)
    for kind, float32 in ((ours, mg.float32), (getattr(torch.nn, name), torch.float32)):
        layer = kind(*LAYERS[name], dtype=None)
        assert {p.dtype for p in layer.parameters()} == {float32}


@pytest.mark.parametrize("name", [*LAYERS, "GRUCell"])
def test_sizes_may_be_numpys_integers(name):
    """As labels.max() + 1 is one."""
    ours = getattr(nn if hasattr(nn, name) else seq, name)
    sizes = LAYERS.get(name, (2, 3))
    layer, same = ours(*map(np.int64, sizes)), ours(*sizes)
    assert repr(layer) == repr(same)
    kept = [v for v in vars(layer).values() if isinstance(v, int | np.integer)]
    assert {type(v) for v in kept} <= {int, bool}
    shapes = [p.shape for p in layer.parameters()]
    assert shapes == [p.shape for p in same.parameters()]


def test_layers_of_layers_may_be_numpys_integers():
    layer = seq.GRU(np.int64(2), np.int32(3), np.int64(2))
    assert repr(layer) == repr(seq.GRU(2, 3, 2))
    assert {type(n) for p in layer.places.values() for n in p.values()} == {int}


# -- Linear ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_its_gradients(shape, bias):
    ours = nn.Linear(3, 4, bias, dtype=mg.float64, generator=0)
    theirs = torch.nn.Linear(3, 4, bias, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    rng = np.random.default_rng(0)
    data, cotangent = rng.normal(size=shape), rng.normal(size=(*shape[:-1], 4))
    x = mg.tensor(data, requires_grad=True)
    u = torch.tensor(data, requires_grad=True)
    y, v = ours(x), theirs(u)
    y.backward(mg.tensor(cotangent))
    v.backward(torch.tensor(cotangent))
    agree(y, v)
    agree(x.grad, u.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        agree(p.grad, q.grad)


def test_linear_starts_within_torchs_bounds_from_its_generator():
    layer = nn.Linear(16, 5, generator=3)
    bound = 1 / math.sqrt(16)
    # One stream for both: the bias is not the beginning of the weight.
    stream = np.random.default_rng(3)
    for p, shape in ((layer.weight, (5, 16)), (layer.bias, (5,))):
        drawn = stream.uniform(-bound, bound, shape).astype(np.float32)
        assert np.array_equal(p.detach().numpy(), drawn)
    theirs = torch.nn.Linear(16, 1000)
    assert max(abs(theirs.weight).max(), abs(theirs.bias).max()) <= bound
    mg.manual_seed(3)
    assert nn.Linear(16, 5).weight.tolist() == layer.weight.tolist()


def test_linear_refuses():
    layer = nn.Linear(3, 4)
    for shape in [(4,), (2, 4), ()]:
        with pytest.raises(ShapeError, match=r"Linear\(in_features=3.*\(\.\.\., 3\)"):
            layer(mg.ones(*shape))
    with pytest.raises(DTypeError):
        layer(mg.ones(2, 3, dtype=mg.float64))
    for sizes in [(0, 1), (1, -1), (2.0, 1), (1, "2")]:
        with pytest.raises(ArgumentError, match="_features must be an int >= 1"):
            nn.Linear(*sizes)
    with pytest.raises(DTypeError):
        nn.Linear(1, 1, dtype=np.int64)
    with pytest.raises(ArgumentError, match="Generator"):
        nn.Linear(1, 1, generator="0")


# -- Embedding -------------------------------------------------------------------------


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
@pytest.mark.parametrize("index", [[1, 2, 1, 6], [[0, 2], [6, 6]], 2, []])
def test_embedding_and_its_gradient(padding_idx, index):
    ours = nn.Embedding(7, 3, padding_idx, dtype=mg.float64, generator=0)
    theirs = torch.nn.Embedding(7, 3, padding_idx, dtype=torch.float64)
    assert ours.padding_idx == theirs.padding_idx
    theirs.load_state_dict(ours.state_dict())
    array = np.array(index, np.int64)
    y, v = ours(mg.tensor(array)), theirs(torch.tensor(array))
    agree(y, v)
    cotangent = np.random.default_rng(1).normal(size=v.shape)
    y.backward(mg.tensor(cotangent))
    v.backward(torch.tensor(cotangent))
    agree(ours.weight.grad, theirs.weight.grad)


def test_embedding_starts_normal_with_a_row_of_zeros():
    drawn = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)
    table = nn.Embedding(6, 10, generator=0)
    assert np.array_equal(table.weight.detach().numpy(), drawn)
    padded = nn.Embedding(6, 10, padding_idx=-1, generator=0)
    drawn[5] = 0
    assert np.array_equal(padded.weight.detach().numpy(), drawn)


def test_embedding_refuses():
    table = nn.Embedding(3, 2)
    for index in (3, -1):
        with pytest.raises(IndexRangeError):
            table(mg.tensor([index]))
    with pytest.raises(DTypeError):
        table(mg.tensor([1.0]))
    for padding_idx in (3, -4):
        with pytest.raises(ArgumentError, match="padding_idx"):
            nn.Embedding(3, 2, padding_idx)
    for sizes in [(0, 1), (1, 0), (1.0, 1)]:
        with pytest.raises(ArgumentError, match="must be an int >= 1"):
            nn.Embedding(*sizes)


# -- Dropout ---------------------------------------------------------------------------


def test_dropout_takes_its_mask_as_data():
    drop = nn.Dropout(0.25)
    x = mg.tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    y = drop(x, mask=np.array([True, False, True]))
    agree(y, torch.tensor([1.0, 0.0, 3.0]).double() / 0.75)
    y.sum().backward()
    agree(x.grad, torch.tensor([1.0, 0.0, 1.0]).double() / 0.75)


def test_dropout_draws_from_its_generator_when_training():
    drop, x = nn.Dropout(0.5), mg.ones(1000)
    y = drop(x, generator=4)
    assert y.tolist() == drop(x, generator=4).tolist()
    assert y.tolist() != drop(x, generator=5).tolist()
    assert set(y.tolist()) == {0.0, 2.0}
    mg.manual_seed(4)
    assert drop(x).tolist() == y.tolist()
    assert drop.eval()(x).tolist() == x.tolist()
    assert drop(x, mask=np.zeros(1000, bool)).tolist() == x.tolist()


def test_dropout_at_its_ends():
    x = mg.ones(5)
    assert nn.Dropout(0.0)(x).tolist() == [1.0] * 5
    assert nn.Dropout(1.0)(x).tolist() == [0.0] * 5
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match="probability"):
            nn.Dropout(p)


# -- losses ----------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_classification_losses_pass_their_options_on(reduction, weighted):
    rng = np.random.default_rng(0)
    logits, weights = rng.normal(size=(5, 3)), rng.uniform(0.5, 2.0, 3)
    labels = np.array([0, 2, 1, 2, 0])
    options = {"ignore_index": 1, "reduction": reduction}
    for name, more in [("CrossEntropyLoss", {"label_smoothing": 0.2}), ("NLLLoss", {})]:
        sides = [
            getattr(lib.nn, name)(
                lib.tensor(weights) if weighted else None, **options, **more
            )(lib.tensor(logits), lib.tensor(labels))
            for lib in (mg, torch)
        ]
        agree(*sides)


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
def test_the_weight_of_a_loss_is_saved_and_cast_with_its_model(name):
    logits, labels = np.array([[0.5, 1.0, 2.0]]), np.array([1])
    sides, states = [], []
    for lib in (mg, torch):
        net, values = lib.nn.Module(), np.array([1.0, 2.0, 3.0], np.float32)
        net.loss = getattr(lib.nn, name)(lib.tensor(values))
        net.free = getattr(lib.nn, name)()
        net.double()
        states.append(net.state_dict())
        sides.append(net.loss(lib.tensor(logits), lib.tensor(labels)))
    agree(*sides)
    assert list(states[0]) == list(states[1]) == ["loss.weight"]
    model = nn.ModuleDict({"loss": getattr(nn, name)(np.ones(3))})
    model.load_state_dict(states[1])
    assert model["loss"].weight.tolist() == [1.0, 2.0, 3.0]
    trained = getattr(nn, name)(nn.Parameter([1.0, 2.0, 3.0]))
    assert [n for n, _ in trained.named_parameters()] == ["weight"]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss(reduction):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    sides = [
        lib.nn.MSELoss(reduction=reduction)(lib.tensor(a), lib.tensor(b))
        for lib in (mg, torch)
    ]
    agree(*sides)


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "MSELoss"])
def test_an_unknown_reduction_is_refused(name):
    target = mg.zeros(2, 3) if name == "MSELoss" else mg.tensor([0, 1])
    with pytest.raises(ArgumentError, match="reduction"):
        getattr(nn, name)(reduction="average")(mg.zeros(2, 3), target)
