"""Bugs in optimisers and in schedules."""

from typing import Any

import minigrad as mg
from minigrad.optim.schedule import Schedule

from ..checks.optim_cases import GRIDS
from .mutant import Mutant
from .planting import Edit


def optimiser(name: str, owner: Any, *edits: Edit, function: str = "_update") -> Mutant:
    """A bug in what an optimiser or a schedule computes or saves."""
    own = owner.__name__ in GRIDS
    return Mutant(
        f"{owner.__name__}: {name}",
        edits=edits,
        cases=f"^{owner.__name__}" if own else "",
        owner=owner,
        function=function,
        optimiser=True,
    )


LR = mg.optim.lr_scheduler

OPTIMISERS = [
    optimiser(
        "nesterov forgotten",
        mg.optim.SGD,
        ('group["nesterov"],', "False,"),
    ),
    optimiser(
        "dampening at the first step",
        mg.optim.SGD,
        ('"momentum_buffer" not in state,', "False,"),
    ),
    optimiser(
        "the decay pulls away from zero",
        mg.optim.SGD,
        ('group["weight_decay"],', '-group["weight_decay"],'),
    ),
    optimiser(
        "no bias correction",
        mg.optim.Adam,
        ("lr / (1 - beta1**step)", "lr"),
        function="_numbers_at",
    ),
    optimiser(
        "the second correction without its root",
        mg.optim.Adam,
        ("math.sqrt(1 - beta2**step)", "1 - beta2**step"),
        function="_numbers_at",
    ),
    optimiser(
        "the largest square forgotten",
        mg.optim.Adam,
        ('if group["amsgrad"] else None', "if False else None"),
    ),
    optimiser(
        "AdamW decays through the gradient",
        mg.optim.Adam,
        ("1 - lr * decay if self.decoupled else 1.0", "1.0"),
        ("0.0 if self.decoupled else decay", "decay"),
        function="_numbers_at",
    ),
    optimiser(
        "eps under the root",
        mg.optim.RMSprop,
        ('np.sqrt(square) + group["eps"]', 'np.sqrt(square + group["eps"])'),
    ),
    optimiser(
        "momentum of the gradient, not of the step",
        mg.optim.RMSprop,
        ("average += step", "average += grad"),
    ),
    optimiser(
        "the mean is not centred on",
        mg.optim.RMSprop,
        ("square - mean * mean", "square"),
    ),
    optimiser(
        "averages that are not saved",
        mg.optim.Optimizer,
        ("if p in self.state", "if p not in self.state"),
        function="state_dict",
    ),
    optimiser(
        "the count of steps starts again",
        mg.optim.Optimizer,
        (
            "self.state = state",
            "self.state = {p: {**s, 'step': 0} for p, s in state.items()}",
        ),
        function="load_state_dict",
    ),
    optimiser(
        "one epoch late",
        LR.StepLR,
        ("self.last_epoch % self.step_size", "(self.last_epoch - 1) % self.step_size"),
        function="get_lr",
    ),
    optimiser(
        "a milestone counts once",
        LR.MultiStepLR,
        ("list(self.milestones)", "list(set(self.milestones))"),
        function="get_lr",
    ),
    optimiser(
        "gamma of the first lr, not of the last",
        LR.ExponentialLR,
        ("self.get_last_lr()", "self.base_lrs"),
        function="get_lr",
    ),
    optimiser(
        "eta_min is not reached but multiplied",
        LR.CosineAnnealingLR,
        ("factor * (lr - self.eta_min) + self.eta_min", "factor * lr"),
        function="get_lr",
    ),
    optimiser(
        "no way up again",
        LR.CosineAnnealingLR,
        ("(base - self.eta_min) * rise", "0.0"),
        function="get_lr",
    ),
    optimiser(
        "patience off by one",
        LR.ReduceLROnPlateau,
        ("self.num_bad_epochs > self.patience", "self.num_bad_epochs >= self.patience"),
        function="step",
    ),
    optimiser(
        "bad epochs count in a cooldown",
        LR.ReduceLROnPlateau,
        (
            "self.cooldown_counter -= 1\n        self.num_bad_epochs = 0\n",
            "self.cooldown_counter -= 1\n",
        ),
        function="step",
    ),
    optimiser(
        "a threshold for the minimum alone",
        LR.ReduceLROnPlateau,
        ('sign = -1.0 if self.mode == "min" else 1.0', "sign = -1.0"),
        function="_is_better",
    ),
    optimiser(
        "no lower bound",
        LR.ReduceLROnPlateau,
        ('max(group["lr"] * self.factor, least)', 'group["lr"] * self.factor'),
        function="_reduce",
    ),
    optimiser(
        "the counters start again",
        Schedule,
        ('if k != "optimizer"', 'if k not in ("optimizer", "num_bad_epochs")'),
        function="state_dict",
    ),
]
