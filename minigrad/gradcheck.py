"""Derivatives against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import ops, tape
from .errors import ArgumentError, DTypeError, MinigradError
from .tensor import Tensor

Matrix = np.ndarray[Any, Any]

FINITE_DIFFERENCE = 1e-6
"""The largest difference, relative to the largest entry of the Jacobian."""

STEP = 1e-6  # truncation of order 1e-12, rounding of order 1e-10: both far below


class GradcheckError(MinigradError, AssertionError):
    """An analytic derivative that finite differences contradict."""


def gradcheck(
    fn: Callable[..., Any], inputs: Sequence[Any], raise_exception: bool = True
) -> bool:
    """Compare every entry of fn's Jacobian with central differences.

    fn: Tensors -> a Tensor or a tuple of them. inputs: float64 tensors that require
    grad are differentiated, the others are passed on as they are. A float output that
    does not require grad claims that its derivative is zero.

    Raises GradcheckError, which names the worst entry, or returns False; DTypeError
    for a derivative in float32, ArgumentError if there is nothing to check.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: x.log() * x, [x])
    True
    """
    places, leaves, outputs = _prepare(fn, inputs)
    analytic = [_by_tape(y, [leaves[i] for i in places]) for y in outputs]
    for column, i in enumerate(places):
        numeric = _by_differences(fn, leaves, i)
        for j, matrix in enumerate(numeric):
            found = _worst(analytic[j][column], matrix)
            if found and raise_exception:
                raise GradcheckError(_message(i, j, *found))
            if found:
                return False
    return True


def gradgradcheck(
    fn: Callable[..., Any], inputs: Sequence[Any], raise_exception: bool = True
) -> bool:
    """gradcheck of fn's own gradient, by its inputs and by the cotangents."""
    rng = np.random.default_rng(0)
    _, _, outputs = _prepare(fn, inputs)
    cotangents = [
        Tensor(rng.uniform(0.5, 1.5, y.shape), np.float64, requires_grad=True)
        for y in outputs
        if y.requires_grad
    ]

    def gradient(*values: Any) -> tuple[Tensor, ...]:
        given, seeds = values[: len(inputs)], values[len(inputs) :]
        trained = [x for x in given if _is_trained(x)]
        outputs = [y for y in _float_outputs(fn(*given)) if y.requires_grad]
        found = tape.grad(outputs, trained, seeds, create_graph=True, allow_unused=True)
        pairs = zip(found, trained, strict=True)
        return tuple(ops.zeros_like(x) if g is None else g for g, x in pairs)

    return gradcheck(gradient, [*inputs, *cotangents], raise_exception)


def _prepare(
    fn: Any, inputs: Sequence[Any]
) -> tuple[list[int], list[Any], list[Tensor]]:
    """Where the trained inputs stand, the inputs as leaves, and the float outputs."""
    places = [i for i, x in enumerate(inputs) if _is_trained(x)]
    leaves = [_leaf(x, x._data) if _is_trained(x) else x for x in inputs]
    outputs = _float_outputs(fn(*leaves))
    if not places or not outputs:
        raise ArgumentError(
            "gradcheck: nothing to check; give an input that requires grad, and a "
            "function with a float output"
        )
    for name, tensors in ("input", [leaves[i] for i in places]), ("output", outputs):
        if any(x.dtype != np.float64 for x in tensors):
            raise DTypeError(f"gradcheck: an {name} is float32; use .double() leaves")
    return places, leaves, outputs


def _is_trained(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _leaf(x: Tensor, values: Matrix) -> Tensor:
    return Tensor(values, x.dtype, requires_grad=True)


def _float_outputs(result: Any) -> list[Tensor]:
    found = result if isinstance(result, tuple) else (result,)
    return [y for y in found if y.dtype.kind == "f"]


def _by_tape(y: Tensor, leaves: list[Tensor]) -> list[Matrix]:
    """The Jacobian of y by each leaf, a row at a time by the tape."""
    jacobians = [np.zeros((y.numel(), x.numel())) for x in leaves]
    for k in range(y.numel() if y.requires_grad else 0):
        one = np.zeros(y.shape)
        one.reshape(-1)[k] = 1.0
        found = tape.grad(y, leaves, Tensor(one), retain_graph=True, allow_unused=True)
        for jacobian, g in zip(jacobians, found, strict=True):
            if g is not None:
                jacobian[k] = g.detach().numpy().reshape(-1)
    return jacobians


@np.errstate(invalid="ignore")
def _by_differences(fn: Any, leaves: list[Any], i: int) -> list[Matrix]:
    """The Jacobian of each output by leaf i, a column at a time, by differences."""
    jacobians = [
        np.zeros((y.numel(), leaves[i].numel())) for y in _float_outputs(fn(*leaves))
    ]
    for k in range(leaves[i].numel()):
        ends = []
        for sign in (1.0, -1.0):
            moved = np.array(leaves[i].detach().numpy())
            moved.reshape(-1)[k] += sign * STEP
            values = [*leaves[:i], _leaf(leaves[i], moved), *leaves[i + 1 :]]
            ends.append([y.detach().numpy() for y in _float_outputs(fn(*values))])
        for jacobian, up, down in zip(jacobians, *ends, strict=True):
            jacobian[:, k] = (up - down).reshape(-1) / (2 * STEP)
    return jacobians


@np.errstate(invalid="ignore")
def _worst(analytic: Matrix, numeric: Matrix) -> tuple[int, int, float, float] | None:
    """Where the two differ most, and what they are there; None if they agree."""
    off = np.abs(analytic - numeric)
    scale = np.abs(numeric[np.isfinite(numeric)]).max(initial=1.0)
    if np.all(off <= FINITE_DIFFERENCE * scale):
        return None
    at = int(np.nan_to_num(off, nan=np.inf).argmax())
    row, column = divmod(at, off.shape[1])
    return row, column, float(analytic[row, column]), float(numeric[row, column])


def _message(i: int, j: int, row: int, column: int, said: float, is_: float) -> str:
    return (
        f"gradcheck: d output {j}[{row}] / d input {i}[{column}] (flat indices) is "
        f"{said!r}; finite differences say {is_!r}"
    )
