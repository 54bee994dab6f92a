"""Ops on torch tensors: a call is answered by the twin that the op table names.

With torch tensors registered, one source, such as a cell's equations, runs on both.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from minigrad.op import HANDLERS, Op

ROOTS = {"torch": torch, "operator": operator}


def register() -> None:
    """Let minigrad's ops take torch tensors."""
    HANDLERS[torch.Tensor] = call_twin


def has_twin(op: Op) -> bool:
    """Whether the op can be held against torch tensors."""
    return op.torch is not None or op.name in WRITTEN


def find_twin(op: Op) -> Callable[..., Any]:
    """The function that an op's dotted name stands for; LookupError if it has none."""
    if op.name in WRITTEN:
        return WRITTEN[op.name]
    if op.torch is None:
        raise LookupError(f"{op.name} has no PyTorch twin to run on torch tensors")
    first, *names = op.torch.split(".")
    found: Any = ROOTS[first]
    for name in names:
        found = getattr(found, name)
    return found


def to_torch(value: Any) -> Any:
    """An argument as PyTorch takes it: arrays and dtypes, also inside others."""
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    if isinstance(value, np.dtype):
        return getattr(torch, value.name)
    if isinstance(value, tuple | list):
        return type(value)(to_torch(item) for item in value)
    return value


def _default(op: Op, place: int) -> Any:
    """The default of the parameter at a place; starred ones are past the last."""
    return op.defaults[place] if place < len(op.defaults) else op.signature.empty


def call_twin(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an op's twin on torch tensors, by the arguments of the op."""
    if op.name == "dropout" and kwargs.get("mask") is not None:
        return _masked_dropout(*args, **kwargs)
    if op.name in CORRECTED:
        return CORRECTED[op.name](*map(to_torch, args), **kwargs)
    # The engine fills defaults in; PyTorch's own may not be written out.
    while args and not op.variadic and args[-1] is _default(op, len(args) - 1):
        args = args[:-1]
    values = [to_torch(arg) for arg in args]
    if isinstance(values[0], float):  # PyTorch's functions take no number first
        like = next(v for v in values if isinstance(v, torch.Tensor))
        values[0] = torch.tensor(values[0], dtype=like.dtype)
    return find_twin(op)(*values, **{k: to_torch(v) for k, v in kwargs.items()})


def _masked_dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, *, mask: Any
) -> torch.Tensor:
    """Dropout whose mask is data, which PyTorch doesn't have."""
    kept = torch.as_tensor(np.asarray(mask)).to(input.dtype)
    return input * kept / (1 - p) if training and p < 1 else input * (1.0 - training)


def _hardsigmoid(input: torch.Tensor) -> torch.Tensor:
    """PyTorch's, whose own gradient has a float32 1/6 in it, and no derivative."""
    right = functional.relu6(input + 3) / 6
    return functional.hardsigmoid(input).detach() + (right - right.detach())


def _ctc_loss(
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> torch.Tensor:
    """PyTorch's, without what its gradient has too much.

    PyTorch adds exp(log_probs) to the derivative, at every step of a sequence with a
    finite loss, on behalf of the log_softmax before. It is subtracted here.
    """

    def loss(*options: Any) -> torch.Tensor:
        lengths = input_lengths, target_lengths
        return functional.ctc_loss(log_probs, targets, *lengths, blank, *options)

    steps = torch.arange(len(log_probs))[:, None] < input_lengths.reshape(1, -1)
    rows = log_probs.reshape(*steps.shape, -1)
    finite = loss("none", False).detach().reshape(-1).isfinite()
    added = (rows.exp().sum(2) * steps).sum(0) * finite
    if reduction == "mean":
        added = added / target_lengths.reshape(-1).clamp(min=1) / len(added)
    added = added if reduction == "none" else added.sum()
    total = loss(reduction, zero_infinity)
    return total - (added - added.detach()).reshape(total.shape)


CORRECTED: dict[str, Callable[..., torch.Tensor]] = {
    "hardsigmoid": _hardsigmoid,
    "ctc_loss": _ctc_loss,
}
"""PyTorch's values with a derivative that is right, where PyTorch's own is not."""


def _standardize(x: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + eps)
    return (x - mean) * scale, scale


def _standardize_grad(
    g: torch.Tensor, y: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    along = (g * y).mean(-1, keepdim=True)
    return (g - g.mean(-1, keepdim=True) - along * y) * scale


WRITTEN: dict[str, Callable[..., Any]] = {
    "standardize": _standardize,
    "standardize_grad": _standardize_grad,
}
"""Of ops that PyTorch has under no name, in its ops, by another hand."""
