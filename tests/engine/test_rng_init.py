"""Generators and initial values."""

import math

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import init, nn, rng
from minigrad.errors import ArgumentError, ShapeError


def parameter(*shape, dtype=np.float64):
    return nn.Parameter(np.full(shape, 7.0, dtype))


# -- rng -------------------------------------------------------------------------------


def test_a_generator_is_returned_as_it_is():
    g = np.random.default_rng(3)
    assert rng.generator(g) is g


@pytest.mark.parametrize("seed", [0, 5, 2**70, np.int64(5)])
def test_an_int_seeds_numpys_default_generator(seed):
    expected = np.random.default_rng(int(seed)).random(4)
    assert np.array_equal(rng.generator(seed).random(4), expected)


def test_none_is_one_generator_that_manual_seed_restarts_in_place():
    held = rng.generator(None)
    assert rng.generator() is held
    assert mg.manual_seed(11) is held
    first = held.random(4)
    mg.manual_seed(11)
    assert np.array_equal(held.random(4), first)
    assert np.array_equal(first, np.random.default_rng(11).random(4))
    mg.manual_seed(12)
    assert not np.array_equal(held.random(4), first)


BAD_GENERATORS = [
    -1,
    1.0,
    True,
    "0",
    [1],
    np.random,
    np.random.RandomState(0),
    torch.Generator(),
]


@pytest.mark.parametrize("g", BAD_GENERATORS, ids=repr)
def test_anything_else_is_refused(g):
    with pytest.raises(ArgumentError, match="Generator or an int seed"):
        rng.generator(g)
    with pytest.raises(ArgumentError, match="int seed"):
        rng.manual_seed(g)


def test_manual_seed_needs_a_seed():
    with pytest.raises(ArgumentError, match="got None"):
        rng.manual_seed(None)


# -- init ------------------------------------------------------------------------------

RANDOM = [
    init.uniform_,
    init.normal_,
    init.xavier_uniform_,
    init.xavier_normal_,
    init.kaiming_uniform_,
    init.kaiming_normal_,
]


@pytest.mark.parametrize("fill", [init.zeros_, init.ones_])
def test_constants(fill):
    p = parameter(2, 3)
    assert fill(p) is p
    assert set(p.detach().numpy().ravel()) == {float(fill is init.ones_)}
    init.constant_(p, 2.5)
    assert set(p.detach().numpy().ravel()) == {2.5}


@pytest.mark.parametrize("fill", RANDOM)
def test_the_seed_decides_and_float32_is_float64_rounded(fill):
    wide = fill(parameter(3, 4), generator=5).detach().numpy()
    assert np.array_equal(fill(parameter(3, 4), generator=5).detach().numpy(), wide)
    assert not np.array_equal(fill(parameter(3, 4), generator=6).detach().numpy(), wide)
    narrow = fill(parameter(3, 4, dtype=np.float32), generator=5).detach().numpy()
    assert narrow.dtype == np.float32
    assert np.array_equal(narrow, wide.astype(np.float32))


@pytest.mark.parametrize("fill", RANDOM)
def test_the_default_generator_is_used_when_none_is_given(fill):
    mg.manual_seed(8)
    drawn = fill(parameter(3, 4)).detach().numpy()
    assert np.array_equal(drawn, fill(parameter(3, 4), generator=8).detach().numpy())


def test_a_generator_moves_on():
    g = np.random.default_rng(0)
    a = init.normal_(parameter(3), generator=g)
    b = init.normal_(parameter(3), generator=g)
    assert a.tolist() != b.tolist()


@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 2)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_xavier_has_torchs_scale(shape, gain):
    fans = sum(torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape)))
    bound, std = gain * math.sqrt(6 / fans), gain * math.sqrt(2 / fans)
    check_scale(init.xavier_uniform_, init.uniform_, shape, (-bound, bound), gain=gain)
    check_scale(init.xavier_normal_, init.normal_, shape, (0.0, std), gain=gain)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize(
    "name, a", [("leaky_relu", 0.0), ("leaky_relu", 5**0.5), ("relu", 0), ("tanh", 0)]
)
def test_kaiming_has_torchs_scale(mode, name, a):
    fan = torch.nn.init._calculate_correct_fan(torch.empty(6, 5), mode)
    std = torch.nn.init.calculate_gain(name, a) / math.sqrt(fan)
    bound = math.sqrt(3) * std
    options = {"a": a, "mode": mode, "nonlinearity": name}
    limits = (-bound, bound)
    check_scale(init.kaiming_uniform_, init.uniform_, (6, 5), limits, **options)
    check_scale(init.kaiming_normal_, init.normal_, (6, 5), (0.0, std), **options)


def check_scale(fill, base, shape, limits, **options):
    actual = fill(parameter(*shape), generator=1, **options).detach().numpy()
    expected = base(parameter(*shape), *limits, generator=1).detach().numpy()
    assert relative_error(actual, expected) <= FLOAT64_RTOL


@pytest.mark.parametrize(
    "name, param",
    [("linear", None), ("sigmoid", None), ("relu", None), ("leaky_relu", 0.3)],
)
def test_gains_are_torchs(name, param):
    args = () if param is None else (param,)
    expected = torch.nn.init.calculate_gain(name, *args)
    assert relative_error(init.calculate_gain(name, *args), expected) <= FLOAT64_RTOL


def test_the_draws_are_numpys():
    x = init.uniform_(parameter(4, 5), -2.0, 4.0, generator=0).detach().numpy()
    assert np.array_equal(x, np.random.default_rng(0).uniform(-2.0, 4.0, (4, 5)))
    z = init.normal_(parameter(4, 5), 3.0, 2.0, generator=0).detach().numpy()
    assert np.array_equal(z, np.random.default_rng(0).normal(3.0, 2.0, (4, 5)))


def test_bad_arguments():
    p = parameter(2, 2)
    with pytest.raises(ArgumentError, match="a <= b"):
        init.uniform_(p, 1.0, 0.0)
    with pytest.raises(ArgumentError, match="a <= b"):
        init.uniform_(p, math.nan, 0.0)
    with pytest.raises(ArgumentError, match="standard deviation"):
        init.normal_(p, 0.0, -1.0)
    with pytest.raises(ArgumentError, match="fan_in"):
        init.kaiming_uniform_(p, mode="fan")
    with pytest.raises(ArgumentError, match="leaky_relu"):
        init.kaiming_normal_(p, nonlinearity="gelu")
    for fill in RANDOM[2:]:
        with pytest.raises(ShapeError, match="two dimensions"):
            fill(parameter(3))
    for fill in RANDOM:
        with pytest.raises(ArgumentError, match="int seed"):
            fill(p, generator="0")
    assert set(p.detach().numpy().ravel()) == {7.0}
