"""Buffers of modules, and modules by name: beside torch.nn."""

import copy
import pickle

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import ArgumentError, DTypeError, MissingNameError, StateDictError

LIBRARIES = pytest.mark.parametrize("lib", [mg, torch], ids=["minigrad", "torch"])


def whiten(lib):
    """A module with two parameters, four buffers, one of them None, and a child."""
    net, inner = lib.nn.Module(), lib.nn.Module()
    net.register_buffer("mean", lib.zeros(2))
    net.scale = lib.nn.Parameter(lib.ones(2))
    net.register_buffer("count", lib.tensor(3))
    net.register_buffer("last", lib.ones(1), persistent=False)
    net.register_buffer("none", None)
    net.inner = inner
    inner.shift = lib.nn.Parameter(lib.ones(1))
    inner.register_buffer("mask", lib.tensor([True, False]))
    return net


# -- buffers ---------------------------------------------------------------------------


def test_buffers_have_torchs_names_in_torchs_order():
    ours, theirs = whiten(mg), whiten(torch)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict()) == [
        *("scale", "mean", "count"),
        *("inner.shift", "inner.mask"),
    ]
    for args in ((), ("a",), ("", False), ("a.b", False)):
        names = [name for name, _ in ours.named_buffers(*args)]
        assert names == [name for name, _ in theirs.named_buffers(*args)]
    assert [b.tolist() for b in ours.buffers()] == [
        b.tolist() for b in theirs.buffers()
    ]
    assert len(list(ours.buffers(recurse=False))) == 3
    assert [n for n, _ in ours.named_parameters()] == ["scale", "inner.shift"]


def test_state_dicts_with_buffers_go_both_ways():
    ours, theirs = whiten(mg), whiten(torch)
    theirs.mean = torch.tensor([0.5, 2.0])
    theirs.inner.mask = torch.tensor([False, False])
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    assert ours.mean.tolist() == [0.5, 2.0] and ours.mean.dtype == mg.float32
    assert ours.inner.mask.tolist() == [False, False]
    other = whiten(torch)
    other.load_state_dict(ours.state_dict())
    assert other.mean.tolist() == [0.5, 2.0] and other.count.dtype == torch.int64


@LIBRARIES
def test_only_what_is_persistent_is_missed(lib):
    net = whiten(lib)
    keys = net.load_state_dict({"last": lib.ones(1)}, strict=False)
    assert keys.unexpected_keys == ["last"]
    assert keys.missing_keys == list(net.state_dict())


def test_a_buffer_that_does_not_fit_is_listed_and_nothing_is_assigned():
    net = whiten(mg)
    state = {**net.state_dict(), "mean": mg.ones(3), "count": 2.5, "scale": mg.zeros(2)}
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(state)
    assert "mismatch for mean: expected an array of shape (2,)" in str(caught.value)
    assert "mismatch for count: expected an array of int64" in str(caught.value)
    assert net.scale.tolist() == [1.0, 1.0]


def test_a_loaded_buffer_is_another_tensor_and_the_old_one_stays():
    net = whiten(mg)
    before, saved = net.mean, net.state_dict()
    net.mean = net.mean + 1
    assert saved["mean"].tolist() == [0.0, 0.0]
    net.load_state_dict({**saved, "mean": [7.0, 8.0]})
    assert before.tolist() == [0.0, 0.0] and net.mean.tolist() == [7.0, 8.0]


@LIBRARIES
def test_a_shared_buffer_is_listed_once_and_saved_twice_and_stays_shared(lib):
    net, buffer = lib.nn.Module(), lib.ones(1)
    net.register_buffer("a", buffer)
    net.register_buffer("b", buffer)
    assert [name for name, _ in net.named_buffers()] == ["a"]
    every = [name for name, _ in net.named_buffers(remove_duplicate=False)]
    assert every == ["a", "b"] == list(net.state_dict())
    net.load_state_dict({"a": lib.zeros(1)}, strict=False)
    assert net.a is net.b and net.b.tolist() == [0.0]


def averages():
    """Two layers with two buffers each, all of which start as one Tensor."""
    zeros, layers = mg.zeros(2), nn.ModuleList([nn.Module(), nn.Module()])
    for layer in layers:
        layer.register_buffer("mean", zeros)
        layer.register_buffer("square", zeros)
    return layers


def test_buffers_that_started_as_one_tensor_are_loaded_each_by_itself():
    net = averages()
    for number, layer in enumerate(net):
        layer.mean, layer.square = layer.mean + number, layer.square + 5
    state, again = net.state_dict(), averages()
    assert again.load_state_dict(state) == ([], [])
    assert {k: v.tolist() for k, v in again.state_dict().items()} == {
        k: v.tolist() for k, v in state.items()
    }


def test_a_buffer_of_a_module_with_two_names_is_loaded_from_one_value():
    net = nn.ModuleList([whiten(mg)])
    net.append(net[0])
    state = {**net.state_dict(), "1.mean": mg.ones(2)}
    with pytest.raises(StateDictError, match=r"0\.mean and 1\.mean are one tensor"):
        net.load_state_dict(state)
    net.load_state_dict({**state, "0.mean": mg.ones(2)})
    assert net[1].mean.tolist() == [1.0, 1.0]


@LIBRARIES
def test_a_buffer_is_one_while_it_is_there(lib):
    net = whiten(lib)
    net.mean = lib.ones(5)
    assert net.state_dict()["mean"].tolist() == [1.0] * 5
    net.mean = None
    assert "mean" not in net.state_dict()
    net.mean = lib.ones(1)
    assert "mean" in net.state_dict()
    net.register_buffer("mean", lib.ones(2), persistent=False)
    assert "mean" not in net.state_dict() and net.mean.tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="buffer"):
        net.mean = 3
    net.mean = lib.nn.Parameter(lib.ones(1))
    assert "mean" not in dict(net.named_buffers()) and "mean" in net.state_dict()
    del net.count
    net.count = lib.tensor(1)
    assert "count" not in dict(net.named_buffers())


@LIBRARIES
def test_a_cast_is_for_buffers_of_floats(lib):
    net = whiten(lib).double()
    dtypes = {name: str(b.dtype).split(".")[-1] for name, b in net.named_buffers()}
    assert dtypes == {
        **{"mean": "float64", "last": "float64"},
        **{"count": "int64", "inner.mask": "bool"},
    }
    assert net.float().mean.dtype == lib.float32


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_copies_have_buffers_of_their_own(again):
    net = whiten(mg)
    twin = again(net)
    twin.mean = mg.ones(2)
    twin.register_buffer("more", mg.ones(1))
    assert net.mean.tolist() == [0.0, 0.0] and "more" not in net.state_dict()
    assert list(twin.state_dict())[:3] == ["scale", "mean", "count"]
    assert "last" in dict(twin.named_buffers()) and "last" not in twin.state_dict()


def test_a_shallow_copy_has_buffers_of_its_own_too():
    net = whiten(mg)
    before = list(net.state_dict())
    twin = copy.copy(net)
    twin.register_buffer("more", mg.ones(1))
    del twin.count
    twin.mean = nn.Parameter(mg.ones(2))
    assert list(net.state_dict()) == before
    assert net.double().mean.dtype == mg.float64
    names = [n for n, _ in twin.named_buffers(recurse=False)]
    assert names == ["last", "more"]


@pytest.mark.parametrize("name", ["", "a.b", 3, "scale", "forward", "training"])
def test_a_buffer_needs_a_name_that_is_free(name):
    for lib, error in ((mg, ArgumentError), (torch, (KeyError, TypeError))):
        with pytest.raises(error):
            whiten(lib).register_buffer(name, lib.ones(1))
    with pytest.raises(ArgumentError, match=r"can't name a buffer.*not taken"):
        whiten(mg).register_buffer(name, mg.ones(1))


def test_a_buffer_is_a_tensor_and_no_parameter():
    net = whiten(mg)
    with pytest.raises(
        DTypeError, match=r"Module.c is a buffer.*not 3; make it a Tens"
    ):
        net.register_buffer("c", 3)
    with pytest.raises(DTypeError, match="not float64"):
        net.register_buffer("c", np.ones(2))
    with pytest.raises(DTypeError, match=r"can't be a Parameter.*its detach\(\)"):
        net.register_buffer("c", nn.Parameter([1.0]))
    assert "c" not in dict(net.named_buffers()) and not hasattr(net, "c")


# -- ModuleDict ------------------------------------------------------------------------


@LIBRARIES
def test_module_dict_is_torchs(lib):
    make = lib.nn.Linear
    a, b, c = make(2, 1), make(2, 2), make(2, 3)
    held = lib.nn.ModuleDict({"a": a, "b": b})
    assert held["a"] is a and held.b is b and "a" in held and "c" not in held
    assert (list(held), len(held)) == (["a", "b"], 2)
    assert list(held.keys()) == ["a", "b"] and list(held.values()) == [a, b]
    assert list(held.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    held["a"] = c
    held["d"] = a
    assert list(held.items()) == [("a", c), ("b", b), ("d", a)]
    assert held.pop("b") is b
    held.update([("e", b)])
    held.update(lib.nn.ModuleDict({"f": c}))
    assert list(held) == ["a", "d", "e", "f"]
    del held["d"]
    assert list(held) == ["a", "e", "f"]
    for ask in (held.__getitem__, held.__delitem__, held.pop):
        with pytest.raises(KeyError, match="zz"):
            ask("zz")
    held.clear()
    assert len(held) == 0 and list(held.parameters()) == []


def test_module_dict_shows_itself_as_torchs():
    def named(lib):
        return lib.nn.ModuleDict([("a", lib.nn.Tanh()), ("b", lib.nn.ModuleDict())])

    assert repr(named(mg)) == repr(named(torch))


@pytest.mark.parametrize("name", ["keys", "training", "a.b", "", 3])
def test_module_dict_refuses_names(name):
    with pytest.raises((KeyError, TypeError)):
        torch.nn.ModuleDict()[name] = torch.nn.Tanh()
    with pytest.raises(ArgumentError, match="ModuleDict can't name a module"):
        nn.ModuleDict()[name] = nn.Tanh()


@pytest.mark.parametrize("modules", [3, [3], [("a",)], [nn.Tanh()]], ids=str)
def test_module_dict_takes_pairs(modules):
    with pytest.raises(ArgumentError, match=r"a dict of Modules by name, or pairs"):
        nn.ModuleDict(modules)


def test_module_dict_says_what_is_there():
    held = nn.ModuleDict({"a": nn.Tanh()})
    with pytest.raises(
        MissingNameError, match=r"^ModuleDict has no module 'b'; it has"
    ):
        held["b"]
    for name in ("a", "b"):
        with pytest.raises(ArgumentError, match="holds Modules, got 3"):
            held[name] = 3
