"""Bugs to plant: the suite must reject each one, or it proves less than it claims."""

from .cells import CELLS
from .layers import LAYERS, LOOP
from .mutant import Mutant
from .ops import OPS
from .optimisers import OPTIMISERS

__all__ = ["MUTANTS", "Mutant"]

MUTANTS = [*CELLS, *LAYERS, *LOOP, *OPS, *OPTIMISERS]
