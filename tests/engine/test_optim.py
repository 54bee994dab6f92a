"""The optimisers beside torch.optim, twenty steps at a time, on moving gradients."""

import math

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, SEEDS, float32_limit, relative_error
from minigrad import nn, optim
from minigrad.errors import ArgumentError, DTypeError, MinigradError

STEPS = 20
SHAPES = [(3, 4), (4,), ()]

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.3}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.3, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.3}),
    ("SGD", {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.3, "maximize": True}),
    ("SGD", {}),
    *(
        (name, options)
        for name in ("Adam", "AdamW")
        for options in [
            {},
            {"lr": 0.1},
            {"lr": 0.1, "betas": (0.5, 0.8)},
            {"lr": 0.1, "betas": (0.3, 0.9)},
            {"lr": 0.1, "betas": (0.0, 0.9), "eps": 0.1},
            {"lr": 0.1, "weight_decay": 0.3},
            {"lr": 0.1, "weight_decay": 0.0},
            {"lr": 0.1, "amsgrad": True},
            {"lr": 0.1, "amsgrad": True, "weight_decay": 0.3, "maximize": True},
            {"lr": 0.1, "maximize": True},
        ]
    ),
    *(
        ("RMSprop", options)
        for options in [
            {},
            {"lr": 0.1},
            {"lr": 0.1, "alpha": 0.5},
            {"lr": 0.1, "alpha": 0.0, "eps": 0.1},
            {"lr": 0.1, "weight_decay": 0.3},
            {"lr": 0.1, "momentum": 0.9},
            {"lr": 0.1, "centered": True},
            {"centered": True, "momentum": 0.5, "maximize": True},
        ]
    ),
]
IDS = [f"{name}-{options}" for name, options in CASES]


class Problem:
    """Start values, and a gradient that depends on the value and on the step.

    It starts away from zero, because Adam's first step is the gradient's sign, and it
    shrinks, because amsgrad differs from Adam only then.
    """

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.start = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
        first = [
            rng.choice([-1.0, 1.0], shape) * rng.uniform(2.0, 3.0, shape)
            for shape in SHAPES
        ]
        self.push = [
            [np.float32(0.8**t * rng.uniform(0.9, 1.1) * x) for x in first]
            for t in range(STEPS)
        ]

    def grad(self, step, i, value):
        return np.asarray(np.sin(value) + self.push[step][i].astype(value.dtype))


def run_ours(name, options, problem, dtype):
    params = [nn.Parameter(s.astype(dtype)) for s in problem.start]
    optimizer = getattr(optim, name)(params, **options)
    for step in range(STEPS):
        for i, p in enumerate(params):
            p.grad = mg.tensor(problem.grad(step, i, p.detach().numpy()))
        optimizer.step()
    assert all(p.dtype == dtype and p.requires_grad and p.is_leaf for p in params)
    return [p.detach().numpy() for p in params]


def run_torch(name, options, problem, dtype):
    params = [torch.nn.Parameter(torch.tensor(s.astype(dtype))) for s in problem.start]
    optimizer = getattr(torch.optim, name)(params, **options)
    for step in range(STEPS):
        for i, p in enumerate(params):
            p.grad = torch.tensor(problem.grad(step, i, p.detach().numpy()))
        optimizer.step()
    return [p.detach().numpy() for p in params]


def worst(actual, expected):
    return max(map(relative_error, actual, expected))


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_twenty_steps_in_float64(name, options):
    problem = Problem(0)
    ours = run_ours(name, options, problem, np.float64)
    theirs = run_torch(name, options, problem, np.float64)
    assert worst(ours, theirs) <= FLOAT64_RTOL


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_twenty_steps_in_float32(name, options):
    ours, theirs = [], []
    for seed in range(SEEDS):
        problem = Problem(seed)
        exact = run_torch(name, options, problem, np.float64)
        theirs.append(worst(run_torch(name, options, problem, np.float32), exact))
        ours.append(worst(run_ours(name, options, problem, np.float32), exact))
    assert max(ours) <= float32_limit(max(theirs))


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_a_network_trains_as_torchs_does(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    theirs = torch.nn.Linear(3, 2, dtype=torch.float64)
    ours = nn.Linear(3, 2, dtype=mg.float64)
    ours.load_state_dict(theirs.state_dict())
    our_steps = getattr(optim, name)(ours.parameters(), lr=0.1)
    their_steps = getattr(torch.optim, name)(theirs.parameters(), lr=0.1)
    for _ in range(STEPS):
        for side, steps, lib in ((ours, our_steps, mg), (theirs, their_steps, torch)):
            steps.zero_grad()
            error = side(lib.tensor(x)) - lib.tensor(y)
            (error * error).mean().backward()
            steps.step()
    for key, value in ours.state_dict().items():
        expected = theirs.state_dict()[key].numpy()
        assert relative_error(value.numpy(), expected) <= FLOAT64_RTOL


# -- groups ----------------------------------------------------------------------------


def parameters(n=2):
    return [nn.Parameter(np.arange(3.0) + i) for i in range(n)]


def set_grads(params, value=1.0):
    for p in params:
        p.grad = mg.tensor(np.full(p.shape, value))


def test_groups_have_options_of_their_own_and_share_the_defaults():
    a, b, c = parameters(3)
    steps = optim.SGD([{"params": [a]}, {"params": b, "lr": 2.0}], lr=1.0, momentum=0.5)
    steps.add_param_group({"params": iter([c]), "lr": 0.0})
    set_grads([a, b, c])
    steps.step()
    assert a.tolist() == [-1.0, 0.0, 1.0]
    assert b.tolist() == [-1.0, 0.0, 1.0]
    assert c.tolist() == [2.0, 3.0, 4.0]
    assert [g["lr"] for g in steps.param_groups] == [1.0, 2.0, 0.0]
    assert all(g["momentum"] == 0.5 for g in steps.param_groups)


def test_a_schedule_writes_to_the_group():
    p = nn.Parameter(np.zeros(3, np.float32))
    steps = optim.SGD([p], lr=1.0)
    p.grad = mg.ones(3)
    # A numpy scalar is not weak: it would widen a float32 parameter.
    steps.param_groups[0]["lr"] = np.float64(0.5)
    steps.step()
    assert p.dtype == np.float32
    assert p.tolist() == [-0.5, -0.5, -0.5]


def test_one_parameter_without_a_gradient_is_skipped():
    a, b = parameters()
    set_grads([a])
    steps = optim.Adam([a, b], lr=0.1, weight_decay=1.0)
    before = b.tolist()
    steps.step()
    assert b.tolist() == before
    assert b not in steps.state
    assert a.tolist() != before


def test_the_step_count_is_each_parameters_own():
    a, b = parameters()
    steps = optim.Adam([a, b])
    set_grads([a])
    steps.step()
    set_grads([a, b])
    steps.step()
    assert [steps.state[p]["step"] for p in (a, b)] == [2, 1]


def test_zero_grad():
    params = parameters()
    set_grads(params)
    steps = optim.SGD(params)
    steps.zero_grad(set_to_none=False)
    assert [p.grad.tolist() for p in params] == [
        (0 * p.detach()).tolist() for p in params
    ]
    steps.zero_grad()
    steps.zero_grad(set_to_none=False)
    assert all(p.grad is None for p in params)


def test_a_frozen_parameter_is_accepted_and_left_alone():
    (p,) = parameters(1)
    p.requires_grad_(False)
    before = p.tolist()
    optim.SGD([p]).step()
    assert p.tolist() == before


# -- a step changes values and nothing else --------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_a_step_leaves_gradients_old_graphs_and_snapshots_alone(name):
    w = nn.Parameter(np.array([1.0, 2.0]))
    loss = (w * w).sum()
    snapshot = w.detach()
    w.grad = grad = mg.tensor(np.array([3.0, 5.0]))
    steps = getattr(optim, name)([w], lr=0.1, weight_decay=0.5)
    steps.step()
    steps.step()
    assert w.grad is grad
    assert grad.tolist() == [3.0, 5.0]
    assert snapshot.tolist() == [1.0, 2.0]
    assert w.tolist() != [1.0, 2.0]
    w.grad = None
    loss.backward()
    assert w.grad.tolist() == [2.0, 4.0]


def test_the_step_works_and_records_nothing_under_no_grad_and_outside_of_it():
    w = nn.Parameter(np.array([1.0]))
    steps = optim.SGD([w], lr=1.0)
    set_grads([w])
    steps.step()
    with mg.no_grad():
        steps.step()
    assert w.is_leaf and w.requires_grad
    assert w.tolist() == [-1.0]


def test_a_gradient_with_a_graph_of_its_own_is_used_for_its_value():
    w = nn.Parameter(np.array([3.0]))
    (w * w * w).sum().backward(create_graph=True)
    assert w.grad.requires_grad
    optim.SGD([w], lr=1.0).step()
    assert w.tolist() == [3.0 - 27.0]


@pytest.mark.parametrize("dtypes", [("float", "double"), ("double", "float")])
@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam"])
def test_the_state_follows_a_module_that_changes_dtype(name, dtypes):
    layer = nn.Linear(2, 2, generator=0)
    options = {"amsgrad": True} if name == "Adam" else {"momentum": 0.9}
    steps = getattr(optim, name)(layer.parameters(), **options)
    for dtype in dtypes:
        getattr(layer, dtype)()
        for p in layer.parameters():
            p.grad = mg.ones_like(p)
        steps.step()
    assert {p.dtype for p in layer.parameters()} == {layer.weight.dtype}
    for p in layer.parameters():
        assert all(v.dtype == p.dtype for k, v in steps.state[p].items() if k != "step")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.inf, math.nan, 1e200])
@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam"])
def test_gradients_that_overflow_do_what_torchs_do_without_a_warning(name, value):
    w, v = nn.Parameter(np.ones(2)), torch.nn.Parameter(torch.ones(2).double())
    ours, theirs = getattr(optim, name)([w]), getattr(torch.optim, name)([v])
    for _ in range(2):
        w.grad = mg.tensor(np.array([value, 1.0]))
        v.grad = torch.tensor([value, 1.0], dtype=torch.float64)
        ours.step()
        theirs.step()
    expected = v.detach().numpy()
    assert np.array_equal(np.isnan(w.detach().numpy()), np.isnan(expected))
    assert relative_error(w.detach().numpy()[1:], expected[1:]) <= FLOAT64_RTOL


# -- all or nothing --------------------------------------------------------------------


def corrupt_option(steps, params):
    steps.param_groups[-1]["lr"] = -1.0


def corrupt_dtype(steps, params):
    """A backward pass through a graph from before the parameter changed dtype."""
    holder = nn.ModuleList()
    holder.p = params[-1]
    holder.zero_grad()
    loss = (holder.p * 2.0).sum()
    holder.float()
    loss.backward()


@pytest.mark.parametrize(
    "corrupt, error, match",
    [
        (corrupt_option, ArgumentError, "lr must be"),
        (corrupt_dtype, DTypeError, "zero_grad"),
    ],
)
def test_a_step_that_raises_has_changed_nothing(corrupt, error, match):
    params = parameters(3)
    steps = optim.Adam([{"params": params[:2]}, {"params": params[2:]}])
    set_grads(params)
    corrupt(steps, params)
    before = [p.tolist() for p in params]
    with pytest.raises(error, match=match):
        steps.step()
    assert [p.tolist() for p in params] == before
    assert steps.state == {}


# -- bad arguments ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW"])
@pytest.mark.parametrize("option", ["lr", "weight_decay"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "0.1", None, 1j])
def test_a_number_must_be_one(name, option, value):
    with pytest.raises(ArgumentError, match=option):
        getattr(optim, name)(parameters(), **{option: value})


@pytest.mark.parametrize(
    "name, options, match",
    [
        ("SGD", {"momentum": -0.1}, "momentum"),
        ("SGD", {"dampening": math.nan}, "dampening"),
        ("SGD", {"nesterov": True}, "nesterov"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
        ("Adam", {"eps": -1e-8}, "eps"),
        ("Adam", {"betas": (1.0, 0.9)}, "betas"),
        ("Adam", {"betas": (0.9, -0.1)}, "betas"),
        ("Adam", {"betas": (0.9,)}, "betas"),
        ("AdamW", {"betas": 0.9}, "betas"),
        ("RMSprop", {"alpha": 1.0}, "alpha"),
        ("RMSprop", {"momentum": -0.1}, "momentum"),
        ("RMSprop", {"eps": math.inf}, "eps"),
    ],
)
def test_bad_options(name, options, match):
    with pytest.raises(ArgumentError, match=match):
        getattr(optim, name)(parameters(), **options)
    with pytest.raises(ArgumentError, match=match):
        getattr(optim, name)([{"params": parameters(), **options}])


def duplicated(p):
    return [p, p]


def in_two_groups(p):
    return [{"params": [p]}, {"params": [p]}]


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda p: [], "empty"),
        (lambda p: p, "list of Parameters"),
        (lambda p: {p}, "order"),
        (lambda p: 3, "list of Parameters"),
        (lambda p: [{"params": []}], "empty"),
        (lambda p: [{"lr": 0.1}], "empty"),
        (lambda p: [p, 3], "got int"),
        (lambda p: [p * 2], "leaves"),
        (lambda p: [p.detach()], "Parameters"),
        (lambda p: [("weight", p)], "got tuple"),
        (lambda p: [p, {"params": [p]}], "got dict"),
        (duplicated, "given twice"),
        (in_two_groups, "given twice"),
        (lambda p: [{"params": [p], "lrate": 0.1}], "lrate"),
    ],
)
def test_bad_parameters(make, match):
    (p,) = parameters(1)
    with pytest.raises(ArgumentError, match=match):
        optim.SGD(make(p))


def test_a_bad_group_is_not_added():
    a, b = parameters()
    steps = optim.SGD([a])
    for group in ([b], {"params": [a, b]}, {"params": [b], "lr": -1.0}):
        with pytest.raises(MinigradError):
            steps.add_param_group(group)
    assert [g["params"] for g in steps.param_groups] == [[a]]


def test_adam_without_a_first_moment_forgets_the_last_gradient():
    ours = nn.Parameter([1.0], mg.float64)
    theirs = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    steps = (
        optim.Adam([ours], lr=0.1, betas=(0.0, 0.9)),
        torch.optim.Adam([theirs], lr=0.1, betas=(0.0, 0.9)),
    )
    for g in (1e17, 1.0):
        ours.grad = mg.tensor([g], mg.float64)
        theirs.grad = torch.tensor([g], dtype=torch.float64)
        for optimizer in steps:
            optimizer.step()
    assert steps[0].state[ours]["exp_avg"].tolist() == [1.0]
    assert relative_error(ours.item(), theirs.item()) <= FLOAT64_RTOL


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "decay"), [("Adam", 0.0), ("AdamW", 0.0), ("AdamW", 0.1)]
)
def test_what_does_not_decay_into_g_is_not_in_its_averages(name, decay, dtype, bad):
    start = np.array([1.0, bad, 2.0], dtype)
    ours, theirs = nn.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    found = []
    for lib, p in ((mg, ours), (torch, theirs)):
        steps = getattr(lib.optim, name)([p], lr=0.1, weight_decay=decay)
        p.grad = lib.tensor(np.ones(3, dtype))
        steps.step()
        entries = steps.state_dict()["state"][0]
        found.append([p.detach(), entries["exp_avg"], entries["exp_avg_sq"]])
    for actual, expected in zip(*found, strict=True):
        actual, expected = actual.numpy(), expected.numpy()
        assert np.array_equal(np.isfinite(actual), np.isfinite(expected))
    assert np.isfinite(found[0][1].numpy()).all()
