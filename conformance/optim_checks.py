"""Optimisers and clipping: twenty steps beside torch.optim, on given gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import minigrad as mg

from . import policy
from .cases import AXES, stream
from .judge import Judge, Pair
from .result import Result
from .tape import Array, Arrays

STEPS = 20
SHAPES = {"matrix": (3, 4), "vector": (5,), "scalar": ()}
SKIPPED = {"vector": (0, 7, 8)}  # steps at which a parameter has no gradient
OTHER_LR = 0.003  # of the second group, which holds the scalar

Options = dict[str, Any]


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


@dataclass(frozen=True)
class OptimCase:
    """An optimiser's options, or a way of clipping, in one dtype."""

    name: str
    options: tuple[tuple[str, Any], ...]
    dtype: str

    @property
    def id(self) -> str:
        """What names it, such as "SGD/momentum=0.9/f32"."""
        words = [f"{key}={value}" for key, value in self.options]
        return "/".join([self.name, *words, AXES["dtype"][self.dtype]])

    is_measured = True  # as `LayerCase.is_measured`

    @property
    def family(self) -> str:
        """What float32 errors are recorded by."""
        return self.name

    def arrays(self, purpose: str, seed: int = 0) -> Arrays:
        """An array for each parameter, of the case's precision."""
        rng = stream(self.id, purpose, seed)
        return {
            name: np.asarray(rng.standard_normal(shape), self.dtype)
            for name, shape in SHAPES.items()
        }


def grid(**values: Sequence[Any]) -> list[Options]:
    """Every combination, as options; the first value of each is left to the default."""
    return [
        {name: v for name, v in zip(values, row, strict=True) if v != values[name][0]}
        for row in itertools.product(*values.values())
    ]


SGD = [
    options
    for options in grid(
        lr=(1e-3, 0.1),
        momentum=(0, 0.9),
        dampening=(0, 0.3),
        weight_decay=(0, 0.1),
        nesterov=(False, True),
        maximize=(False, True),
    )
    if not options.get("nesterov")
    or ("momentum" in options and "dampening" not in options)
]
ADAM = grid(
    lr=(1e-3, 0.1),
    betas=((0.9, 0.999), (0.7, 0.9)),
    eps=(1e-8, 0.01),
    weight_decay=(None, 0.1),
    amsgrad=(False, True),
    maximize=(False, True),
)
CLIP = [
    {"max_norm": limit, "norm_type": order}
    for limit in (0.5, 100.0)
    for order in (1.0, 2.0, 3.5, float("inf"))
]
GRIDS = {
    "SGD": SGD,
    "Adam": ADAM,
    "AdamW": ADAM,
    "clip_grad_norm_": CLIP,
    "clip_grad_value_": [{"clip_value": 0.3}, {"clip_value": 100.0}],
}


def optim_cases() -> list[OptimCase]:
    """Every optimiser and way of clipping, for every setting, in both dtypes."""
    return [
        OptimCase(name, tuple(options.items()), dtype)
        for name, settings in GRIDS.items()
        for options in settings
        for dtype in AXES["dtype"]
    ]


def optim_suite(
    subject: Any = mg,
    cases: Sequence[OptimCase] | None = None,
    errors: policy.Errors | None = None,
) -> Iterator[Result]:
    """Every check; subject: a namespace with optim, nn.Parameter and nn.utils."""
    errors = policy.recorded() if errors is None else errors
    for case in optim_cases() if cases is None else cases:
        yield from check_optim(case, subject, errors)


def check_optim(
    case: OptimCase, subject: Any = mg, errors: policy.Errors | None = None
) -> Iterator[Result]:
    """Every check of one case. What raises is a failure like any other."""
    errors = policy.recorded() if errors is None else errors
    judge = Judge(case.name, case.id, case.dtype, case.name, errors)
    try:
        found = _measure(case, minigrad_side(subject), case.dtype)
    except Exception as error:
        yield judge.raised("runs", error)
        return
    for what, tensors in _measure(case, TORCH_SIDE, "float64").items():
        for name, reference in tensors.items():
            yield judge.close(what, name, found[what][name], reference)


def torch_pair(case: OptimCase, seed: int) -> Pair:
    """The case on PyTorch in float32, and in float64 on the same data."""
    return (
        _measure(case, TORCH_SIDE, "float32", seed),
        _measure(case, TORCH_SIDE, "float64", seed),
    )


def _measure(
    case: OptimCase, side: Side, dtype: str, seed: int = 0
) -> dict[str, Arrays]:
    """All that is compared of one side's run in `dtype`."""
    start = case.arrays("start", seed)
    parameters = {n: side.parameter(a.astype(dtype)) for n, a in start.items()}
    if case.name.startswith("clip"):
        return _clipped(case, side, parameters, dtype, seed)
    *most, last = parameters.values()
    groups = [{"params": most}, {"params": [last], "lr": OTHER_LR}]
    optimizer = getattr(side.optim, case.name)(groups, **dict(case.options))
    found = {}
    for step in range(STEPS):
        for name, gradient in case.arrays(f"gradient {step}", seed).items():
            skipped = step in SKIPPED.get(name, ())
            value = None if skipped else side.tensor(gradient.astype(dtype))
            parameters[name].grad = value
        optimizer.step()
        if step in (0, STEPS - 1):
            found[f"after {step + 1}"] = _read(parameters)
    return found


def _clipped(
    case: OptimCase, side: Side, parameters: dict[str, Any], dtype: str, seed: int
) -> dict[str, Arrays]:
    for name, gradient in case.arrays("gradient", seed).items():
        parameters[name].grad = side.tensor(gradient.astype(dtype))
    clip = getattr(side.utils, case.name)
    norm = clip(list(parameters.values()), **dict(case.options))
    found = {"clipped": _read({n: p.grad for n, p in parameters.items()})}
    return found if norm is None else {**found, "norm": _read({"total": norm})}


def _read(tensors: dict[str, Any]) -> Arrays:
    return {name: np.array(t.detach().numpy()) for name, t in tensors.items()}
