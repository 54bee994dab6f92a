"""Learning rates that change as training goes on; PyTorch's names and arithmetic.

A schedule writes `group["lr"]` of its optimiser's groups, from what it finds there, so
that several may act on one optimiser. It is stepped after the optimiser. To go on with
a run, make both anew and load both state dicts: the lr itself is the optimiser's.
"""

import math
from collections.abc import Iterable

from ..errors import ArgumentError
from .optimizer import Optimizer, integer, number
from .plateau import ReduceLROnPlateau
from .schedule import LRScheduler

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "MultiStepLR",
    "ReduceLROnPlateau",
    "StepLR",
]


class StepLR(LRScheduler):
    """lr is multiplied by gamma every step_size epochs.

    >>> from minigrad import nn, optim
    >>> steps = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> schedule = StepLR(steps, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     steps.step()
    ...     schedule.step()
    ...     print(schedule.get_last_lr())
    [1.0]
    [0.5]
    [0.5]
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        step_size: int,
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def check(self) -> None:
        """Raise ArgumentError for a step_size below 1 or a gamma below 0."""
        integer("step_size", self.step_size, 1)
        self.gamma = number("gamma", self.gamma)

    def get_lr(self) -> list[float]:
        """The lr as it is, or gamma times it."""
        factor = 1.0 if self.last_epoch % self.step_size else self.gamma
        return [lr * factor for lr in self.get_last_lr()]


class MultiStepLR(LRScheduler):
    """lr is multiplied by gamma at each milestone; twice, if one is given twice."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = milestones
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def check(self) -> None:
        """Raise ArgumentError for a milestone below 1 or a gamma below 0."""
        if not isinstance(self.milestones, Iterable):
            raise ArgumentError(f"milestones must be ints, got {self.milestones!r}")
        self.milestones = [integer("milestones", m, 1) for m in self.milestones]
        self.gamma = number("gamma", self.gamma)

    def get_lr(self) -> list[float]:
        """The lr as it is, or gamma times it."""
        factor = self.gamma ** list(self.milestones).count(self.last_epoch)
        return [lr * factor for lr in self.get_last_lr()]


class ExponentialLR(LRScheduler):
    """lr is multiplied by gamma every epoch."""

    def __init__(
        self, optimizer: Optimizer, gamma: float, last_epoch: int = -1
    ) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def check(self) -> None:
        """Raise ArgumentError for a gamma below 0."""
        self.gamma = number("gamma", self.gamma)

    def get_lr(self) -> list[float]:
        """gamma times the lr."""
        return [lr * self.gamma for lr in self.get_last_lr()]


class CosineAnnealingLR(LRScheduler):
    """lr falls to eta_min along half a cosine, in T_max epochs, and rises again.

    lr_t = eta_min + (lr_0 - eta_min)(1 + cos(π t / T_max)) / 2, computed from lr_(t-1).
    Loshchilov & Hutter (2017), arXiv:1608.03983, equation 5, without restarts.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def check(self) -> None:
        """Raise ArgumentError for a T_max below 1 or an eta_min below 0."""
        integer("T_max", self.T_max, 1)
        self.eta_min = number("eta_min", self.eta_min)

    def get_lr(self) -> list[float]:
        """The lr, moved along the cosine by one epoch."""
        t, last = self.last_epoch, self.get_last_lr()
        if (t - 1) % (2 * self.T_max) == self.T_max:  # from the bottom, a ratio to 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(last, self.base_lrs, strict=True)
            return [lr + (base - self.eta_min) * rise for lr, base in pairs]
        factor = (1 + math.cos(math.pi * t / self.T_max)) / (
            1 + math.cos(math.pi * (t - 1) / self.T_max)
        )
        return [factor * (lr - self.eta_min) + self.eta_min for lr in last]
