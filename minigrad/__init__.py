"""minigrad: reverse-mode autograd on numpy, in PyTorch's dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors, functional, nn, op, ops, optim, rng
from .anomaly import detect_anomaly
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
from .custom import custom_op
from .derivatives import hessian, hvp, jacobian, jvp, vjp
from .derived import Derived, derive
from .gradcheck import gradcheck, gradgradcheck
from .interop import from_dlpack
from .mode import enable_grad, is_grad_enabled, no_grad
from .program import Program, linearise, trace
from .rng import manual_seed
from .scan import scan
from .tape import grad
from .tensor import Tensor

__all__ = [
    "Derived",
    "Program",
    "Tensor",
    "arange",
    "bool",
    "custom_op",
    "derive",
    "detect_anomaly",
    "enable_grad",
    "errors",
    "eye",
    "float32",
    "float64",
    "from_dlpack",
    "full",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "hessian",
    "hvp",
    "int64",
    "is_grad_enabled",
    "jacobian",
    "jvp",
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
    "vjp",
    "zeros",
]

tensor = Tensor

# Every op of the table is a function here: an op is added in its block alone.
globals().update({name: entry.run for name, entry in op.OPS.items()})

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
