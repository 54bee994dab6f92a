"""Modules: names, state, modes and repr, beside torch.nn."""

import copy
import pickle

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    GraphError,
    MissingMethodError,
    StateDictError,
)


class Net(nn.Module):
    def __init__(self):
        self.scale = nn.Parameter(np.ones(()))
        self.layers = nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 2, bias=False)])
        self.drop = nn.Dropout(0.5)
        self.shift = nn.Parameter(np.zeros(2))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.drop(x) * self.scale + self.shift


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.layers = torch.nn.ModuleList(
            [torch.nn.Linear(3, 4), torch.nn.Linear(4, 2, bias=False)]
        )
        self.drop = torch.nn.Dropout(0.5)
        self.shift = torch.nn.Parameter(torch.zeros(2))


NAMES = ["scale", "shift", "layers.0.weight", "layers.0.bias", "layers.1.weight"]


# -- Module: names ---------------------------------------------------------------------


def test_names_are_torchs_in_torchs_order():
    ours, theirs = Net(), TorchNet()
    assert [n for n, _ in ours.named_parameters()] == NAMES
    assert [n for n, _ in theirs.named_parameters()] == NAMES
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict(prefix="a.")) == list(theirs.state_dict(prefix="a."))
    for prefix, recurse in [("a", True), ("", False), ("a.b", False)]:
        ours_names = [n for n, _ in ours.named_parameters(prefix, recurse)]
        assert ours_names == [n for n, _ in theirs.named_parameters(prefix, recurse)]
    assert [n for n, _ in ours.named_modules("m")] == [
        n for n, _ in theirs.named_modules(prefix="m")
    ]
    assert [n for n, _ in ours.named_children()] == [
        n for n, _ in theirs.named_children()
    ]
    assert [type(m).__name__ for m in ours.modules()] == [
        type(m).__name__.replace("Torch", "") for m in theirs.modules()
    ]
    assert list(ours.children()) == [ours.layers, ours.drop]
    assert [p.shape for p in ours.parameters()] == [
        p.shape for p in theirs.parameters()
    ]
    assert list(ours.parameters(recurse=False)) == [ours.scale, ours.shift]


def test_tied_parameters_and_shared_modules_are_listed_once_and_saved_twice():
    for lib in (nn, torch.nn):
        net = lib.ModuleList([lib.Linear(2, 2), lib.Linear(2, 2)])
        net[1].weight = net[0].weight
        net.append(net[0])
        assert [n for n, _ in net.named_parameters()] == [
            "0.weight",
            "0.bias",
            "1.bias",
        ]
        assert list(net.state_dict()) == [
            f"{i}.{name}" for i in range(3) for name in ("weight", "bias")
        ]
        assert [n for n, _ in net.named_modules()] == ["", "0", "1"]
        assert len(net) == 3


def test_an_attribute_is_registered_while_it_is_there():
    net = nn.Module()
    net.a = nn.Parameter([1.0])
    net.b = mg.tensor([1.0])
    net.c = [nn.Parameter([1.0])]
    assert [n for n, _ in net.named_parameters()] == ["a"]
    net.a = None
    assert list(net.parameters()) == []
    net.d = nn.Linear(1, 1)
    assert len(list(net.parameters())) == 2
    del net.d
    assert list(net.parameters()) == []
    with pytest.raises(AttributeError, match="d"):
        _ = net.d


@pytest.mark.parametrize("value", [mg.ones(1, 2), np.ones((1, 2)), 3.0])
def test_what_replaces_a_parameter_is_one(value):
    net = nn.Linear(2, 1)
    weight = net.weight
    with pytest.raises(DTypeError, match=r"Linear.weight is a Parameter.*assign\("):
        net.weight = value
    assert net.weight is weight
    net.weight = nn.Parameter(mg.ones(1, 2))
    net.bias = None
    assert [name for name, _ in net.named_parameters()] == ["weight"]
    net.weight = nn.Linear(2, 1)
    assert len(list(net.parameters())) == 2


@pytest.mark.parametrize("value", [mg.tanh, mg.ones(1, 2), [nn.Tanh()], False])
def test_what_replaces_a_module_is_one(value):
    net, layer = nn.Module(), nn.Linear(1, 1)
    net.layer = layer
    with pytest.raises(DTypeError, match=r"Module\.layer is a Module, which can't"):
        net.layer = value
    assert net.layer is layer
    net.layer = nn.Tanh()
    net.layer = None
    net.layer = value
    assert list(net.modules()) == [net]


# -- Module: state ---------------------------------------------------------------------


def test_state_dicts_go_both_ways():
    ours, theirs = Net(), TorchNet()
    result = ours.load_state_dict(theirs.state_dict())
    assert result == ([], [])
    assert result.missing_keys == [] and result.unexpected_keys == []
    for name, value in ours.state_dict().items():
        assert np.array_equal(value.numpy(), theirs.state_dict()[name].numpy())
        assert not value.requires_grad and type(value) is mg.Tensor
    other = TorchNet()
    other.load_state_dict(ours.state_dict())
    for name, value in other.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])


def test_a_state_dict_is_a_snapshot():
    net = nn.Linear(2, 2)
    saved = net.state_dict()
    values = saved["weight"].tolist()
    net.weight.assign(np.zeros((2, 2), np.float32))
    assert saved["weight"].tolist() == values
    net.load_state_dict(saved)
    assert net.weight.tolist() == values


@pytest.mark.parametrize(
    "make",
    [
        lambda v: v.astype(np.float64),
        lambda v: v.astype(np.float16),
        lambda v: np.asfortranarray(v),
        lambda v: v.astype(int).tolist(),
        lambda v: nn.Parameter(v),
        lambda v: torch.nn.Parameter(torch.tensor(v)),
    ],
    ids=["float64", "float16", "fortran", "lists", "Parameter", "torch Parameter"],
)
def test_values_are_cast_to_the_parameters_dtype(make):
    net = nn.Linear(3, 2)
    weight, bias = np.array([[1, 2, 3], [4, 5, 6]], np.float32), np.float32([7, 8])
    net.load_state_dict({"weight": make(weight), "bias": make(bias)})
    assert np.array_equal(net.weight.detach().numpy(), weight)
    assert net.weight.dtype == net.bias.dtype == mg.float32
    assert net.weight.requires_grad


def test_everything_that_does_not_fit_is_listed_and_nothing_is_assigned():
    net = Net()
    before = {k: v.numpy() for k, v in net.state_dict().items()}
    state = {k: np.full_like(v, 9) for k, v in before.items()}
    del state["scale"]
    state["extra"] = state.pop("shift")
    state["layers.0.weight"] = np.zeros((3, 4))
    state["layers.0.bias"] = np.zeros(4, complex)
    state["layers.1.weight"] = [[1.0], 2.0]
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert message.startswith("cannot load into Net:")
    assert "missing keys: 'scale', 'shift'" in message
    assert "unexpected keys: 'extra'" in message
    assert "layers.0.weight: expected an array of shape (4, 3), got (3, 4)" in message
    assert "layers.0.bias: expected an array of float32, got complex128" in message
    assert "layers.1.weight: expected an array" in message
    assert all(
        np.array_equal(before[k], v.numpy()) for k, v in net.state_dict().items()
    )


@pytest.mark.parametrize("lib", [nn, torch.nn])
def test_not_strict_ignores_keys_but_not_shapes(lib):
    net = lib.Linear(2, 1)
    state = {"weight": torch.full((1, 2), 5.0), "other": torch.zeros(1)}
    assert net.load_state_dict(state, strict=False) == (["bias"], ["other"])
    assert net.weight.tolist() == [[5.0, 5.0]]
    with pytest.raises(RuntimeError, match="weight"):
        net.load_state_dict({"weight": torch.zeros(2, 1)}, strict=False)
    assert net.weight.tolist() == [[5.0, 5.0]]


def test_a_state_dict_is_a_mapping():
    with pytest.raises(ArgumentError, match="mapping"):
        nn.Linear(1, 1).load_state_dict([("weight", 1)])


def test_loading_keeps_the_parameters_the_gradients_and_the_optimiser_s_hold():
    net = nn.Linear(2, 2)
    weight = net.weight
    net(mg.ones(1, 2)).sum().backward()
    grad = weight.grad
    net.load_state_dict(nn.Linear(2, 2).state_dict())
    assert net.weight is weight and weight.grad is grad


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_copies_are_independent_and_keep_ties(clone):
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    net[1].weight = net[0].weight
    net[0].bias.requires_grad_(False)
    twin = clone(net)
    assert twin[1].weight is twin[0].weight
    assert not twin[0].bias.requires_grad and twin[0].weight.requires_grad
    value = net[0].weight.tolist()
    assert twin[0].weight.tolist() == value
    twin[0].weight.assign(np.zeros((2, 2), np.float32))
    assert net[0].weight.tolist() == value


# -- Module: modes ---------------------------------------------------------------------


def test_train_and_eval_reach_every_module():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train() is net
    assert all(m.training for m in net.modules())
    with pytest.raises(ArgumentError, match="True or False"):
        net.train(1)


@pytest.mark.parametrize("lib", [mg, torch], ids=["minigrad", "torch"])
def test_a_module_that_stays_in_eval_does_so_in_a_model(lib):
    class Frozen(lib.nn.Sequential):
        def train(self, mode=True):
            return super().train(False)

    net = lib.nn.Sequential(Frozen(lib.nn.Dropout()), lib.nn.Dropout())
    net.train()
    assert [m.training for m in net.modules()] == [True, False, False, True]
    net.eval()
    assert not any(m.training for m in net.modules())


def test_zero_grad_and_requires_grad():
    net = nn.Linear(2, 1)
    net(mg.ones(1, 2)).sum().backward()
    net.bias.requires_grad_(False)
    net.zero_grad(set_to_none=False)
    assert net.weight.grad.tolist() == [[0.0, 0.0]]
    net.zero_grad()
    assert net.weight.grad is None and net.bias.grad is None
    net.weight.requires_grad = False
    assert not net.weight.requires_grad
    net.weight.requires_grad = True
    assert net.weight.requires_grad
    with pytest.raises(GraphError, match=r"detach\(\)"):
        (net.weight * 2).requires_grad = False
    assert net.requires_grad_(False) is net
    assert not net(mg.ones(1, 2)).requires_grad
    net.requires_grad_()
    assert net(mg.ones(1, 2)).requires_grad


def test_to_keeps_the_parameters_and_casts_the_gradients():
    net = nn.Linear(2, 1)
    weight, value = net.weight, net.weight.tolist()
    net(mg.ones(1, 2)).sum().backward()
    net.bias.requires_grad_(False)
    assert net.double() is net
    assert net.weight is weight and weight.requires_grad and weight.is_leaf
    assert weight.dtype == net.bias.dtype == weight.grad.dtype == mg.float64
    assert weight.tolist() == value
    assert weight.grad.tolist() == [[1.0, 1.0]]
    assert net(mg.ones(1, 2, dtype=mg.float64)).dtype == mg.float64
    with pytest.raises(DTypeError):
        net(mg.ones(1, 2))
    assert net.float().weight.dtype == mg.float32
    assert net.to(np.float64).weight.dtype == mg.float64
    for dtype in (np.int64, np.float16, "int32", complex):
        with pytest.raises(DTypeError, match="float32 or float64"):
            net.to(dtype)


def test_forward_is_the_modules_own():
    with pytest.raises(MissingMethodError, match="Module defines no forward"):
        nn.Module()(1)


# -- repr ------------------------------------------------------------------------------


def test_repr_is_nested_as_torchs():
    net = Net()
    net.table = nn.Embedding(5, 2, padding_idx=-2)
    net.inner = nn.Module()
    assert (
        repr(net)
        == """\
Net(
  (layers): ModuleList(
    (0): Linear(in_features=3, out_features=4, bias=True)
    (1): Linear(in_features=4, out_features=2, bias=False)
  )
  (drop): Dropout(p=0.5)
  (table): Embedding(5, 2, padding_idx=3)
  (inner): Module()
)"""
    )


def test_repr_puts_extra_before_the_children():
    class Named(nn.Module):
        def extra_repr(self):
            return "size=3"

    net = Named()
    assert repr(net) == "Named(size=3)"
    net.child = nn.Embedding(2, 1)
    assert repr(net) == "Named(\n  size=3\n  (child): Embedding(2, 1)\n)"


@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.Linear(3, 4),
        lambda lib: lib.Linear(3, 4, bias=False),
        lambda lib: lib.Embedding(5, 2),
        lambda lib: lib.Embedding(5, 2, padding_idx=1),
        lambda lib: lib.ModuleList([lib.Linear(1, 2), lib.ModuleList()]),
        lambda lib: lib.MSELoss(),
        lambda lib: lib.CrossEntropyLoss(),
    ],
)
def test_repr_is_torchs(make):
    assert repr(make(nn)) == repr(make(torch.nn))


# -- ModuleList ------------------------------------------------------------------------


def test_module_list():
    a, b, c = (nn.Linear(1, n) for n in (1, 2, 3))
    layers = nn.ModuleList([a])
    assert layers.append(b) is layers
    assert layers.extend([c]) is layers
    assert list(layers) == [a, b, c]
    assert len(layers) == 3
    assert layers[0] is a and layers[-1] is c
    assert [n for n, _ in layers.named_children()] == ["0", "1", "2"]
    with pytest.raises(IndexError):
        layers[3]
    with pytest.raises(ArgumentError, match="holds Modules"):
        layers.append(mg.tanh)
    with pytest.raises(ArgumentError, match="holds Modules"):
        nn.ModuleList([a, 3])
