"""Bugs in the arithmetic of optimisers."""

from typing import Any

import minigrad as mg

from .mutant import Mutant
from .planting import Edit


def optimiser(name: str, owner: Any, *edits: Edit) -> Mutant:
    """A bug in an optimiser's arithmetic."""
    return Mutant(
        f"{owner.__name__}: {name}",
        edits=edits,
        owner=owner,
        function="_update",
        optimiser=True,
    )


OPTIMISERS = [
    optimiser(
        "nesterov forgotten",
        mg.optim.SGD,
        ("grad + momentum * buffer if group", "buffer if group"),
    ),
    optimiser(
        "dampening at the first step",
        mg.optim.SGD,
        ("np.array(grad)", "np.array(grad) * (1 - group['dampening'])"),
    ),
    optimiser(
        "the decay pulls away from zero",
        mg.optim.SGD,
        ('grad + group["weight_decay"]', 'grad - group["weight_decay"]'),
    ),
    optimiser(
        "no bias correction",
        mg.optim.Adam,
        ('correction1 = 1 - beta1 ** state["step"]', "correction1 = 1.0"),
    ),
    optimiser(
        "eps under the root",
        mg.optim.Adam,
        (
            'np.sqrt(square) / math.sqrt(correction2) + group["eps"]',
            'np.sqrt(square / correction2 + group["eps"])',
        ),
    ),
    optimiser(
        "the largest square forgotten",
        mg.optim.Adam,
        ('np.maximum(state.get("max_exp_avg_sq", square), square)', "square"),
    ),
    optimiser(
        "AdamW decays through the gradient",
        mg.optim.Adam,
        ("if self.decoupled:", "if False:"),
    ),
]
