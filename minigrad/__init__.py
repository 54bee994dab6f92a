"""minigrad: reverse-mode autograd on numpy, in PyTorch's dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors, functional, nn, op, ops, optim, rng
from .creation import (
    arange,
    bool,
    eye,
    float32,
    float64,
    full,
    int64,
    ones,
    ones_like,
    rand,
    randn,
    zeros,
)
from .gradcheck import gradcheck, gradgradcheck
from .mode import enable_grad, is_grad_enabled, no_grad
from .program import Program, linearise, trace
from .rng import manual_seed
from .scan import scan
from .tape import grad
from .tensor import Tensor

__all__ = [
    "Program",
    "Tensor",
    "arange",
    "bool",
    "enable_grad",
    "errors",
    "eye",
    "float32",
    "float64",
    "full",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "int64",
    "is_grad_enabled",
    "linearise",
    "manual_seed",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "op",
    "ops",
    "optim",
    "rand",
    "randn",
    "rng",
    "scan",
    "tensor",
    "trace",
    "zeros",
]

tensor = Tensor

# Every op of the table is a function here: an op is added in its block alone.
globals().update({name: entry.run for name, entry in op.OPS.items()})

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
