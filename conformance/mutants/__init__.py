"""Bugs to plant: the suite must reject each one, or it proves less than it claims."""

from .cells import CELLS
from .coding import CODING
from .layers import LAYERS
from .machine import MACHINE
from .mutant import Mutant, with_family
from .ops import OPS
from .optimisers import OPTIMISERS
from .running import RUNNING
from .time import LOOP
from .tracing import TRACING

__all__ = ["FAMILIES", "MUTANTS", "Mutant"]

FAMILIES = {
    "equations": CELLS,
    "layers": LAYERS,
    "loop over time": LOOP,
    "ops": OPS,
    "optimisers": OPTIMISERS,
    "lowering": [*TRACING, *CODING, *RUNNING, *MACHINE],
}

MUTANTS = [m for family, some in FAMILIES.items() for m in with_family(family, some)]
