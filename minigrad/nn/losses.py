"""The losses as modules, which keep their options."""

from typing import Any

from .. import label_losses, losses
from ..tensor import Tensor
from .module import Module
from .parameter import Parameter


class CrossEntropyLoss(Module):
    """`label_losses.cross_entropy` with its options kept.

    input: (C,), (N, C) or (N, C, ...); target: int64 classes without the C axis, or
    probabilities of the input's shape; weight: (C,), a buffer, as it is in PyTorch.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        _keep_weight(self, weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: () if reduced, else the target's shape without the C axis."""
        loss: Tensor = label_losses.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
        return loss


class NLLLoss(Module):
    """`label_losses.nll_loss` with its options kept: minus the log-probability given.

    input: log-probabilities (C,), (N, C) or (N, C, ...); target: int64 classes without
    the C axis; weight: (C,), a buffer.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        _keep_weight(self, weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: () if reduced, else the target's shape."""
        loss: Tensor = label_losses.nll_loss(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )
        return loss


class MSELoss(Module):
    """`losses.mse_loss` with its option kept; input and target of one shape."""

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: () if reduced, else the input's shape."""
        loss: Tensor = losses.mse_loss(input, target, reduction=self.reduction)
        return loss


def _keep_weight(loss: Module, weight: Any) -> None:
    """Have the weight saved, and cast, with the module that the loss is in."""
    if isinstance(weight, Parameter):
        loss.weight = weight
        return
    given = weight is None or isinstance(weight, Tensor)
    loss.register_buffer("weight", weight if given else Tensor(weight))
