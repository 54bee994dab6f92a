"""What learning rate schedules share."""

import copy
from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError, MinigradError, MissingMethodError, StateDictError
from .optimizer import Optimizer, integer


class Schedule:
    """An optimiser's schedule, whose attributes are all that it knows."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"a schedule acts on an optimiser, got {type(optimizer).__name__}"
            )
        self.optimizer = optimizer

    def check(self) -> None:
        """Raise ArgumentError for a bad option."""

    def get_last_lr(self) -> list[float]:
        """The lr of each group as it is."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser, which has its own: a snapshot."""
        state = {k: v for k, v in vars(self).items() if k != "optimizer"}
        return copy.deepcopy(state)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict` of the same schedule.

        Raises StateDictError for what does not fit, and changes nothing then.
        """
        expected = self.state_dict().keys()
        if not isinstance(state_dict, Mapping) or state_dict.keys() != expected:
            raise StateDictError(
                f"expected a mapping with {', '.join(expected)}, as state_dict() of "
                f"{type(self).__name__} returns it, got {state_dict!r}"
            )
        trial = copy.copy(self)
        vars(trial).update(copy.deepcopy(dict(state_dict)))
        try:
            trial.check()
        except MinigradError as error:
            raise StateDictError(f"{type(self).__name__}: {error}") from error
        vars(self).update(vars(trial))


class LRScheduler(Schedule):
    """What the schedules share: `step`, once an epoch, and what is saved.

    last_epoch: the number of the last epoch that was done, -1 to start. To go on, the
    groups must have an "initial_lr", as those of a state dict have; their lr is left as
    it is. A schedule of your own defines `get_lr`. Raises ArgumentError for
    anything but an optimiser, and for bad options.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer)
        self.check()
        self.last_epoch = integer("last_epoch", last_epoch, -1) + 1
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"group {i} has no initial_lr to go on from; load the optimiser's "
                    "state dict first, or start with last_epoch=-1"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """What `step` sets: the lr of each group for the epoch `last_epoch`."""
        raise MissingMethodError(f"{type(self).__name__} defines no get_lr")

    def step(self) -> None:
        """Begin the next epoch. Raises ArgumentError if groups came or went."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            raise ArgumentError(
                f"the schedule was made for {len(self.base_lrs)} groups, but the "
                f"optimiser has {len(groups)}; make the schedule after add_param_group"
            )
        self.last_epoch += 1
        for group, lr in zip(groups, self.get_lr(), strict=True):
            group["lr"] = lr
