"""A subject whose weights go through the table of dialects, there and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..cases import LayerCase
from ..data import Data
from ..dialects import dialect
from . import Answer, Subject
from .stacking import place_parameters, places


class Converted(Subject):
    """Runs on a framework's own weights, and has gradients by those."""

    framework: str

    def run(self, case: LayerCase, data: Data) -> Answer:
        """With PyTorch's parameters as the framework's, and gradients back again."""
        known = dialect(self.framework, case.kind)
        weights: dict[str, Any] = {}
        for suffix in places(case):
            held = known.to_framework(place_parameters(data.parameters, suffix))
            weights |= {f"{name}{suffix}": array for name, array in held.items()}
        answer = self.run_converted(case, replace(data, parameters=weights))
        found = dict(answer.gradients or {})
        gradients = {name: found[name] for name in data.inputs}
        for suffix in places(case):
            back = known.gradients(
                place_parameters(found, suffix),
                place_parameters(data.parameters, suffix),
            )
            gradients |= {f"{name}{suffix}": array for name, array in back.items()}
        return Answer(answer.outputs, gradients)

    def run_converted(self, case: LayerCase, data: Data) -> Answer:
        """Run on `data.parameters`, the arrays of the dialect with PyTorch's suffix."""
        raise NotImplementedError(f"{type(self).__name__}.run_converted")


def ordered(weights: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    """Those of the names that there are."""
    return [weights[name] for name in names if name in weights]
