"""Derivatives against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import tape
from .errors import DTypeError, MinigradError
from .tensor import Tensor

FINITE_DIFFERENCE = 1e-6
"""The largest difference, relative to the largest entry of the Jacobian."""

STEP = 1e-6  # truncation of order 1e-12, rounding of order 1e-10: both far below


class GradcheckError(MinigradError, AssertionError):
    """An analytic derivative that finite differences contradict."""


def gradcheck(
    fn: Callable[..., Any], inputs: Sequence[Tensor], raise_exception: bool = True
) -> bool:
    """Compare every entry of fn's Jacobian with central differences.

    fn: Tensors -> a Tensor or a tuple of them. inputs: float64 tensors that require
    grad are differentiated, the others are passed on as they are.
    Raises GradcheckError, which names the worst entry, or returns False.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: x.log() * x, [x])
    True
    """
    for i, x in enumerate(inputs):
        if x.requires_grad and x.dtype != np.float64:
            raise DTypeError(f"gradcheck: input {i} is {x.dtype}; use .double() leaves")
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            continue
        for j in range(len(_outputs(fn, inputs))):
            analytic = _analytic(fn, inputs, i, j)
            numeric = _numeric(fn, inputs, i, j)
            scale = max(float(np.abs(numeric).max(initial=0.0)), 1.0)
            off = np.abs(analytic - numeric)
            if not np.all(off <= FINITE_DIFFERENCE * scale):
                if not raise_exception:
                    return False
                row, column = np.unravel_index(
                    int(np.nan_to_num(off, nan=np.inf).argmax()), off.shape
                )
                raise GradcheckError(
                    f"gradcheck: d output {j}[{row}] / d input {i}[{column}] (flat "
                    f"indices) is {analytic[row, column]!r}; finite differences say "
                    f"{numeric[row, column]!r}"
                )
    return True


def gradgradcheck(
    fn: Callable[..., Any], inputs: Sequence[Tensor], raise_exception: bool = True
) -> bool:
    """gradcheck of fn's own gradient, along fixed random cotangents."""
    rng = np.random.default_rng(0)
    cotangents = [Tensor(rng.uniform(0.5, 1.5, y.shape)) for y in _outputs(fn, inputs)]

    def gradient(*values: Tensor) -> tuple[Tensor, ...]:
        needed = [v for v in values if v.requires_grad]
        found = tape.grad(
            _outputs(fn, values),
            needed,
            cotangents,
            create_graph=True,
            allow_unused=True,
        )
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(gradient, inputs, raise_exception)


def _outputs(fn: Callable[..., Any], inputs: Sequence[Any]) -> list[Any]:
    """fn's outputs that depend on the inputs."""
    result = fn(*inputs)
    found = list(result) if isinstance(result, tuple) else [result]
    return [y for y in found if y.requires_grad]


def _analytic(fn: Any, inputs: Sequence[Any], i: int, j: int) -> np.ndarray[Any, Any]:
    """The Jacobian of output j by input i, a row at a time by the tape."""
    y = _outputs(fn, inputs)[j]
    rows = np.zeros((y.numel(), inputs[i].numel()))
    for k in range(y.numel()):
        one = np.zeros(y.shape)
        one.reshape(-1)[k] = 1.0
        (g,) = tape.grad(
            y, inputs[i], Tensor(one), retain_graph=True, allow_unused=True
        )
        if g is not None:
            rows[k] = g.detach().numpy().reshape(-1)
    return rows


def _numeric(fn: Any, inputs: Sequence[Any], i: int, j: int) -> np.ndarray[Any, Any]:
    """The same, a column at a time by central differences."""
    columns = []
    for k in range(inputs[i].numel()):
        ends = []
        for sign in (1.0, -1.0):
            moved = np.array(inputs[i].detach().numpy())
            moved.reshape(-1)[k] += sign * STEP
            values = list(inputs)
            values[i] = Tensor(moved, requires_grad=True)
            ends.append(_outputs(fn, values)[j].detach().numpy().reshape(-1))
        columns.append((ends[0] - ends[1]) / (2 * STEP))
    if not columns:
        return np.zeros((_outputs(fn, inputs)[j].numel(), 0))
    return np.stack(columns, axis=1)
