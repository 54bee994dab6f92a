"""Bugs to plant: the suite must reject each one, or it proves less than it claims."""

from .cells import CELLS
from .layers import LAYERS, LOOP
from .lowering import LOWERING
from .mutant import Mutant, with_family
from .ops import OPS
from .optimisers import OPTIMISERS

__all__ = ["FAMILIES", "MUTANTS", "Mutant"]

FAMILIES = {
    "equations": CELLS,
    "layers": LAYERS,
    "loop over time": LOOP,
    "ops": OPS,
    "optimisers": OPTIMISERS,
    "lowering": LOWERING,
}

MUTANTS = [m for family, some in FAMILIES.items() for m in with_family(family, some)]
