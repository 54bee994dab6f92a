"""Learning rate schedules: beside torch.optim, their laws, and what they refuse."""

import math

import numpy as np
import pytest
import torch

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn
from minigrad.errors import ArgumentError, MissingMethodError, StateDictError
from minigrad.optim import lr_scheduler

STEPS = 100
CASES = [
    ("StepLR", {"step_size": 7}),
    ("StepLR", {"step_size": 1, "gamma": 0.9}),
    ("MultiStepLR", {"milestones": [3, 50, 50]}),
    ("MultiStepLR", {"milestones": (), "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.95}),
    ("CosineAnnealingLR", {"T_max": 1}),
    ("CosineAnnealingLR", {"T_max": 13, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": STEPS}),
]
every_schedule = pytest.mark.parametrize("name, options", CASES)


def start(lib, lr=0.5):
    """An optimiser with two groups, of minigrad or of torch."""
    module = lib.nn.ModuleList([lib.nn.Linear(2, 2), lib.nn.Linear(2, 2)])
    groups = [{"params": list(part.parameters())} for part in module]
    return lib.optim.SGD([groups[0], {**groups[1], "lr": 0.25}], lr=lr)


def rates(steps, *schedules, epochs=STEPS, change=lambda epoch, groups: None):
    """(epochs + 1, groups): the lr of each epoch."""
    found = [[group["lr"] for group in steps.param_groups]]
    for epoch in range(epochs):
        steps.step()
        for schedule in schedules:
            schedule.step()
        change(epoch, steps.param_groups)
        found.append([group["lr"] for group in steps.param_groups])
    return np.array(found)


def make(lib, steps, name, options):
    return getattr(lib.optim.lr_scheduler, name)(steps, **options)


def agree(actual, expected):
    return relative_error(actual, expected) <= FLOAT64_RTOL


def sides(name, options, **kwargs):
    found = []
    for lib in (mg, torch):
        steps = start(lib)
        found.append(rates(steps, make(lib, steps, name, options), **kwargs))
    return found


# -- beside torch ----------------------------------------------------------------------


@every_schedule
def test_a_hundred_epochs(name, options):
    assert agree(*sides(name, options))


@every_schedule
def test_a_change_by_hand_is_gone_on_from(name, options):
    def halve(epoch, groups):
        if epoch == 20:
            groups[0]["lr"] /= 2

    assert agree(*sides(name, options, change=halve))


def test_several_schedules_act_on_one_optimiser():
    found = []
    for lib in (mg, torch):
        steps = start(lib)
        both = [make(lib, steps, *CASES[0]), make(lib, steps, *CASES[4])]
        found.append(rates(steps, *both))
    assert agree(*found)


@pytest.mark.parametrize("name, options", [CASES[4], CASES[6], CASES[7]])
def test_a_start_at_a_later_epoch(name, options):
    found = []
    for lib in (mg, torch):
        steps = start(lib)
        rates(steps, make(lib, steps, name, options), epochs=10)
        other = start(lib)
        other.load_state_dict(steps.state_dict())
        schedule = make(lib, other, name, {**options, "last_epoch": 9})
        assert schedule.last_epoch == 10
        assert schedule.base_lrs == [0.5, 0.25]
        found.append(rates(other, schedule))
    assert agree(*found)


# -- laws ------------------------------------------------------------------------------


def test_the_closed_forms():
    epochs, base = np.arange(STEPS + 1)[:, None], np.array([0.5, 0.25])
    forms = {
        "StepLR": 0.1 ** (epochs // 7) * base,
        "ExponentialLR": 0.95**epochs * base,
        "CosineAnnealingLR": 0.01
        + (base - 0.01) * (1 + np.cos(math.pi * epochs / 13)) / 2,
    }
    for name, expected in forms.items():
        (options,) = [o for n, o in CASES if n == name and o in PLAIN]
        steps = start(mg)
        assert agree(rates(steps, make(mg, steps, name, options)), expected)


PLAIN = [{"step_size": 7}, {"gamma": 0.95}, {"T_max": 13, "eta_min": 0.01}]


def test_what_a_schedule_knows():
    steps = start(mg)
    schedule = lr_scheduler.ExponentialLR(steps, 0.5)
    assert schedule.optimizer is steps
    assert (schedule.last_epoch, schedule.base_lrs) == (0, [0.5, 0.25])
    assert [group["initial_lr"] for group in steps.param_groups] == [0.5, 0.25]
    schedule.step()
    assert schedule.last_epoch == 1
    assert schedule.get_last_lr() == [0.25, 0.125]
    assert schedule.base_lrs == [0.5, 0.25]


def test_a_schedule_of_ones_own():
    class Warmup(lr_scheduler.LRScheduler):
        def get_lr(self):
            part = min(1.0, (self.last_epoch + 1) / 4)
            return [base * part for base in self.base_lrs]

    steps = start(mg)
    schedule = Warmup(steps)
    assert rates(steps, schedule, epochs=4)[1:, 0].tolist() == [0.25, 0.375, 0.5, 0.5]
    with pytest.raises(MissingMethodError, match="LRScheduler defines no get_lr"):
        lr_scheduler.LRScheduler(steps).step()


# -- on a plateau ----------------------------------------------------------------------


def plateau(metrics, lib=mg, **options):
    """The lr of each group after each metric."""
    steps = start(lib)
    schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(steps, **options)
    found = []
    for metric in metrics:
        schedule.step(metric)
        found.append([group["lr"] for group in steps.param_groups])
    return np.array(found)


NOISE = np.random.default_rng(0).standard_normal(STEPS)
PLATEAUS = [
    {},
    {"mode": "max"},
    {"patience": 0},
    {"patience": 2, "cooldown": 4},
    {"patience": 2, "factor": 0.0, "min_lr": 1e-3},
    {"patience": 2, "min_lr": [1e-3, 1e-2]},
    {"patience": 2, "min_lr": (0.3, 0.0)},
    {"patience": 2, "eps": 0.1},
    {"patience": 2, "threshold": 0.5},
    {"patience": 2, "threshold": 0.5, "threshold_mode": "abs"},
    {"patience": 2, "threshold": 0.5, "threshold_mode": "abs", "mode": "max"},
]


@pytest.mark.parametrize("options", PLATEAUS)
@pytest.mark.parametrize("falling", [0.0, 0.05])
def test_a_plateau_is_torchs(options, falling):
    metrics = (NOISE - falling * np.arange(STEPS)).tolist()
    assert agree(plateau(metrics, **options), plateau(metrics, torch, **options))


def test_nan_is_no_improvement_and_a_tensor_is_a_number():
    metrics = [1.0, math.nan, math.nan, 0.5, math.inf, 0.7]
    options = {"patience": 1}
    expected = plateau(metrics, torch, **options)
    assert agree(plateau(metrics, **options), expected)
    assert agree(plateau([mg.tensor(m) for m in metrics], **options), expected)
    assert agree(plateau([np.float64(m) for m in metrics], **options), expected)


def test_metrics_are_numbers():
    schedule = lr_scheduler.ReduceLROnPlateau(start(mg))
    for metric in ("low", None, [1.0, 2.0], mg.zeros(2)):
        with pytest.raises(ArgumentError):
            schedule.step(metric)
    assert schedule.last_epoch == 0


# -- what they refuse ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, options, match",
    [
        ("StepLR", {"step_size": 0}, "step_size must be an int >= 1, got 0"),
        ("StepLR", {"step_size": 2.5}, "step_size must be an int >= 1, got 2.5"),
        ("StepLR", {"step_size": 2, "gamma": -1}, "gamma must be in"),
        ("StepLR", {"step_size": 2, "last_epoch": -2}, "last_epoch must be an int"),
        ("StepLR", {"step_size": 2, "last_epoch": 3}, "group 0 has no initial_lr"),
        ("MultiStepLR", {"milestones": [3, 0]}, "milestones must be an int >= 1"),
        ("MultiStepLR", {"milestones": 3}, "milestones must be ints, got 3"),
        ("MultiStepLR", {"milestones": "ab"}, "milestones must be an int"),
        ("ExponentialLR", {"gamma": math.nan}, "gamma must be in"),
        ("ExponentialLR", {"gamma": "0.9"}, "gamma must be in"),
        ("CosineAnnealingLR", {"T_max": 0}, "T_max must be an int >= 1"),
        ("CosineAnnealingLR", {"T_max": 5, "eta_min": -1}, "eta_min must be in"),
        ("ReduceLROnPlateau", {"mode": "low"}, "mode must be one of .*got 'low'"),
        ("ReduceLROnPlateau", {"threshold_mode": 1}, "threshold_mode must be one of"),
        ("ReduceLROnPlateau", {"factor": 1.0}, r"factor must be in \[0.0, 1.0\)"),
        ("ReduceLROnPlateau", {"patience": -1}, "patience must be an int >= 0"),
        ("ReduceLROnPlateau", {"cooldown": 0.5}, "cooldown must be an int >= 0"),
        ("ReduceLROnPlateau", {"threshold": -1.0}, "threshold must be in"),
        ("ReduceLROnPlateau", {"eps": None}, "eps must be in"),
        ("ReduceLROnPlateau", {"min_lr": -1.0}, "min_lr must be in"),
        ("ReduceLROnPlateau", {"min_lr": None}, "min_lr must be in"),
    ],
)
def test_bad_options(name, options, match):
    steps = start(mg)
    with pytest.raises(ArgumentError, match=match):
        make(mg, steps, name, options)
    assert all("initial_lr" not in group for group in steps.param_groups)


@pytest.mark.parametrize("name, options", [*CASES, ("ReduceLROnPlateau", {})])
def test_a_schedule_acts_on_an_optimiser(name, options):
    for wrong in (None, nn.Linear(1, 1), [0.1]):
        with pytest.raises(ArgumentError, match="a schedule acts on an optimiser, got"):
            make(mg, wrong, name, options)


def test_groups_that_came_later_are_noticed():
    steps = start(mg)
    schedule = lr_scheduler.ExponentialLR(steps, 0.5)
    each = lr_scheduler.ReduceLROnPlateau(steps, min_lr=[0.1, 0.2])
    one = lr_scheduler.ReduceLROnPlateau(steps, patience=0, min_lr=0.1)
    steps.add_param_group({"params": nn.Parameter([1.0])})
    with pytest.raises(ArgumentError, match=r"made for 2 groups, .* has 3; make the"):
        schedule.step()
    with pytest.raises(ArgumentError, match=r"min_lr has 2 values, .* has 3 groups"):
        each.step(1.0)
    assert schedule.last_epoch == each.last_epoch == 0
    one.step(1.0)
    one.step(1.0)
    assert one.get_last_lr() == [0.1, 0.1, 0.1]


# -- state -----------------------------------------------------------------------------


@every_schedule
def test_a_state_dict_is_a_snapshot_without_the_optimiser(name, options):
    steps = start(mg)
    schedule = make(mg, steps, name, options)
    saved = schedule.state_dict()
    keys = {"last_epoch", "base_lrs", *options} - {"optimizer"}
    assert keys <= saved.keys()
    schedule.step()
    saved["base_lrs"][0] = 7.0
    assert (saved["last_epoch"], schedule.last_epoch) == (0, 1)
    assert schedule.base_lrs == [0.5, 0.25]
    schedule.load_state_dict(saved)
    saved["base_lrs"][0] = 8.0
    assert (schedule.last_epoch, schedule.base_lrs) == (0, [7.0, 0.25])
    assert schedule.optimizer is steps


def test_a_state_that_does_not_fit():
    steps = start(mg)
    schedule = lr_scheduler.StepLR(steps, 5)
    other = lr_scheduler.ExponentialLR(steps, 0.5).state_dict()
    good = schedule.state_dict()
    for wrong in (None, {}, other, {**good, "extra": 1}):
        with pytest.raises(StateDictError, match="expected a mapping with step_size"):
            schedule.load_state_dict(wrong)
    with pytest.raises(StateDictError, match="StepLR: step_size must be an int"):
        schedule.load_state_dict({**good, "last_epoch": 3, "step_size": 0})
    assert schedule.state_dict() == good
