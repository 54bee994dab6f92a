"""A cell's step as `minigrad.scan` takes it: traced once, and fused."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from minigrad.fused.lift import Lifted
from seq.cell import Cell
from seq.internals import observed_step


class Calls:
    """What is kept of a layer's calls, by the layer.

    A table beside the layers would keep for good one that its cell refers to.
    """

    def __init__(self) -> None:
        self.steps: dict[str, CellStep] = {}
        self.known: dict[Any, Any] = {}  # `seq.again.Known`, by what stood around it


def last_steps(layer: Any) -> list[CellStep]:
    """Those of the layer's places at its last call without data."""
    return [layer._calls.steps[suffix] for suffix in layer.places]


def cell_step(
    layer: Any,
    suffix: str,
    names: tuple[str, ...],
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    per_step: Sequence[str],
) -> CellStep:
    """The step of a layer's place; the one of the last call if it is the same."""
    steps = layer._calls.steps
    step = steps.get(suffix)
    fixed = [*params.values(), *data.values()]
    if step is None or step.cell is not layer.cell or not step.fits(names, fixed):
        step = CellStep(layer.cell, names, params, data, per_step)
        if not data:  # which is new at each call, with all that it was made of
            steps[suffix] = step
    return step


class CellStep(Lifted):
    """The step of a cell, with its parameters and data lifted out.

    It takes (x, *what comes with x), of the names in `per_step`, and returns as ys the
    output and the internals in `names`.
    """

    rows_only = True

    def __init__(
        self,
        cell: Cell,
        names: tuple[str, ...],
        params: Mapping[str, Any],
        data: Mapping[str, Any],
        per_step: Sequence[str],
    ) -> None:
        self.cell = cell
        self.names = names
        self.params = tuple(params)
        self.data = tuple(data)
        self.per_step = tuple(per_step)
        self.lifted = cell.lifted()
        self.tensors = [*params.values(), *data.values(), *self.lifted.tensors]
        self.reason = self.lifted.reason
        self.key = self.lifted.key and (
            self.lifted.key,
            *(cell, names, self.params, self.data, self.per_step),
        )

    def fits(self, names: tuple[str, ...], tensors: Sequence[Any]) -> bool:
        """Whether it is the step on just these tensors still."""
        known = self.tensors
        if names != self.names or self.lifted is not self.cell.lifted():
            return False
        if len(tensors) + len(self.lifted.tensors) != len(known):
            return False
        return not any(map(operator.is_not, tensors, known))

    def rebind(self, tensors: Sequence[Any]) -> Any:
        """The step with other tensors."""
        n, m = len(self.params), len(self.params) + len(self.data)
        params = dict(zip(self.params, tensors[:n], strict=True))
        data = dict(zip(self.data, tensors[n:m], strict=True))
        equations = self.lifted.rebind(tensors[m:])

        def step(carry: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
            x, *now = xs
            given = {**data, **dict(zip(self.per_step, now, strict=True))}
            return observed_step(
                self.cell, self.names, carry, x, params, given, equations
            )

        return step
