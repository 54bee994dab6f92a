"""Layers and directions put together from one layer in one direction.

For implementations that have no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..cases import LayerCase
from ..data import suffixes

Layer = Callable[[dict[str, Any], Any, list[Any] | None, bool], tuple[Any, Any]]
"""(parameters, x, states, reverse) -> (output, states); sequences are (T, B, ...)."""


def place_parameters(parameters: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    """Those of one layer and direction, without the suffix."""
    found = {n: a for n, a in parameters.items() if n.partition("_l")[1]}
    return {
        name.removesuffix(suffix): array
        for name, array in found.items()
        if name.endswith(suffix)
    }


def places(case: LayerCase) -> list[str]:
    """The suffix of each layer and direction, as PyTorch orders them."""
    return [s for layer in range(case.layers) for s in suffixes(case, layer)]


def run_stack(
    case: LayerCase,
    layer: Layer,
    parameters: Mapping[str, Any],
    x: Any,
    states: Sequence[Any] | None,
    numpy: Any,
) -> tuple[Any, list[Any]]:
    """All layers of a case on a batch (T, B, ...): the output and the final states.

    states: each (layers * directions, B, size), or None. numpy: a namespace with
    `concatenate` and `stack`.
    """
    ends = []
    for depth in range(case.layers):
        outputs = []
        for direction, suffix in enumerate(suffixes(case, depth)):
            place = depth * case.directions + direction
            first = None if states is None else [state[place] for state in states]
            own = place_parameters(parameters, suffix)
            output, last = layer(own, x, first, direction == 1)
            outputs.append(output)
            ends.append(last)
        x = numpy.concatenate(outputs, -1)
    return x, [numpy.stack(parts) for parts in zip(*ends, strict=True)]


def time_first(case: LayerCase, x: Any) -> Any:
    """A case's sequences as (T, B, ...), and back again."""
    if not case.batched:
        return x[:, None] if x.ndim == 2 else x[:, 0]
    return x.swapaxes(0, 1) if case.batch_first else x
