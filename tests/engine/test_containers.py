"""Lists of modules are changed as torch's are, and so are the names in a state dict."""

import numpy as np
import pytest
import torch

import minigrad as mg
from minigrad import nn
from minigrad.errors import ArgumentError, DTypeError, IndexRangeError


def make(lib, kind):
    modules = [lib.Linear(2, n) for n in (1, 2, 3)]
    return lib.Sequential(*modules) if kind == "Sequential" else lib.ModuleList(modules)


def assign(lib, held):
    held[-1] = lib.Linear(2, 7)
    held[0] = lib.LayerNorm(5)


def remove_parts(lib, held):
    del held[::2]


def remove_one(lib, held):
    del held[np.int64(-2)]


def insert(lib, held):
    held.insert(1, lib.Linear(2, 8))
    held.insert(0, lib.Tanh())
    held.insert(len(held), lib.LayerNorm(9))


def pop(lib, held):
    assert held.pop(1).weight.shape == (2, 2)
    held.append(lib.Linear(2, 5))


def add_to(lib, held):
    held += make(lib, type(held).__name__)


CHANGES = [assign, remove_parts, remove_one, insert, pop, add_to]


@pytest.mark.parametrize("kind", ["ModuleList", "Sequential"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_list_changes_as_torchs(kind, change):
    ours, theirs = make(nn, kind), make(torch.nn, kind)
    change(nn, ours)
    change(torch.nn, theirs)
    assert repr(ours) == repr(theirs)
    shapes = {name: p.shape for name, p in ours.state_dict().items()}
    assert shapes == {name: tuple(p.shape) for name, p in theirs.state_dict().items()}


@pytest.mark.parametrize("kind", ["ModuleList", "Sequential"])
def test_a_sum_is_a_new_list_as_torchs(kind):
    a, b = make(nn, kind), make(nn, kind)
    theirs = make(torch.nn, kind) + make(torch.nn, kind)
    assert repr(a + b) == repr(theirs)
    assert list(a + b) == [*a, *b]
    assert len(a) == len(b) == 3


def test_a_refused_change_changes_nothing():
    net = make(nn, "Sequential")
    before = list(net)
    with pytest.raises(ArgumentError, match="Sequential holds Modules, got"):
        net[0] = mg.tanh
    with pytest.raises(ArgumentError, match="Sequential holds Modules, got"):
        net.insert(0, mg.tanh)
    with pytest.raises(IndexRangeError, match="index 3 is out of range"):
        net[3] = nn.Tanh()
    with pytest.raises(IndexRangeError, match="index -4 is out of range"):
        del net[-4]
    with pytest.raises(DTypeError, match="an int or a slice, not None"):
        net.pop(None)
    assert list(net) == before


def test_a_numpy_integer_is_an_index():
    net = make(nn, "Sequential")
    assert net[np.int64(1)] is net[1]
