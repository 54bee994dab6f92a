"""Settings of optimisers, schedules and clipping, and the data that they run on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cases import AXES, stream
from ..tape import Array, Arrays

STEPS = 100
SHAPES = {"matrix": (3, 4), "vector": (5,), "scalar": ()}

Options = dict[str, Any]


@dataclass(frozen=True)
class OptimCase:
    """The options of an optimiser, a schedule or a way of clipping, in one dtype."""

    name: str
    options: tuple[tuple[str, Any], ...]
    dtype: str

    is_measured = True  # as `LayerCase.is_measured`

    @property
    def id(self) -> str:
        """What names it, such as "SGD/momentum=0.9/f32"."""
        words = [f"{key}={value}" for key, value in self.options]
        return "/".join([self.name, *words, AXES["dtype"][self.dtype]])

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

    def metrics(self, seed: int = 0) -> Array:
        """What a schedule waits for: it gets better now and then, and is noisy."""
        stairs = 1 / (1 + np.arange(STEPS) // 20)
        noise = stream(self.id, "metrics", seed).standard_normal(STEPS)
        return stairs + 0.1 * noise


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
RMSPROP = grid(
    alpha=(0.99, 0.7),
    eps=(1e-8, 0.01),
    weight_decay=(0, 0.1),
    momentum=(0, 0.9),
    centered=(False, True),
    maximize=(False, True),
)
PLATEAU = grid(
    mode=("min", "max"),
    factor=(0.1, 0.5),
    patience=(10, 2),
    threshold=(1e-4, 0.1),
    threshold_mode=("rel", "abs"),
    cooldown=(0, 3),
)
SCHEDULES: dict[str, list[Options]] = {
    "StepLR": [{"step_size": 1, "gamma": 0.97}, {"step_size": 30}],
    "MultiStepLR": [{"milestones": (3, 50, 50, 99)}, {"milestones": (), "gamma": 2.0}],
    "ExponentialLR": [{"gamma": 0.97}, {"gamma": 0.0}],
    "CosineAnnealingLR": [
        {"T_max": steps, **options}
        for steps in (1, 7, STEPS)
        for options in grid(eta_min=(0.0, 0.001))
    ],
    "ReduceLROnPlateau": [
        *PLATEAU,
        {"patience": 2, "min_lr": (0.01, 0.001)},
        {"patience": 2, "eps": 0.01},
    ],
}
GRIDS = {
    "SGD": SGD,
    "RMSprop": RMSPROP,
    "Adam": ADAM,
    "AdamW": ADAM,
    **SCHEDULES,
    "clip_grad_norm_": CLIP,
    "clip_grad_value_": [{"clip_value": 0.3}, {"clip_value": 100.0}],
}


def optim_cases() -> list[OptimCase]:
    """All optimisers, schedules and ways of clipping, with all settings and dtypes."""
    return [
        OptimCase(name, tuple(options.items()), dtype)
        for name, settings in GRIDS.items()
        for options in settings
        for dtype in AXES["dtype"]
    ]
