"""What optimisers and schedules save: PyTorch's structure, and the same bits after."""

import copy
import inspect
import math
import pickle
import textwrap

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn, optim
from minigrad.errors import StateDictError
from minigrad.optim import lr_scheduler

STEPS, STOP = 100, 37
SHAPES = [(3, 4), (4,), ()]
OPTIMISERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "centered": True}),
    ("Adam", {"lr": 0.1, "betas": (0.7, 0.9)}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}),
]
SCHEDULES = [
    ("StepLR", {"step_size": 10, "gamma": 0.7}),
    ("MultiStepLR", {"milestones": [5, 40, 40]}),
    ("ExponentialLR", {"gamma": 0.97}),
    ("CosineAnnealingLR", {"T_max": 30, "eta_min": 0.01}),
    ("ReduceLROnPlateau", {"patience": 3, "factor": 0.7, "cooldown": 2}),
]
every_optimiser = pytest.mark.parametrize("name, options", OPTIMISERS)


def parameters(lib, dtype=np.float64, seed=0):
    """One list of Parameters, the same numbers in minigrad and in torch."""
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    if lib is torch:
        return [torch.nn.Parameter(torch.tensor(a)) for a in arrays]
    return [nn.Parameter(a) for a in arrays]


def make(lib, name, options, params):
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.01}]
    return getattr(lib.optim, name)(groups, **options)


def train(lib, steps, params, first, last):
    """Steps on gradients that depend on the step alone; a parameter may have none."""
    for step in range(first, last):
        rng = np.random.default_rng(step)
        for i, p in enumerate(params):
            grad = rng.standard_normal(SHAPES[i])
            dtype = str(p.dtype).removeprefix("torch.")
            p.grad = None if (step + i) % 7 == 0 else lib.tensor(grad.astype(dtype))
        steps.step()


def values(params):
    return [p.detach().numpy().copy() for p in params]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def pickled(state):
    return pickle.loads(pickle.dumps(state))


# -- going on --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_optimiser
@pytest.mark.parametrize("schedule, its_options", SCHEDULES)
def test_a_resumed_run_is_the_uninterrupted_one(
    name, options, schedule, its_options, dtype
):
    def start(params):
        steps = make(mg, name, options, params)
        return steps, getattr(lr_scheduler, schedule)(steps, **its_options)

    def run(steps, rates, params, first, last):
        for step in range(first, last):
            train(mg, steps, params, step, step + 1)
            metric = [1.0 / (1 + step // 9)] if schedule == "ReduceLROnPlateau" else []
            rates.step(*metric)

    whole = parameters(mg, dtype)
    steps, rates = start(whole)
    run(steps, rates, whole, 0, STOP)
    saved = pickled([values(whole), steps.state_dict(), rates.state_dict()])
    run(steps, rates, whole, STOP, STEPS)

    again = [nn.Parameter(value) for value in saved[0]]
    other_steps, other_rates = start(again)
    other_steps.load_state_dict(saved[1])
    other_rates.load_state_dict(saved[2])
    run(other_steps, other_rates, again, STOP, STEPS)
    assert same(values(again), values(whole))
    assert other_rates.get_last_lr() == rates.get_last_lr()
    assert other_rates.state_dict() == rates.state_dict()


@every_optimiser
def test_a_copy_of_the_optimiser_and_its_parameters_goes_on_alike(name, options):
    params = parameters(mg)
    steps = make(mg, name, options, params)
    train(mg, steps, params, 0, 5)
    for clone in (copy.deepcopy, pickled):
        twins, other = clone((params, steps))
        assert other.param_groups[0]["params"][0] is twins[0]
        train(mg, other, twins, 5, 10)
        assert not same(values(twins), values(params))
    train(mg, steps, params, 5, 10)
    assert same(values(twins), values(params))


@every_optimiser
def test_a_state_dict_is_a_snapshot(name, options):
    params = parameters(mg)
    steps = make(mg, name, options, params)
    train(mg, steps, params, 0, 5)
    saved, middle = steps.state_dict(), values(params)
    train(mg, steps, params, 5, 9)
    last = values(params)
    steps.load_state_dict(saved)
    for p, value in zip(params, middle, strict=True):
        p.assign(value)
    train(mg, steps, params, 5, 9)
    assert same(values(params), last)
    # Loading took copies as well: steps since then have not touched what was saved.
    fresh = make(mg, name, options, params)
    fresh.load_state_dict(saved)
    for p, value in zip(params, middle, strict=True):
        p.assign(value)
    train(mg, fresh, params, 5, 9)
    assert same(values(params), last)


# -- PyTorch's structure ---------------------------------------------------------------


@every_optimiser
def test_the_structure_is_torchs(name, options):
    ours, theirs = parameters(mg), parameters(torch)
    our_steps, their_steps = (
        make(lib, name, options, params)
        for lib, params in ((mg, ours), (torch, theirs))
    )
    train(mg, our_steps, ours, 0, 5)
    train(torch, their_steps, theirs, 0, 5)
    mine, its = our_steps.state_dict(), their_steps.state_dict()
    assert list(mine) == list(its) == ["state", "param_groups"]
    for group, expected in zip(mine["param_groups"], its["param_groups"], strict=True):
        assert group["params"] == expected["params"]
        assert {k: expected[k] for k in group} == group
    for number, entries in mine["state"].items():
        for key, value in entries.items():
            expected = its["state"][number][key].numpy()
            if key == "step":
                assert value == expected
            else:
                assert isinstance(value, mg.Tensor)
                assert relative_error(value.numpy(), expected) <= FLOAT64_RTOL


@every_optimiser
def test_a_run_begun_in_torch_goes_on_here(name, options):
    theirs = parameters(torch)
    their_steps = make(torch, name, options, theirs)
    train(torch, their_steps, theirs, 0, STOP)
    ours = [nn.Parameter(value) for value in values(theirs)]
    our_steps = make(mg, name, {}, ours)
    our_steps.load_state_dict(their_steps.state_dict())
    train(torch, their_steps, theirs, STOP, STEPS)
    train(mg, our_steps, ours, STOP, STEPS)
    for actual, expected in zip(values(ours), values(theirs), strict=True):
        assert relative_error(actual, expected) <= FLOAT64_RTOL


@every_optimiser
def test_a_run_begun_here_goes_on_in_torch_as_the_docstring_says(name, options):
    ours = parameters(mg)
    our_steps = make(mg, name, options, ours)
    train(mg, our_steps, ours, 0, STOP)
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in values(ours)]
    their_steps = make(torch, name, {}, theirs)
    state_dict, scope = our_steps.state_dict(), {"mg": mg, "torch": torch}
    lines = inspect.getdoc(optim.Optimizer.state_dict).split("PyTorch")[-1]
    exec(textwrap.dedent(lines.split("::\n")[1]), scope, {"state_dict": state_dict})
    their_steps.load_state_dict(state_dict)
    train(mg, our_steps, ours, STOP, STEPS)
    train(torch, their_steps, theirs, STOP, STEPS)
    for actual, expected in zip(values(ours), values(theirs), strict=True):
        assert relative_error(actual, expected) <= FLOAT64_RTOL


@pytest.mark.parametrize(
    "lr", [torch.tensor(0.25), mg.tensor(0.25), np.float32(0.25)], ids=repr
)
def test_an_option_may_be_a_tensor_of_one_number(lr):
    theirs = parameters(torch)
    their_steps = torch.optim.Adam(theirs, lr=lr if torch.is_tensor(lr) else 0.25)
    train(torch, their_steps, theirs, 0, 3)
    steps, betas = optim.Adam(parameters(mg)), (torch.tensor(0.5), 0.75)
    saved = changed(their_steps.state_dict(), "param_groups", 0, "lr", to=lr)
    steps.load_state_dict(changed(saved, "param_groups", 0, "betas", to=betas))
    (group,) = steps.param_groups
    assert (group["lr"], group["betas"]) == (0.25, (0.5, 0.75))
    assert type(group["lr"]) is float
    saved["param_groups"][0]["lr"] = torch.tensor(float("nan"))
    with pytest.raises(StateDictError, match="lr must be in"):
        steps.load_state_dict(saved)


def test_averages_are_cast_to_the_parameters_dtype():
    wide, narrow = parameters(mg), parameters(mg, np.float32)
    steps = optim.Adam(wide)
    train(mg, steps, wide, 1, 3)
    other = optim.Adam(narrow)
    other.load_state_dict(steps.state_dict())
    assert {
        v.dtype for v in other.state[narrow[0]].values() if hasattr(v, "dtype")
    } == {np.dtype(np.float32)}
    train(mg, other, narrow, 3, 5)
    assert all(p.dtype == np.float32 for p in narrow)


def test_what_has_not_been_trained_has_no_state():
    params = parameters(mg)
    steps = optim.Adam(params)
    assert steps.state_dict()["state"] == {}
    params[1].grad = mg.ones_like(params[1])
    steps.step()
    assert list(steps.state_dict()["state"]) == [1]
    steps.load_state_dict(optim.Adam(params).state_dict())
    assert steps.state == {}


def test_a_group_that_was_added_is_saved_too():
    a, b, c = parameters(mg)
    steps = optim.SGD([a], lr=0.1)
    steps.add_param_group({"params": [b, c], "lr": 0.5})
    saved = steps.state_dict()
    assert [group["params"] for group in saved["param_groups"]] == [[0], [1, 2]]
    other = optim.SGD([{"params": [a]}, {"params": [b, c]}], lr=7.0)
    other.load_state_dict(saved)
    assert [group["lr"] for group in other.param_groups] == [0.1, 0.5]
    assert other.param_groups[1]["params"] == [b, c]


# -- what does not fit -----------------------------------------------------------------


def changed(state, *path, to):
    """A copy of a state dict with one entry replaced."""
    state = copy.deepcopy(state)
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return state


@pytest.mark.parametrize(
    "spoil, match",
    [
        (lambda s: None, 'expected a mapping with "state" and "param_groups"'),
        (lambda s: {"state": {}}, 'expected a mapping with "state" and'),
        (lambda s: {**s, "state": 3}, 'expected a mapping with "state" and'),
        (lambda s: {**s, "param_groups": [{"lr": 1.0}]}, "expected a mapping"),
        (
            lambda s: {**s, "state": {0: 3}},
            "state of parameter 0 must be a mapping of names, got 3",
        ),
        (lambda s: changed(s, "param_groups", to=[]), r"groups of \[2, 1\].*of \[\]"),
        (
            lambda s: changed(s, "param_groups", 0, "params", to=[0]),
            r"groups of \[2, 1\] parameters, got groups of \[1, 1\]",
        ),
        (lambda s: changed(s, "param_groups", 1, "lr", to=-1), "group 1: lr must be"),
        (
            lambda s: changed(s, "param_groups", 0, to={"params": [0, 1], "lr": 1.0}),
            "group 0 has no betas, eps, weight_decay, amsgrad, maximize; .* than Adam",
        ),
        (lambda s: changed(s, "state", 5, to={}), "state of 5, but no parameter"),
        (
            lambda s: changed(s, "state", 2, "exp_avg", to=np.zeros(2)),
            r"'exp_avg' of parameter 2 does not fit: .*shape \(\), got \(2,\)",
        ),
        (
            lambda s: changed(s, "state", 0, "exp_avg", to="x"),
            "'exp_avg' of parameter 0 does not fit",
        ),
        (
            lambda s: changed(s, "state", 0, "step", to="x"),
            "'step' of parameter 0 does not fit",
        ),
        *(
            (
                lambda s, step=step: changed(s, "state", 0, "step", to=step),
                "'step' of parameter 0 does not fit: .*whole number",
            )
            for step in (-1, -1.0, 1.5, math.inf, math.nan, torch.tensor(math.inf))
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(spoil, match):
    params = parameters(mg)
    steps = make(mg, "Adam", {}, params)
    train(mg, steps, params, 0, 3)
    before = pickled(steps.state_dict())
    with pytest.raises(StateDictError, match=match):
        steps.load_state_dict(spoil(steps.state_dict()))
    assert repr(steps.state_dict()) == repr(before)


def test_the_state_of_another_optimiser_is_refused():
    params = parameters(mg)
    with pytest.raises(StateDictError, match="another optimiser than RMSprop"):
        optim.RMSprop(params).load_state_dict(optim.SGD(params).state_dict())
