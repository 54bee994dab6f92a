"""Clipping gradients. As in PyTorch, but a gradient is replaced, never overwritten."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .._backend import TensorCore, kernels, wrap
from ..convert import look
from ..errors import ArgumentError
from ..tape import check_tensor, listed
from ..tensor import Tensor

LARGEST = float(np.finfo(np.float32).max)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), and return the norm.

    The norm, a Tensor of shape (), is that of all gradients as one vector; norm_type
    is any p > 0, or inf. Pascanu et al. (2013), algorithm 1. Raises ArgumentError for
    a max_norm < 0, a norm_type <= 0 and, if error_if_nonfinite, a norm that is inf or
    nan; no gradient is changed then.

    >>> from minigrad.nn import Parameter
    >>> weight = Parameter([3.0, 4.0])
    >>> (weight * weight).sum().backward()
    >>> clip_grad_norm_(weight, max_norm=1.0).item()
    10.0
    """
    _check_limit("max_norm", max_norm)
    try:
        order = float(norm_type)
    except (TypeError, ValueError):
        order = math.nan
    if not order > 0:
        raise ArgumentError(f"norm_type must be > 0 or inf, got {norm_type!r}")
    grads = _grads(parameters)
    norm = _total_norm([grad for _, grad in grads], order)
    if error_if_nonfinite and not np.isfinite(norm):
        raise ArgumentError(
            f"the total norm of the gradients is {norm} and can't be clipped; "
            "pass error_if_nonfinite=False to scale by it anyway"
        )
    scale = float(max_norm) / (float(norm) + 1e-6)
    if not scale >= 1:  # else they stay what they are; NaN spreads
        with np.errstate(all="ignore"):
            _replace(grads, lambda grad: grad * scale)
    return wrap(np.asarray(norm))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clamp every gradient to [-clip_value, clip_value].

    Raises ArgumentError for a clip_value < 0.
    """
    _check_limit("clip_value", clip_value)
    limit = float(clip_value)  # numpy's own float64 would make float32 wide
    _replace(_grads(parameters), lambda grad: np.clip(grad, -limit, limit))


def _check_limit(name: str, value: Any) -> None:
    if not isinstance(value, int | float | np.number) or not value >= 0:
        raise ArgumentError(f"{name} must be a number >= 0, got {value!r}")


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[tuple[Any, np.ndarray]]:
    """The nodes of leaves that have a gradient, each once, and the gradients."""
    found = {}
    for tensor in listed(parameters):
        if not isinstance(tensor, TensorCore):
            check_tensor(tensor, "each parameter")
        grad = tensor.grad
        if grad is not None:
            found[tensor._node or tensor._frozen] = (
                grad._data if grad._node is None else look(grad)
            )
    return list(found.items())


def _replace(
    grads: list[tuple[Any, np.ndarray]], change: Callable[[np.ndarray], np.ndarray]
) -> None:
    changed = [wrap(np.asarray(change(grad))) for _, grad in grads]
    for (leaf, _), grad in zip(grads, changed, strict=True):
        leaf.grad = grad


def _total_norm(grads: list[np.ndarray], order: float) -> np.floating:
    """The norm in float64, so that float32 squares can't overflow; then rounded."""
    if order == 2:
        norm = math.sqrt(sum(map(kernels.square_sum, grads)))
    else:
        flat = [grad.astype(np.float64).ravel("K") for grad in grads]
        with np.errstate(all="ignore"):
            norms = [np.linalg.norm(x, order) for x in flat]
            norm = float(np.linalg.norm(norms, order))
    if "d" in [grad.dtype.char for grad in grads]:
        return np.float64(norm)
    if norm <= LARGEST:  # what follows takes a microsecond more
        return np.float32(norm)
    with np.errstate(over="ignore"):
        return np.float32(norm)
