"""Directional derivatives by central differences: a witness that knows no calculus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import policy

Array = np.ndarray[Any, Any]
Function = Callable[[dict[str, Array]], Mapping[str, Array]]


def difference_errors(
    function: Function,
    leaves: Mapping[str, Array],
    cotangents: Mapping[str, Array],
    gradients: Mapping[str, Array],
    directions: Mapping[str, Array],
) -> Iterator[tuple[str, float]]:
    """How far each gradient is from the slope of <cotangents, function> along its
    direction, relative to the gradient's norm: what the slope is like on average.
    """
    for name, gradient in gradients.items():
        slope = float(np.sum(gradient * directions[name]))
        scale = float(np.linalg.norm(gradient)) or 1.0
        at, error = leaves[name], np.inf
        for step in policy.FINITE_STEPS:
            ends = [
                function({**leaves, name: np.asarray(at + move * directions[name])})
                for move in (step, -step)
            ]
            change = sum(
                float(np.sum(cotangents[key] * (ends[0][key] - ends[1][key])))
                for key in cotangents
            )
            error = min(error, abs(change / (2 * step) - slope) / scale)
            if error <= policy.FINITE_DIFFERENCE:
                break
        yield name, error
