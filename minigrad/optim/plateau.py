"""The schedule that waits for a metric to get better."""

import math
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError
from .optimizer import Optimizer, integer, number
from .schedule import Schedule


class ReduceLROnPlateau(Schedule):
    """lr is multiplied by factor when a metric has stopped getting better.

    It has if more than `patience` epochs in a row were no better than the best one by
    `threshold`, relative to it ("rel") or not ("abs"). The epochs in a `cooldown` after
    that do not count. lr is never set below min_lr (a number, or one for each group),
    nor changed by eps or less. mode: "min" if lower is better, else "max".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] | tuple[float, ...] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(optimizer)
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.eps = eps
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.check()

    def check(self) -> None:
        """Raise ArgumentError for a bad option."""
        for name, allowed in (("mode", "min max"), ("threshold_mode", "rel abs")):
            if getattr(self, name) not in allowed.split():
                raise ArgumentError(
                    f"{name} must be one of {allowed.split()}, "
                    f"got {getattr(self, name)!r}"
                )
        self.factor = number("factor", self.factor, 0.0, 1.0)
        self.threshold = number("threshold", self.threshold)
        self.eps = number("eps", self.eps)
        integer("patience", self.patience, 0)
        integer("cooldown", self.cooldown, 0)
        for least in self._min_lrs():
            number("min_lr", least)

    def step(self, metrics: Any) -> None:
        """Take in an epoch's metric, and reduce lr if it is time.

        metrics: a number, or a Tensor of one element. Raises ArgumentError for
        anything else, and if there is not one min_lr for each group.
        """
        value = _as_float(metrics)
        least, groups = self._min_lrs(), self.optimizer.param_groups
        if len(least) != len(groups):
            raise ArgumentError(
                f"min_lr has {len(least)} values, but the optimiser has {len(groups)} "
                "groups; give one for each, or one number"
            )
        self.last_epoch += 1
        if self._is_better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _min_lrs(self) -> Sequence[float]:
        """The bound of each group."""
        if isinstance(self.min_lr, tuple | list):
            return self.min_lr
        return [self.min_lr] * len(self.optimizer.param_groups)

    def _is_better(self, value: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "rel":
            least = self.best * (1 + sign * self.threshold)
        else:
            least = self.best + sign * self.threshold
        return sign * value > sign * least

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        for group, least in zip(groups, self._min_lrs(), strict=True):
            lr = max(group["lr"] * self.factor, least)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr


def _as_float(metrics: Any) -> float:
    try:
        return float(metrics)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"metrics must be a number, got {metrics!r}") from error
