"""How a fault of the fused loop is planted: in Python, so that nothing is corrupted.

The code that the machine is given is wrong, but code. Faults of the machine itself
(strides, turns of a carry, rows shared out to threads) are planted in its plain twin,
which then runs the loops.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minigrad import _loop_py

from .mutant import Mutant
from .planting import Edit

ALIKE = "^scan$|^(lstm|gru)_loop/"
"""Cases enough to see that what is equivalent makes no difference."""


def fault(name: str, owner: Any, function: str, *edits: Edit, **facts: Any) -> Mutant:
    """A fault in a function of the fused loop."""
    part = owner.__module__ if isinstance(owner, type) else owner.__name__
    return Mutant(
        f"{part.rpartition('.')[2]}: {name}",
        edits=edits,
        owner=owner,
        function=function,
        lowering=True,
        **facts,
    )


def wrong(name: str, op: Any, **vjps: Any) -> Mutant:
    """A wrong VJP of an op that only the fused loop has."""
    return Mutant(f"products: {name}", owner=op, vjps=vjps, lowering=True)


def machine(name: str, function: str, *edits: Edit, owner: Any = None) -> Mutant:
    """A fault of the machine, in its twin."""
    owner = owner or _loop_py.Machine
    found = fault(name, owner, function, *edits, twin=True)
    return replace(found, name=f"machine: {name}")
