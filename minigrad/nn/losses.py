"""The losses as modules, which keep their options."""

from .. import label_losses, losses
from ..tensor import Tensor
from .module import Module


class CrossEntropyLoss(Module):
    """`label_losses.cross_entropy` with its options kept.

    input: (C,), (N, C) or (N, C, ...); target: int64 classes without the C axis, or
    probabilities of the input's shape.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight = weight
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
    the C axis.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        self.weight = weight
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
