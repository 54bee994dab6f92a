"""LayerNorm, Sequential, tied weights, copies: beside torch.nn."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn, optim
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    IndexRangeError,
    MinigradError,
    ShapeError,
    StateDictError,
)
from seq.cells import mgu


def close(actual, expected):
    if isinstance(actual, mg.Tensor):
        actual = actual.detach().numpy()
    return relative_error(actual, expected.detach().numpy()) <= FLOAT64_RTOL


def pickled(value):
    return pickle.loads(pickle.dumps(value))


every_copy = pytest.mark.parametrize("clone", [copy.deepcopy, pickled])


# -- LayerNorm -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, norm", [((5,), 5), ((2, 3, 5), 5), ((2, 3, 5), (3, 5)), ((4, 3), [3])]
)
@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"elementwise_affine": False}, {"eps": 0.5}]
)
def test_layer_norm_is_torchs(shape, norm, options):
    rng = np.random.default_rng(0)
    ours = nn.LayerNorm(norm, **options, dtype=mg.float64)
    theirs = torch.nn.LayerNorm(norm, **options, dtype=torch.float64)
    assert repr(ours) == repr(theirs)
    state = {k: v.tolist() for k, v in ours.state_dict().items()}
    assert state == {k: v.tolist() for k, v in theirs.state_dict().items()}
    drawn = {k: rng.normal(size=np.shape(v)) for k, v in state.items()}
    ours.load_state_dict(drawn)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in drawn.items()})
    x, g = rng.normal(size=shape), rng.normal(size=shape)
    a = mg.Tensor(x, requires_grad=True)
    b = torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    assert close(y, z)
    y.backward(mg.tensor(g))
    z.backward(torch.tensor(g))
    assert close(a.grad, b.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert close(p.grad, q.grad)
    ours.reset_parameters()
    assert {k: v.tolist() for k, v in ours.state_dict().items()} == state


def test_layer_norm_refuses():
    for shape in (0, -1, (), (3, 0), 2.5, (2, 2.5), None, "3"):
        with pytest.raises(ArgumentError, match="normalized_shape"):
            nn.LayerNorm(shape)
    for eps in (-1.0, math.nan, "0", None):
        with pytest.raises(ArgumentError, match="eps must be a number >= 0"):
            nn.LayerNorm(3, eps=eps)
    with pytest.raises(DTypeError):
        nn.LayerNorm(3, dtype=mg.int64)
    layer = nn.LayerNorm((2, 3))
    for x in (mg.zeros(3), mg.zeros(3, 2), mg.zeros(2, 4)):
        with pytest.raises(ShapeError, match=r"\(2, 3\)"):
            layer(x)
    with pytest.raises(DTypeError):
        layer(mg.zeros(2, 3, dtype=mg.float64))


# -- apply -----------------------------------------------------------------------------


def test_a_function_is_applied_to_each_module_in_torchs_order():
    def seen(lib):
        shared, names = lib.nn.Tanh(), []
        net = lib.nn.Sequential(lib.nn.Sequential(lib.nn.Linear(2, 3), shared), shared)
        assert net.apply(lambda m: names.append(type(m).__name__)) is net
        return names

    assert seen(mg) == seen(torch)


# -- Sequential ------------------------------------------------------------------------


def stack(lib):
    return lib.nn.Sequential(
        lib.nn.Linear(3, 4),
        lib.nn.LayerNorm(4),
        lib.nn.Tanh(),
        lib.nn.Linear(4, 4),
        lib.nn.ReLU(),
        lib.nn.Linear(4, 2),
        lib.nn.Sigmoid(),
    )


def test_sequential_is_torchs():
    ours, theirs = stack(mg).double(), stack(torch).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).normal(size=(5, 3))
    y, z = ours(mg.tensor(x)), theirs(torch.tensor(x))
    assert close(y, z)
    y.sum().backward()
    z.sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert close(p.grad, q.grad)


def test_sequential_is_a_list():
    a, b, c = (nn.Linear(2, 2) for _ in range(3))
    net = nn.Sequential(a, b)
    assert net.append(c) is net
    assert (len(net), list(net), net[0], net[-1]) == (3, [a, b, c], a, c)
    part = net[1:]
    assert isinstance(part, nn.Sequential) and list(part) == [b, c]
    assert [n for n, _ in part.named_children()] == ["1", "2"]
    x = mg.ones(1, 2)
    assert np.array_equal(part(x).detach(), c(b(x)).detach())
    assert nn.Sequential()(x) is x
    layers = nn.ModuleList([a, b, c])[1:]
    assert isinstance(layers, nn.ModuleList)
    assert [n for n, _ in layers.named_children()] == ["0", "1"]
    for index in (3, -4):
        with pytest.raises(IndexRangeError, match="there are 3 modules"):
            net[index]


def test_sequential_takes_names():
    named = {"first": nn.Linear(2, 3), "act": nn.Tanh()}
    net = nn.Sequential(named)
    assert list(net.state_dict()) == ["first.weight", "first.bias"]
    assert net.first is named["first"]
    assert list(net[:1].state_dict()) == ["first.weight", "first.bias"]


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: nn.Sequential(mg.tanh), "Sequential holds Modules, got"),
        (lambda: nn.Sequential([nn.Tanh()]), "Sequential holds Modules, got"),
        (lambda: nn.Sequential({"a.b": nn.Tanh()}), "name without a dot"),
        (lambda: nn.Sequential({"": nn.Tanh()}), "can't name a module ''"),
        (lambda: nn.Sequential({"forward": nn.Tanh()}), "that is not taken"),
        (lambda: nn.Sequential({3: nn.Tanh()}), "can't name a module 3"),
    ],
)
def test_sequential_refuses(make, match):
    with pytest.raises(ArgumentError, match=match):
        make()


# -- tied weights ----------------------------------------------------------------------


class Tied:
    """A language model whose output weights are its embedding's."""

    def __init__(self):
        super().__init__()
        self.embed = self.lib.nn.Embedding(7, 3)
        self.decode = self.lib.nn.Linear(3, 7)
        self.decode.weight = self.embed.weight

    def forward(self, words):
        return self.decode(self.lib.tanh(self.embed(words)))


class OurTied(Tied, nn.Module):
    lib = mg


class TheirTied(Tied, torch.nn.Module):
    lib = torch


def test_a_tied_parameter_is_one_parameter_with_two_names():
    ours, theirs = OurTied(), TheirTied()
    for net in (ours, theirs):
        assert [n for n, _ in net.named_parameters()] == ["embed.weight", "decode.bias"]
        every = [n for n, _ in net.named_parameters(remove_duplicate=False)]
        assert every == list(net.state_dict())
        assert every == ["embed.weight", "decode.weight", "decode.bias"]
        assert len(list(net.parameters())) == 2


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_tied_weights_train_as_torchs(name):
    ours, theirs = OurTied().double(), TheirTied().double()
    ours.load_state_dict(theirs.state_dict())
    assert ours.decode.weight is ours.embed.weight
    rng = np.random.default_rng(0)
    words, labels = rng.integers(0, 7, (2, 20))
    sides = []
    for net in (ours, theirs):
        lib = net.lib
        loss = lib.nn.CrossEntropyLoss()
        steps = getattr(lib.optim, name)(net.parameters(), lr=0.1)
        for _ in range(10):
            steps.zero_grad()
            loss(net(lib.tensor(words)), lib.tensor(labels)).backward()
            steps.step()
        sides.append(net.state_dict())
    for key, value in sides[0].items():
        assert close(value, sides[1][key])
    assert ours.decode.weight is ours.embed.weight


def test_a_tied_parameter_is_loaded_from_one_value():
    net = OurTied()
    state = {k: np.array(v) for k, v in net.state_dict().items()}
    before = net.embed.weight.tolist()
    state["decode.weight"] = state["decode.weight"] + 1
    for strict in (True, False):
        with pytest.raises(
            StateDictError, match=r"embed\.weight and decode\.weight are one tensor"
        ):
            net.load_state_dict(state, strict=strict)
    assert net.embed.weight.tolist() == before
    state["embed.weight"] = np.full_like(state["decode.weight"], np.nan)
    state["decode.weight"] = state["embed.weight"]
    net.load_state_dict(state)
    assert np.all(np.isnan(net.decode.weight.tolist()))
    del state["decode.weight"]
    with pytest.raises(StateDictError, match=r"missing keys: 'decode\.weight'"):
        net.load_state_dict(state)
    net.load_state_dict(state, strict=False)


def test_ties_survive_a_change_of_dtype():
    net = OurTied().double()
    assert net.decode.weight is net.embed.weight
    assert net.decode.weight.dtype == mg.float64


# -- copies ----------------------------------------------------------------------------


def models():
    tied = OurTied()
    frozen = nn.Linear(2, 2)
    frozen.bias.requires_grad_(False)
    return [
        tied,
        frozen,
        stack(mg).eval(),
        nn.Sequential(nn.Dropout(0.25), nn.Embedding(3, 2, padding_idx=1)),
        seq.LSTM(3, 4, num_layers=2, dropout=0.5, proj_size=2, generator=0),
        seq.Recurrent(mgu, 3, 4, bidirectional=True).eval(),
        seq.GRUCell(3, 4, dtype=mg.float64),
        nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum"),
    ]


@every_copy
@pytest.mark.parametrize("net", models(), ids=lambda net: type(net).__name__)
def test_a_copy_is_the_same_and_independent(clone, net):
    twin = clone(net)
    assert type(twin) is type(net) and repr(twin) == repr(net)
    assert [m.training for m in twin.modules()] == [m.training for m in net.modules()]
    ours, theirs = dict(net.named_parameters()), dict(twin.named_parameters())
    assert list(ours) == list(theirs)
    for name, p in ours.items():
        q = theirs[name]
        assert type(q) is nn.Parameter and q is not p and q.is_leaf
        assert (q.dtype, q.requires_grad) == (p.dtype, p.requires_grad)
        assert p.tolist() == q.tolist()
        before = p.tolist()
        q.assign(np.zeros(q.shape, q.dtype))
        assert p.tolist() == before


@every_copy
def test_a_copy_draws_the_same_masks(clone):
    layer = seq.LSTM(3, 4, num_layers=2, dropout=0.5, generator=0)
    twin = clone(layer)
    x = mg.ones(5, 2, 3)
    assert layer(x)[0].tolist() == twin(x)[0].tolist()


@every_copy
def test_copied_ties_are_ties_of_the_copy(clone):
    net = OurTied()
    twin = clone(net)
    assert twin.decode.weight is twin.embed.weight
    steps = optim.SGD(twin.parameters(), lr=1.0)
    twin(mg.tensor([0, 1])).sum().backward()
    steps.step()
    assert twin.decode.weight.tolist() == twin.embed.weight.tolist()
    assert twin.embed.weight.tolist() != net.embed.weight.tolist()


@every_copy
def test_only_leaves_are_copied(clone):
    leaf = mg.Tensor([1.0, 2.0], requires_grad=True)
    twin = clone(leaf)
    assert twin.requires_grad and twin.is_leaf and twin.tolist() == [1.0, 2.0]
    with pytest.raises(MinigradError, match="only a leaf can be copied"):
        clone(leaf * 2)
