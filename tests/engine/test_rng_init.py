"""Generators and initial values."""

import math

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, SEEDS, relative_error
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


@pytest.mark.parametrize("g", BAD_GENERATORS, ids=lambda g: type(g).__name__)
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
    init.orthogonal_,
    init.trunc_normal_,
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


def moments(values):
    """The mean, the mean square and the mean fourth power."""
    return np.array([np.mean(values**k) for k in (1, 2, 4)])


MOMENTS = [
    ("uniform_", {"a": -1.0, "b": 3.0}),
    ("normal_", {"mean": 0.5, "std": 2.0}),
    ("xavier_uniform_", {"gain": 2.0}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {"a": 0.5}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("trunc_normal_", {}),
    ("trunc_normal_", {"mean": 1.0, "std": 2.0, "a": 0.0, "b": 2.0}),
    ("trunc_normal_", {"a": 1.5, "b": 3.0}),
]


@pytest.mark.parametrize("name, options", MOMENTS)
def test_the_moments_are_among_torchs(name, options):
    theirs, ours = [], []
    for seed in range(SEEDS):
        g = torch.Generator().manual_seed(seed)
        x = torch.empty(80, 90, dtype=torch.float64)
        getattr(torch.nn.init, name)(x, **options, generator=g)
        theirs.append(moments(x.numpy()))
        p = getattr(init, name)(parameter(80, 90), **options, generator=seed)
        ours.append(moments(p.detach().numpy()))
    average = np.mean(ours, 0)
    assert np.all((np.min(theirs, 0) <= average) & (average <= np.max(theirs, 0)))


@pytest.mark.parametrize("shape", [(5, 5), (6, 4), (4, 6), (3, 2, 4), (1, 7)])
def test_orthogonal_matrices_are_those_that_torch_makes_of_the_draws(
    shape, monkeypatch
):
    ours = init.orthogonal_(parameter(*shape), 2.5, generator=3).detach().numpy()
    flat = (shape[0], math.prod(shape[1:]))
    draws = torch.tensor(np.random.default_rng(3).normal(size=flat))
    monkeypatch.setattr(torch.Tensor, "normal_", lambda x, *_, **__: x.copy_(draws))
    theirs = torch.nn.init.orthogonal_(torch.empty(shape, dtype=torch.float64), 2.5)
    assert relative_error(ours, theirs.numpy()) <= FLOAT64_RTOL
    matrix = ours.reshape(flat) / 2.5
    square = matrix @ matrix.T if flat[0] < flat[1] else matrix.T @ matrix
    assert relative_error(square, np.eye(len(square))) <= FLOAT64_RTOL


@pytest.mark.parametrize(
    "mean, std, a, b",
    [(0, 1, -2, 2), (3, 0.5, 0, 2), (-1, 2, -1, math.inf), (0, 1, -math.inf, -9)],
)
def test_a_truncated_normal_inverts_the_distribution(mean, std, a, b):
    x = init.trunc_normal_(parameter(50, 3), mean, std, a, b, generator=4)
    x = x.detach().numpy()
    assert np.all((a <= x) & (x <= b))
    ends = (torch.tensor([mean - a, mean - b]).double() / std) / math.sqrt(2)
    low, high = torch.special.erfc(ends) / 2
    draws = np.random.default_rng(4).uniform(low, high, (50, 3))
    expected = mean + std * torch.special.ndtri(torch.tensor(draws)).numpy()
    assert relative_error(x, expected) <= FLOAT64_RTOL


def test_a_truncated_normal_far_out_stays_within_its_bounds():
    near = init.trunc_normal_(parameter(99), a=9.0, b=math.inf, generator=0)
    mirrored = init.trunc_normal_(parameter(99), a=-math.inf, b=-9.0, generator=0)
    assert near.tolist() == [-x for x in mirrored.tolist()]
    assert 9 < min(near.tolist()) < max(near.tolist()) < 10
    far = init.trunc_normal_(parameter(9), a=50.0, b=60.0).detach().numpy()
    assert np.all((far >= 50) & (far <= 60))
    assert set(init.trunc_normal_(parameter(3), a=0.5, b=0.5).tolist()) == {0.5}


def test_eye():
    for shape in ((3, 3), (2, 4)):
        expected = torch.nn.init.eye_(torch.empty(shape)).numpy()
        assert np.array_equal(init.eye_(parameter(*shape)).detach(), expected)
    for shape in ((3,), (2, 2, 2)):
        with pytest.raises(ShapeError, match="eye_ fills a matrix"):
            init.eye_(parameter(*shape))


@pytest.mark.parametrize("shape", [(3, 0), (0, 0), (2, 3, 0)])
def test_a_parameter_without_elements_is_left_as_it_is(shape):
    for name in ("xavier_uniform_", "xavier_normal_", "kaiming_normal_"):
        assert getattr(init, name)(nn.Parameter(np.zeros(shape))).shape == shape
    filled = init.kaiming_uniform_(nn.Parameter(np.zeros(shape)), mode="fan_out")
    assert filled.shape == shape


def test_bad_arguments():
    p = parameter(2, 2)
    for fill in (init.orthogonal_, init.trunc_normal_):
        with pytest.raises(ArgumentError, match="must be a number, got 'x'"):
            fill(p, "x")
    for options in ({"std": 0.0}, {"std": math.nan}, {"a": 1.0, "b": 0.0}):
        with pytest.raises(ArgumentError, match="deviation > 0 and bounds a <= b"):
            init.trunc_normal_(p, **options)
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
    for fill in RANDOM[2:-1]:
        with pytest.raises(ShapeError, match="two dimensions"):
            fill(parameter(3))
    for fill in RANDOM:
        with pytest.raises(ArgumentError, match="int seed"):
            fill(p, generator="0")
    assert set(p.detach().numpy().ravel()) == {7.0}
