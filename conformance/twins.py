"""Ops on torch tensors: a call is answered by the twin that the op table names.

With torch tensors registered, one source, such as a cell's equations, runs on both.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from minigrad.op import HANDLERS, Op

ROOTS = {"torch": torch, "operator": operator}


def register() -> None:
    """Let minigrad's ops take torch tensors."""
    HANDLERS[torch.Tensor] = call_twin


def find_twin(op: Op) -> Callable[..., Any]:
    """The function that an op's dotted name stands for; LookupError if it has none."""
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


def call_twin(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an op's twin on torch tensors, by the arguments of the op."""
    if op.name == "dropout" and kwargs.get("mask") is not None:
        return _masked_dropout(*args, **kwargs)
    defaults = op.defaults[: len(args)]
    # The engine fills defaults in; PyTorch's own may not be written out.
    while args and op.variadic is False and args[-1] is defaults[len(args) - 1]:
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
