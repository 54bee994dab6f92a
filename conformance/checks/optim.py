"""Optimisers, schedules and clipping: beside torch.optim, on given gradients.

A hundred steps each, and once more with a stop half-way: what is made anew from the
state dicts goes on to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import minigrad as mg

from .. import policy
from ..judge import Judge, Pair
from ..result import Result
from ..tape import Array, Arrays
from .optim_cases import SCHEDULES, STEPS, OptimCase

SKIPPED = {"vector": (0, 7, 8)}  # steps at which a parameter has no gradient
OTHER_LR = 0.003  # of the second group, which holds the scalar
SCHEDULED_LR = 0.5  # of the first group, where a schedule acts on SGD


@dataclass(frozen=True)
class Side:
    """Where an implementation keeps what is compared."""

    parameter: Callable[[Array], Any]
    tensor: Callable[[Array], Any]
    optim: Any
    utils: Any


TORCH_SIDE = Side(
    lambda array: torch.nn.Parameter(torch.tensor(array)),
    torch.tensor,
    torch.optim,
    torch.nn.utils,
)


def minigrad_side(subject: Any) -> Side:
    """The same of a namespace like minigrad."""
    return Side(subject.nn.Parameter, subject.Tensor, subject.optim, subject.nn.utils)


def check_optim(
    case: OptimCase, subject: Any = mg, errors: policy.Errors | None = None
) -> Iterator[Result]:
    """Every check of one case. What raises is a failure like any other.

    subject: a namespace with optim, nn.Parameter and nn.utils.
    """
    errors = policy.recorded() if errors is None else errors
    judge = Judge(case.name, case.id, case.dtype, case.name, errors)
    side = minigrad_side(subject)
    try:
        found = _measure(case, side, case.dtype)
        resumed = _measure(case, side, case.dtype, stop=STEPS // 2)
    except Exception as error:
        yield judge.raised("runs", error)
        return
    for what, tensors in _measure(case, TORCH_SIDE, "float64").items():
        for name, reference in tensors.items():
            yield judge.close(what, name, found[what][name], reference)
            again = resumed[what][name]
            yield judge.equal(f"resumed: {what} {name}", again, found[what][name])


def torch_pair(case: OptimCase, seed: int) -> Pair:
    """The case on PyTorch in float32, and in float64 on the same data."""
    return (
        _measure(case, TORCH_SIDE, "float32", seed),
        _measure(case, TORCH_SIDE, "float64", seed),
    )


@dataclass(frozen=True)
class Training:
    """Parameters, and what trains them; a schedule acts on plain SGD."""

    parameters: dict[str, Any]
    optimizer: Any
    schedule: Any = None

    @classmethod
    def start(cls, case: OptimCase, side: Side, values: Arrays) -> Training:
        """Everything anew, from the values of the parameters."""
        parameters = {name: side.parameter(array) for name, array in values.items()}
        *most, last = parameters.values()
        groups = [{"params": most}, {"params": [last], "lr": OTHER_LR}]
        options = dict(case.options)
        if case.name not in SCHEDULES:
            return cls(parameters, getattr(side.optim, case.name)(groups, **options))
        optimizer = side.optim.SGD(groups, lr=SCHEDULED_LR)
        make = getattr(side.optim.lr_scheduler, case.name)
        return cls(parameters, optimizer, make(optimizer, **options))

    def again(self, case: OptimCase, side: Side) -> Training:
        """Another one, that has only the values and the state dicts of this one."""
        fresh = Training.start(case, side, _read(self.parameters))
        fresh.optimizer.load_state_dict(self.optimizer.state_dict())
        if self.schedule is not None:
            fresh.schedule.load_state_dict(self.schedule.state_dict())
        return fresh

    def step(self, gradients: dict[str, Any], metric: float) -> None:
        """One step of the optimiser, then of the schedule."""
        for name, gradient in gradients.items():
            self.parameters[name].grad = gradient
        self.optimizer.step()
        if hasattr(self.schedule, "patience"):
            self.schedule.step(metric)
        elif self.schedule is not None:
            self.schedule.step()

    def rates(self) -> list[float]:
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]


def _measure(
    case: OptimCase, side: Side, dtype: str, seed: int = 0, stop: int | None = None
) -> dict[str, Arrays]:
    """All that is compared of one side's run in `dtype`, which may stop on its way."""
    start = {n: a.astype(dtype) for n, a in case.arrays("start", seed).items()}
    if case.name.startswith("clip"):
        return _clipped(case, side, start, dtype, seed)
    training = Training.start(case, side, start)
    found, rates = {}, []
    for step, metric in enumerate(case.metrics(seed).tolist()):
        if step == stop:
            training = training.again(case, side)
        drawn = case.arrays(f"gradient {step}", seed)
        skipped = [name for name, steps in SKIPPED.items() if step in steps]
        training.step(
            {
                name: None if name in skipped else side.tensor(gradient.astype(dtype))
                for name, gradient in drawn.items()
            },
            metric,
        )
        rates.append(training.rates())
        if step in (0, STEPS - 1):
            found[f"after {step + 1}"] = _read(training.parameters)
    return {**found, "lr": {"groups": np.array(rates, dtype)}}


def _clipped(
    case: OptimCase, side: Side, values: Arrays, dtype: str, seed: int
) -> dict[str, Arrays]:
    parameters = {name: side.parameter(array) for name, array in values.items()}
    for name, gradient in case.arrays("gradient", seed).items():
        parameters[name].grad = side.tensor(gradient.astype(dtype))
    clip = getattr(side.utils, case.name)
    norm = clip(list(parameters.values()), **dict(case.options))
    found = {"clipped": _read({n: p.grad for n, p in parameters.items()})}
    return found if norm is None else {**found, "norm": _read({"total": norm})}


def _read(tensors: dict[str, Any]) -> Arrays:
    return {name: np.array(t.detach().numpy()) for name, t in tensors.items()}
