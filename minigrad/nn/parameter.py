"""Parameters: the leaves that a module holds and an optimiser trains."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..errors import ArgumentError, DTypeError, GraphError, ShapeError
from ..mode import refuse_in_step
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf Tensor that a Module registers and an optimiser trains.

    `data` is whatever Tensor takes. It is copied.

    >>> weight = Parameter([1.0, 2.0])
    >>> weight.assign([3.0, 4.0])
    >>> weight.tolist()
    [3.0, 4.0]
    """

    def __init__(
        self, data: Any, dtype: DTypeLike | None = None, requires_grad: bool = True
    ) -> None:
        super().__init__(data, dtype, requires_grad)

    def assign(self, value: Any) -> None:
        """Give the parameter a new array: the only mutation there is.

        `value` is a Tensor or anything numpy reads as an array. Its shape must be the
        parameter's (ShapeError) and so must its dtype (DTypeError); Python numbers
        take the parameter's dtype. A Tensor is read, not differentiated through.
        """
        refuse_in_step("assign()", "assign before or after it")
        exact = hasattr(value, "dtype")
        self._replace(fit(value, self, "equiv" if exact else "same_kind"))

    def _refuse_data(self, value: Any) -> None:
        raise GraphError(
            "setting data of a Parameter changes none of its values; give it new ones "
            "with assign(...)"
        )

    # A Parameter takes any attribute, and PyTorch's way to new values would be lost.
    data = property(None, _refuse_data)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike | None) -> Parameter:
    """What a module fills: float32 if it is made with dtype=None, as in PyTorch."""
    return Parameter(np.zeros(shape, np.float32), dtype)


def clear_grads(parameters: Iterable[Parameter], set_to_none: bool) -> None:
    """Take the gradients away, or make them zeros."""
    for parameter in parameters:
        grad = parameter.grad
        if grad is not None:
            parameter.grad = None if set_to_none else ops.zeros_like(grad)


def fit(
    value: Any, parameter: Tensor, casting: Literal["equiv", "same_kind"]
) -> np.ndarray:
    """Read a value as a fresh read-only array of the parameter's shape and dtype."""
    try:
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"expected an array, got {value!r}: {error}") from error
    if array.shape != parameter.shape:
        raise ShapeError(
            f"expected an array of shape {parameter.shape}, got {array.shape}"
        )
    if not np.can_cast(array.dtype, parameter.dtype, casting):
        raise DTypeError(
            f"expected an array of {parameter.dtype}, got {array.dtype}; "
            "cast the array, or the module with Module.to"
        )
    with np.errstate(all="ignore"):  # too large for float32 is infinite, as in an op
        array = array.astype(parameter.dtype)
    array.flags.writeable = False
    return array
