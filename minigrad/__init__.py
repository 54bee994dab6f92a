"""minigrad: reverse-mode autograd on numpy, in PyTorch's dialect."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import (
    ctc,
    einsum,
    errors,
    functional,
    label_losses,
    losses,
    op,
    ops,
    reductions,
    rng,
)
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
from .interop import from_dlpack
from .mode import enable_grad, is_grad_enabled, no_grad
from .rng import manual_seed
from .tape import grad
from .tensor import Tensor
from .threads import get_num_threads, set_num_threads

__all__ = [
    "Derived",
    "Program",
    "Tensor",
    "arange",
    "bool",
    "ctc",
    "custom_op",
    "derive",
    "detect_anomaly",
    "eager_loops",
    "einsum",
    "enable_grad",
    "errors",
    "explain",
    "eye",
    "float32",
    "float64",
    "from_dlpack",
    "full",
    "functional",
    "get_num_threads",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "hessian",
    "hvp",
    "int64",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "label_losses",
    "linearise",
    "losses",
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
    "reductions",
    "rng",
    "scan",
    "set_num_threads",
    "tensor",
    "trace",
    "vjp",
    "zeros",
]

tensor = Tensor

# Every op of the table is a function here, and a method if it starts with a tensor: an
# op is added in its block alone.
for _name, _op in op.OPS.items():
    globals()[_name] = _op.run
    if _op.is_method and not hasattr(Tensor, _name):
        setattr(Tensor, _name, _op.run)

_LATER = {
    **dict.fromkeys(("nn", "optim")),
    "custom_op": "custom",
    **dict.fromkeys(("hessian", "hvp", "jacobian", "jvp", "vjp"), "derivatives"),
    **dict.fromkeys(("Derived", "derive"), "derived"),
    **dict.fromkeys(("gradcheck", "gradgradcheck"), "gradchecks"),
    **dict.fromkeys(("eager_loops", "explain", "scan"), "loops"),
    **dict.fromkeys(("Program", "linearise", "trace"), "program"),
}
"""What not everybody uses, and the module that it is in: imported when it is used.

The loops are the largest part: 12 of 27 ms.
"""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_LATER[name] or name}", __name__)
    found = module if _LATER[name] is None else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


if TYPE_CHECKING:
    from . import nn, optim
    from .custom import custom_op
    from .derivatives import hessian, hvp, jacobian, jvp, vjp
    from .derived import Derived, derive
    from .gradchecks import gradcheck, gradgradcheck
    from .loops import eager_loops, explain, scan
    from .program import Program, linearise, trace
